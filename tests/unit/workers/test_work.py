"""Work for a worker: where it is in its life, and that what became of it is told once."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable

import pytest

from rpcsvc.deadline import Deadline
from rpcsvc.workers.work import (
    Answer,
    Cancelled,
    Expired,
    Handled,
    Loaded,
    Lost,
    Outcome,
    Served,
    Work,
    WorkerExit,
    WorkState,
)

KILLED = WorkerExit(4711, None, 9)
LOST = Lost(KILLED, True, 0)


def work(told: list[Outcome] | None = None, deadline: Deadline | None = None) -> Work:
    return Work(b"", [].append if told is None else told.append, deadline)


@pytest.mark.parametrize(
    ("code", "expected", "words"),
    [
        (0, WorkerExit(7, 0, None), "worker process 7 ended with exit code 0"),
        (3, WorkerExit(7, 3, None), "worker process 7 ended with exit code 3"),
        (-9, WorkerExit(7, None, 9), "worker process 7 ended by SIGKILL"),
    ],
)
def test_a_wait_status_tells_an_exit_code_from_a_signal(code: int, expected: WorkerExit, words: str) -> None:
    assert WorkerExit.from_wait_status(7, code) == expected
    assert str(expected) == words


@pytest.mark.parametrize("outcome", [Answer(b"1"), LOST, Expired(), Cancelled()])
def test_what_became_of_work_is_told_once(outcome: Outcome) -> None:
    told: list[Outcome] = []
    one = work(told)
    one.end(outcome)
    one.end(Answer(b"2"))
    assert told == [outcome]
    assert one.is_over


def test_work_that_is_cancelled_while_it_runs_ends_as_cancelled_whatever_becomes_of_it() -> None:
    told: list[Outcome] = []
    one = work(told)
    one.given()
    one.stop()
    assert (one.state, told) == (WorkState.STOPPING, [])
    one.taken_back()
    assert one.state is WorkState.STOPPING
    one.end(LOST)
    assert told == [Cancelled()]


def test_work_that_its_worker_had_not_taken_waits_again_unless_it_is_over() -> None:
    one, over = work(), work()
    for each in (one, over):
        each.given()
    over.end(Cancelled())
    for each in (one, over):
        each.taken_back()
    assert (one.state, over.state) == (WorkState.WAITING, WorkState.OVER)


def test_work_that_was_not_given_is_not_stopped() -> None:
    one = work()
    one.stop()
    assert one.state is WorkState.WAITING


def test_work_starts_while_it_is_wanted_and_somebody_waits() -> None:
    now = 100.0
    one, timeless = work(deadline=Deadline.after(5, lambda: now)), work()
    assert one.may_start
    assert timeless.may_start
    timeless.is_wanted = False
    assert not timeless.may_start
    timeless.is_wanted = True
    assert timeless.may_start
    now = 105.0
    assert not one.may_start


def test_work_is_itself_and_not_what_looks_alike() -> None:
    one, other = work(), work()
    assert one != other
    assert other not in [one]


class Caller:
    """Knows its work, which knows whom to tell."""

    def __init__(self) -> None:
        self.work = Work(b"", self.ended, None)

    def ended(self, _: Outcome) -> None:
        pass


def _stop_and_end(one: Work) -> None:
    one.given()
    one.stop()
    one.end(LOST)


@pytest.mark.parametrize("end", [lambda one: one.end(Answer(b"")), _stop_and_end])
def test_work_that_is_over_is_freed_at_once_and_not_by_the_collector(end: Callable[[Work], None]) -> None:
    caller = Caller()
    freed = weakref.ref(caller)
    gc.disable()
    try:
        end(caller.work)
        del caller
        assert freed() is None
    finally:
        gc.enable()


def test_a_registry_is_loaded_that_has_functions_or_handlers() -> None:
    assert not Loaded()
    assert Loaded({"fib": Served(True)})
    assert Loaded(handlers={"paid": Handled("paid", ("order.paid",), None, Served(True))})
