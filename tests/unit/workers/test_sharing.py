"""Which worker with several threads is given a message, and how suspects come to run alone: without a process."""

from __future__ import annotations

from staged import SharingStage

from rpcsvc.deadline import Deadline
from rpcsvc.workers.supervisor import State
from rpcsvc.workers.work import Answer, Cancelled, Expired, Lost, WorkerExit


def bodies(letters: str) -> list[bytes]:
    return [letter.encode() for letter in letters]


def test_each_message_goes_to_the_worker_that_has_fewest_and_none_is_given_ahead() -> None:
    stage = SharingStage(2, threads=2)
    for body in bodies("abcdef"):
        stage.submit(body)
    assert (stage.sent(0), stage.sent(1)) == (bodies("ac"), bodies("bd"))
    assert (stage.pool.waiting, stage.pool.busy, stage.pool.under_way) == (2, 2, 4)
    stage.answer(1, 2, b"D")
    assert stage.told == {b"d": Answer(b"D", 1)}
    assert (stage.sent(1), stage.workers[1].state) == (bodies("bde"), State.BUSY)
    stage.answer(1, 1, b"B")
    stage.answer(1, 3, b"E")
    assert (stage.sent(1), stage.workers[1].state) == (bodies("bdef"), State.BUSY)
    stage.answer(1, 4, b"F")
    assert stage.workers[1].state is State.IDLE


def test_casts_leave_some_slots_to_calls_which_go_first() -> None:
    stage = SharingStage(2, threads=2, cast_slots=3)
    for body in bodies("abcd"):
        stage.submit(body, cast=True)
    assert (stage.pool.under_way, stage.pool.waiting) == (3, 1)
    for body in bodies("xy"):
        stage.submit(body)
    assert (stage.sent(0), stage.sent(1), stage.pool.waiting) == (bodies("ac"), bodies("bx"), 2)
    stage.answer(0, 1, b"A")
    assert (stage.sent(0), stage.pool.waiting) == (bodies("acy"), 1)
    stage.answer(1, 2, b"X")
    assert (stage.sent(1), stage.pool.waiting) == (bodies("bxd"), 0)


def test_what_is_lost_with_a_worker_leaves_room_for_casts() -> None:
    stage = SharingStage(2, threads=2, cast_slots=1)
    stage.submit(b"a", cast=True)
    stage.submit(b"b", cast=True)
    stage.workers[0].row.slots[0].take(1)
    stage.end(0)
    assert stage.told == {b"a": Lost(WorkerExit(1000, None, 9), True, 0)}
    assert stage.sent(1) == [b"b"]


def test_what_was_not_taken_waits_again_in_its_own_line() -> None:
    stage = SharingStage(1, threads=4, cast_slots=3)
    stage.submit(b"a")
    stage.submit(b"b", cast=True)
    stage.submit_alone(b"s")
    stage.end(0)
    assert stage.told == {}
    assert (stage.pool._waiting[0].body, stage.pool._casts[0].body) == (b"a", b"b")
    assert stage.pool.waiting == 3


def test_a_suspect_runs_in_a_worker_that_has_nothing_else_and_is_given_nothing_else() -> None:
    stage = SharingStage(2, threads=2)
    stage.submit_alone(b"s")
    stage.submit_alone(b"t")
    for body in bodies("abc"):
        stage.submit(body)
    assert (stage.sent(0), stage.sent(1)) == ([b"s"], bodies("ab"))
    assert stage.pool.waiting == 2, "the other suspect, and a call for which there is no room"
    stage.answer(0, 1, b"S")
    assert stage.sent(0) == bodies("st")
    stage.answer(0, 2, b"T")
    assert stage.sent(0) == bodies("stc")


def test_a_worker_is_emptied_for_a_suspect_where_all_are_busy() -> None:
    stage = SharingStage(2, threads=2)
    for body in bodies("abc"):
        stage.submit(body)
    stage.submit_alone(b"s")
    stage.submit(b"d")
    stage.submit(b"e")
    assert (stage.sent(0), stage.sent(1)) == (bodies("ac"), [b"b"]), "the one with fewest is given no more"
    stage.answer(1, 1, b"B")
    assert stage.sent(1) == bodies("bs")
    stage.answer(0, 1, b"A")
    assert stage.sent(0) == bodies("acd")
    stage.answer(1, 2, b"S")
    assert stage.sent(1) == bodies("bse")


def test_a_worker_that_becomes_idle_first_takes_the_suspect_and_the_other_is_given_messages_again() -> None:
    stage = SharingStage(2, threads=2)
    for body in bodies("abc"):
        stage.submit(body)
    stage.submit_alone(b"s")
    stage.answer(0, 1, b"A")
    stage.answer(0, 2, b"C")
    assert stage.sent(0) == bodies("acs")
    stage.submit(b"d")
    assert stage.sent(1) == bodies("bd")


def test_a_worker_that_is_emptied_and_goes_is_followed_by_another() -> None:
    stage = SharingStage(2, threads=2)
    for body in bodies("abc"):
        stage.submit(body)
    stage.submit_alone(b"s")
    stage.workers[1].row.slots[0].take(1)
    stage.end(1)
    stage.submit(b"d")
    assert (stage.sent(0), stage.pool.waiting) == (bodies("ac"), 2)
    stage.answer(0, 2, b"C")
    stage.answer(0, 1, b"A")
    assert stage.sent(0) == bodies("acs")


def test_no_more_than_half_of_the_workers_have_suspects() -> None:
    stage = SharingStage(5, threads=2)
    for body in bodies("stu"):
        stage.submit_alone(body)
    assert stage.pool.under_way == 2
    for body in bodies("abcdef"):
        stage.submit(body)
    assert (stage.pool.under_way, stage.pool.waiting) == (8, 1)


def test_a_suspect_that_nobody_waits_for_any_more_does_not_start() -> None:
    stage = SharingStage(1, threads=2)
    stage.submit(b"a")
    now = 0.0
    stage.submit_alone(b"s", Deadline.after(5, lambda: now))
    given_up = stage.submit_alone(b"t")
    stage.pool.cancel(given_up)
    now = 6.0
    stage.answer(0, 1, b"A")
    assert stage.told == {b"a": Answer(b"A", 1), b"s": Expired(), b"t": Cancelled()}
    stage.submit(b"b")
    assert stage.sent(0) == bodies("ab")


def test_a_worker_whose_socket_is_closed_is_given_nothing() -> None:
    stage = SharingStage(2, threads=2)
    stage.workers[0]._transport.closing = True  # type: ignore[union-attr]
    stage.submit(b"a")
    assert (stage.workers[0].state, stage.sent(0), stage.sent(1)) == (State.CUT, [], [b"a"])


def test_what_was_taken_back_goes_to_the_worker_that_was_heard_of_last() -> None:
    stage = SharingStage(3, threads=1)
    for body in bodies("abc"):
        stage.submit(body)
    stage.answer(1, 1, b"B")
    stage.answer(2, 1, b"C")
    stage.end(0)
    assert (stage.sent(1), stage.sent(2)) == ([b"b"], bodies("ca"))
