"""Casts in a pool: calls go first, some workers are kept for them, and no call lies behind a cast."""

from __future__ import annotations

import pytest
from staged import Stage

from rpcsvc.workers.scoreboard import MAX_GIVEN
from rpcsvc.workers.supervisor import State
from rpcsvc.workers.work import Answer, Cancelled, Lost, WorkerExit

QUICK = 150
"""Messages in which it is learnt that they are quick."""


def casts(stage: Stage, *bodies: bytes) -> None:
    for body in bodies:
        stage.submit(body, cast=True)


@pytest.mark.parametrize(
    ("size", "cast_workers", "most"), [(1, None, 1), (2, None, 1), (4, None, 3), (4, 2, 2), (4, 9, 4), (1, 1, 1)]
)
def test_all_workers_but_one_have_casts_at_a_time_or_as_many_as_are_told(
    size: int, cast_workers: int | None, most: int
) -> None:
    stage = Stage(size, cast_workers)
    casts(stage, *(b"%d" % number for number in range(9)))
    assert (stage.pool.busy, stage.pool.waiting) == (most, 9 - most)


def test_a_cast_is_given_out_when_one_is_over_and_by_the_worker_that_had_it_or_another_one() -> None:
    stage = Stage(3)
    casts(stage, b"a", b"b", b"c")
    stage.answer(0, b"A")
    assert (stage.sent(0), stage.sent(1), stage.sent(2)) == ([b"a"], [b"b"], [b"c"])
    assert stage.told == {b"a": Answer(b"A", 1)}


def test_no_cast_is_given_out_while_a_call_waits() -> None:
    stage = Stage(1)
    stage.submit(b"call 1")
    casts(stage, b"cast")
    stage.submit(b"call 2")
    stage.answer(0, b"")
    assert stage.sent(0) == [b"call 1", b"call 2"]
    stage.answer(0, b"")
    assert stage.sent(0) == [b"call 1", b"call 2", b"cast"]


def test_a_call_finds_a_worker_that_has_no_cast() -> None:
    stage = Stage(2)
    casts(stage, b"cast 1", b"cast 2")
    stage.submit(b"call")
    assert (stage.sent(0), stage.sent(1)) == ([b"cast 1"], [b"call"])


class Clock:
    """Stands in for `time`: a machine that is busy with other things is not to seem slow."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("rpcsvc.workers.pool.time", clock)
    monkeypatch.setattr("rpcsvc.workers.process.time", clock)
    return clock


def test_quick_calls_do_not_lie_behind_casts(clock: Clock) -> None:
    stage = Stage(2)
    for number in range(QUICK):
        stage.submit(b"%d" % number)
        stage.answer(number % 2, b"")
    casts(stage, b"cast")
    before = len(stage.sent(1))
    for _ in range(5):
        stage.submit(b"call")
    assert stage.sent(0)[-1] == b"cast"
    assert len(stage.sent(1)) - before == 5


def test_slow_casts_do_not_make_calls_seem_slow(clock: Clock) -> None:
    stage = Stage(1)
    for number in range(QUICK):
        stage.submit(b"%d" % number)
        stage.answer(0, b"")
    casts(stage, b"cast")
    clock.now += 10.0
    stage.answer(0, b"")
    stage.submit(b"call")
    stage.submit(b"and more")
    assert stage.sent(0)[-2:] == [b"call", b"and more"]


def test_quick_casts_are_given_ahead_to_the_workers_that_have_casts_alone(clock: Clock) -> None:
    stage = Stage(2)
    for number in range(QUICK):
        stage.submit(b"%d" % number, cast=True)
        stage.answer(number % 2, b"")
    before = len(stage.sent(0))
    casts(stage, *[b"cast"] * 40)
    assert len(stage.sent(0)) - before == MAX_GIVEN
    assert stage.pool.waiting == 40 - MAX_GIVEN
    stage.submit(b"call")
    assert stage.sent(1)[-1] == b"call"


def test_casts_that_take_their_worker_long_are_given_one_by_one() -> None:
    stage = Stage(1)
    for number in range(QUICK):
        stage.submit(b"%d" % number, cast=True)
        stage.workers[0].row.slots[0].spend(30_000_000)
        stage.answer(0, b"")
    before = len(stage.sent(0))
    casts(stage, *[b"cast"] * 4)
    assert (len(stage.sent(0)) - before, stage.pool.waiting) == (1, 3)
    assert stage.pool.casts_within(0.1) == 3


def test_of_casts_that_are_answered_together_each_took_its_part(clock: Clock) -> None:
    stage = Stage(1)
    for number in range(QUICK):
        stage.submit(b"%d" % number, cast=True)
        stage.answer(0, b"")
    casts(stage, *[b"cast"] * 10)
    stage.workers[0].row.slots[0].spend(640_000)
    for _ in range(10):
        stage.answer(0, b"")
    assert stage.pool.casts_within(0.01) in range(900, 1200)


def test_casts_that_a_lost_worker_had_not_taken_go_before_other_casts_and_its_place_is_free(clock: Clock) -> None:
    stage = Stage(2, cast_workers=1)
    for number in range(QUICK):
        stage.submit(b"%d" % number, cast=True)
        stage.answer(number % 2, b"")
    stage.told.clear()
    casts(stage, b"a", b"b", b"c")
    stage.submit(b"call 1")
    stage.submit(b"call 2")
    casts(stage, b"d")
    stage.workers[0].row.slots[0].take(stage.workers[0].answered + 1)
    stage.end(0)
    assert stage.told == {b"a": Lost(WorkerExit(1000, None, 9), True, 0)}
    stage.answer(1, b"")
    stage.answer(1, b"")
    assert stage.sent(1)[-5:] == [b"call 1", b"call 2", b"b", b"c", b"d"]


def test_a_cast_that_waits_can_be_called_off() -> None:
    stage = Stage(1)
    casts(stage, b"a")
    waiting = stage.submit(b"b", cast=True)
    stage.pool.cancel(waiting)
    stage.answer(0, b"A")
    assert (stage.told, stage.sent(0)) == ({b"a": Answer(b"A", 1), b"b": Cancelled()}, [b"a"])
    assert stage.workers[0].state is State.IDLE
