"""Which worker is given a message: without a process, over sockets that only write down what they are sent."""

from __future__ import annotations

import pytest
from staged import Stage

from rpcsvc.deadline import Deadline
from rpcsvc.workers.pipe import RESULT, frame
from rpcsvc.workers.supervisor import Cause, Kill, State
from rpcsvc.workers.work import Answer, Cancelled, Expired, Lost, WorkerExit


def test_the_worker_that_is_idle_for_longest_is_given_the_next_message() -> None:
    stage = Stage(2)
    for body in (b"a", b"b", b"c"):
        stage.submit(body)
    assert (stage.sent(0), stage.sent(1), stage.pool.waiting) == ([b"a"], [b"b"], 1)
    stage.answer(1, b"B")
    assert (stage.sent(1), stage.told) == ([b"b", b"c"], {b"b": Answer(b"B", 1)})


def test_a_message_that_a_worker_did_not_take_goes_to_the_one_that_was_heard_of_last() -> None:
    stage = Stage(4)
    for body in (b"a", b"b", b"c", b"d"):
        stage.submit(body)
    stage.answer(3, b"")
    stage.answer(2, b"")
    stage.answer(1, b"")
    stage.end(0, Kill(Cause.DEAF))
    assert (stage.sent(1), stage.sent(3)) == ([b"b", b"a"], [b"d"])
    stage.submit(b"e")
    assert stage.sent(3) == [b"d", b"e"]


def test_a_message_that_its_worker_had_taken_is_lost_with_it() -> None:
    stage = Stage(1)
    stage.submit(b"a")
    stage.workers[0].row.slots[0].take(1)
    stage.end(0)
    assert stage.told == {b"a": Lost(WorkerExit(1000, None, 9), True, 0)}


def test_a_worker_whose_socket_is_closed_is_given_nothing_though_nobody_has_said_so_yet() -> None:
    stage = Stage(2)
    stage.workers[0]._transport.closing = True  # type: ignore[union-attr]
    stage.submit(b"a")
    assert (stage.workers[0].state, stage.sent(0), stage.sent(1)) == (State.CUT, [], [b"a"])


def test_what_nobody_waits_for_any_more_is_not_started() -> None:
    stage = Stage(1)
    now = 0.0
    stage.submit(b"a")
    late = stage.submit(b"b", Deadline.after(5, lambda: now))
    unwanted = stage.submit(b"c")
    unwanted.is_wanted = False
    cancelled = stage.submit(b"d")
    stage.pool.cancel(cancelled)
    stage.pool.cancel(cancelled)
    now = 6.0
    stage.answer(0, b"A")
    assert stage.told == {b"a": Answer(b"A", 1), b"b": Expired(), b"c": Expired(), b"d": Cancelled()}
    assert (late.is_over, stage.sent(0), stage.pool.waiting) == (True, [b"a"], 0)


@pytest.mark.parametrize("number", [0, 2])
def test_an_answer_that_is_not_the_next_one_breaks_the_worker(number: int) -> None:
    stage = Stage(1)
    stage.submit(b"a")
    stage.workers[0].data_received(frame(RESULT, number, b"forged"))
    assert stage.workers[0].state is State.KILLED
    assert stage.workers[0].kill == Kill(Cause.BROKEN)
    assert stage.told == {}
