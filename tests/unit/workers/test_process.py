"""One worker's messages: which answers may come, and what becomes of those that have none when it ends."""

from __future__ import annotations

import logging
import os
from typing import Any

import pytest

from rpcsvc.workers.pipe import FAILED, JOB, NO_RESPONSE, PARTIAL, READY, RESULT, frame
from rpcsvc.workers.process import Worker
from rpcsvc.workers.scoreboard import Scoreboard
from rpcsvc.workers.supervisor import Cause, Event, Kill, Order, State, Supervisor
from rpcsvc.workers.work import Lost, MemoryUse, Part, Work, WorkerExit, refuse_parts

KILLED = WorkerExit(4711, None, 9)
NOBODY: Any = None
USE = MemoryUse(limit=10, used=20)


class Desk:
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, bytes | None]] = []

    def answered(self, worker: Worker, number: int, body: bytes | None) -> None:
        if body == b"a fault":
            raise ValueError
        worker.given.pop(number)
        worker.answered += 1
        self.answers.append((number, body))

    def answered_for_now(self) -> None:
        pass

    def offer(self, worker: Worker) -> None:
        pass

    def withdraw(self, worker: Worker) -> None:
        pass

    def end_work_of(self, workers: list[Worker], *, asked: bool) -> None:
        pass


def worker_that_has(*, answered: int, taken: int, given: int) -> Worker:
    scoreboard, fd = Scoreboard.create(1)
    os.close(fd)
    worker = Worker(NOBODY, NOBODY, NOBODY, 0, scoreboard.row(0))
    worker.row.slots[0].take(taken)
    worker.row.slots[0].item[0] = 5
    worker.given = {number: Work(b"", lambda _: None, None) for number in range(answered + 1, answered + given + 1)}
    worker.exit = KILLED
    return worker


def test_what_was_computed_what_ran_and_what_had_not_begun_are_told_apart() -> None:
    worker = worker_that_has(answered=7, taken=9, given=4)
    works = list(worker.given.values())

    assert [worker.number_of(work) for work in works] == [8, 9, 10, 11]
    assert [worker.running_item(work) for work in works] == [None, 5, None, None]
    assert worker.take_back() == [
        (works[0], Lost(KILLED, False, 0)),
        (works[1], Lost(KILLED, True, 5)),
        (works[2], None),
        (works[3], None),
    ]
    assert not worker.given
    assert worker.number_of(works[0]) is None


@pytest.mark.parametrize(
    ("kill", "lost"),
    [
        (Kill(Cause.TIME, 1), Lost(KILLED, True, 5, over_time=True)),
        (Kill(Cause.MEMORY, 1, USE), Lost(KILLED, True, 5, over_memory=USE)),
        (Kill(Cause.CANCEL, 1), Lost(KILLED, True, 5)),
    ],
)
def test_the_message_that_a_worker_was_killed_over_is_told_why(kill: Kill, lost: Lost) -> None:
    worker = worker_that_has(answered=0, taken=1, given=2)
    worker.kill = kill
    assert [how for _, how in worker.take_back()] == [lost, None]


@pytest.mark.parametrize("kill", [Kill(Cause.TIME, 1), Kill(Cause.MEMORY, 1, USE), Kill(Cause.CANCEL, 1)])
def test_a_message_that_ran_when_the_one_before_it_was_to_be_killed_is_not_to_blame(kill: Kill) -> None:
    worker = worker_that_has(answered=0, taken=2, given=2)
    worker.kill = kill
    assert [how and how.running for _, how in worker.take_back()] == [False, False]


# ---- several slots, and partial results


def busy(slots: int, *, given: int, part: Part = refuse_parts) -> tuple[Worker, Desk]:
    """A worker that was given some messages."""
    scoreboard, fd = Scoreboard.create(1, slots)
    os.close(fd)
    desk = Desk()
    supervisor = Supervisor[Worker](dict.fromkeys(Order, lambda _: None), 1.0)
    worker = Worker(desk, supervisor, NOBODY, 0, scoreboard.row(0))
    worker.expect = lambda _: None  # type: ignore[method-assign]
    for event in (Event.MADE, Event.READY, Event.SERVES, Event.GIVEN):
        supervisor.happened(worker, event)
    worker.given = {number: Work(b"", lambda _: None, None, part) for number in range(1, given + 1)}
    for work in worker.given.values():
        work.given()
    return worker, desk


def test_a_worker_of_several_slots_answers_in_the_order_in_which_they_have_finished() -> None:
    worker, desk = busy(3, given=5)
    worker.data_received(b"".join(frame(RESULT, number, b"%d" % number) for number in (3, 1, 4, 5)))
    worker.data_received(frame(NO_RESPONSE, 2))
    assert desk.answers == [(3, b"3"), (1, b"1"), (4, b"4"), (5, b"5"), (2, None)]
    assert worker.state is State.BUSY


@pytest.mark.parametrize(("slots", "number"), [(1, 2), (2, 3), (3, 4), (2, 0), (2, 9)])
def test_more_messages_than_slots_are_never_ahead_of_one_that_is_not_answered(slots: int, number: int) -> None:
    worker, desk = busy(slots, given=5)
    worker.data_received(frame(RESULT, number, b""))
    assert (worker.state, desk.answers) == (State.KILLED, [])
    assert worker.kill == Kill(Cause.BROKEN)


def test_each_slot_loses_what_it_computes_with_the_worker_and_the_rest_goes_to_others() -> None:
    worker, _ = busy(2, given=5)
    for slot, message, item in zip(worker.row.slots, (3, 4), (30, 40), strict=True):
        slot.take(message)
        slot.item[0] = item
    assert (worker.calls_in(4), worker.calls_in(2)) == (41, 0)
    works = list(worker.given.values())
    assert [worker.running_item(work) for work in works] == [None, None, 30, 40, None]
    worker.exit, worker.kill = KILLED, Kill(Cause.TIME, 4)
    assert [how for _, how in worker.take_back()] == [
        Lost(KILLED, False, 0),
        Lost(KILLED, False, 0),
        Lost(KILLED, False, 30, beside=1),
        Lost(KILLED, True, 40, over_time=True),
        None,
    ]


def test_partial_results_come_before_the_last_one_and_in_their_order() -> None:
    told: list[bytes] = []
    worker, desk = busy(1, given=2, part=told.append)
    worker.data_received(frame(PARTIAL, 1, b"a") + frame(PARTIAL, 1, b"b") + frame(RESULT, 1, b"all"))
    assert (told, desk.answers) == ([b"a", b"b"], [(1, b"all")])
    worker.data_received(frame(PARTIAL, 2, b"c"))
    assert told == [b"a", b"b", b"c"]


def test_a_partial_result_that_nobody_waits_for_any_more_is_dropped() -> None:
    worker, _ = busy(1, given=1)
    worker.given[1].stop()
    worker.data_received(frame(PARTIAL, 1, b"a"))
    assert worker.state is State.BUSY


def test_a_partial_result_where_none_can_come_breaks_the_worker() -> None:
    worker, desk = busy(1, given=1)
    worker.data_received(frame(PARTIAL, 1, b"a") + frame(RESULT, 1, b"all"))
    assert (worker.state, worker.kill, desk.answers) == (State.KILLED, Kill(Cause.BROKEN), [])


@pytest.mark.parametrize(
    "data",
    [
        frame(PARTIAL, 2, b"a"),
        frame(PARTIAL, 0, b"a"),
        frame(READY, 0) * 2,
        frame(JOB, 1, b"\0\0\0\0"),
        b"Traceback (most recent",
    ],
)
def test_what_cannot_come_now_breaks_the_worker(data: bytes) -> None:
    worker, _ = busy(1, given=2, part=lambda _: None)
    worker.data_received(data)
    assert worker.state is State.KILLED


def test_a_fault_of_ours_in_passing_an_answer_on_stops_nothing_behind_it(caplog: pytest.LogCaptureFixture) -> None:
    worker, desk = busy(2, given=2)
    with caplog.at_level(logging.ERROR):
        worker.data_received(frame(RESULT, 1, b"a fault") + frame(RESULT, 2, b""))
    assert desk.answers == [(2, b"")]
    assert "an answer could not be passed on" in caplog.text


def test_a_worker_that_cannot_start_says_why() -> None:
    worker, _ = busy(1, given=0)
    worker.data_received(frame(FAILED, 0, b"Traceback"))
    assert (worker.failure, worker.lacks) == ("Traceback", False)
    assert repr(worker) == "<Worker 0 pid=None busy>"
