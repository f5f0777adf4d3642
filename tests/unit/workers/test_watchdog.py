"""What the watchdog does about workers that compute: each slot is looked at, and time passes when a test says so."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import Any

import pytest

from rpcsvc.workers import watchdog
from rpcsvc.workers.process import Worker
from rpcsvc.workers.scoreboard import Row, Scoreboard
from rpcsvc.workers.supervisor import Cause, Event, Kill, Order, Supervisor
from rpcsvc.workers.watchdog import Watch
from rpcsvc.workers.work import Cancelled, Done, Lost, MemoryUse, Outcome, Work, WorkerExit

GRACE = 2.0


class Stage:
    """A worker with some slots that was given some messages, and whoever looks after it."""

    def __init__(self, slots: int, *, given: int) -> None:
        self.now = 1000.0
        self.interrupts = 0
        self.replaced: list[Worker] = []
        self.told: dict[int, Outcome] = {}
        scoreboard, fd = Scoreboard.create(1, slots)
        os.close(fd)
        supervisor = Supervisor[Worker](dict.fromkeys(Order, lambda _: None), 1.0)
        nobody = SimpleNamespace()
        self.worker = Worker(nobody, supervisor, nobody, 0, scoreboard.row(0))  # type: ignore[arg-type]
        self.worker.expect = lambda _: None  # type: ignore[method-assign]
        self.worker.pid, self.worker.last_event = 4711, self.now
        for event in (Event.MADE, Event.READY, Event.SERVES, Event.GIVEN):
            supervisor.happened(self.worker, event)
        for number in range(1, given + 1):
            work = self.worker.given[number] = Work(b"", self._done(number), None)
            work.given()
        self.watch = Watch([self.worker], supervisor, self._interrupt, GRACE, self.replaced.append)
        self.watch.begin = lambda: None  # type: ignore[method-assign]

    def _done(self, number: int) -> Done:
        return lambda outcome: self.told.update({number: outcome})

    def _interrupt(self, _: Worker) -> None:
        self.interrupts += 1

    def look(self) -> Kill | None:
        self.watch._look()
        return self.worker.kill


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Stage:
    """Slot 0 computes message 2, slot 1 message 3; 1 is computed, and its answer on the way; 4 and 5 are not taken."""
    stage = Stage(2, given=5)
    for slot, message in zip(stage.worker.row.slots, (2, 3), strict=True):
        slot.take(message)
    clock = SimpleNamespace(monotonic=lambda: stage.now, monotonic_ns=lambda: int(stage.now * 1e9))
    monkeypatch.setattr(watchdog, "time", clock)
    monkeypatch.setattr(watchdog, "private_bytes", lambda _: 700)
    return stage


@pytest.mark.parametrize("slot", [0, 1])
def test_a_slot_whose_time_is_up_has_its_worker_killed_over_its_message(stage: Stage, slot: int) -> None:
    stage.worker.row.slots[slot].deadline = int(1005e9)
    assert stage.look() is None
    stage.now = 1006.0
    assert stage.look() == Kill(Cause.TIME, 2 + slot)


def test_a_message_that_is_answered_is_not_killed_for_its_time_any_more(stage: Stage) -> None:
    stage.worker.row.slots[0].deadline = 1
    del stage.worker.given[2]
    assert stage.look() is None


@pytest.mark.parametrize("slot", [0, 1])
def test_a_slot_that_takes_more_memory_than_its_limit_has_its_worker_killed(stage: Stage, slot: int) -> None:
    stage.worker.row.memory_at_start = 100
    stage.worker.row.slots[slot].memory_limit = 600
    assert stage.look() is None
    stage.worker.row.slots[slot].memory_limit = 599
    assert stage.look() == Kill(Cause.MEMORY, 2 + slot, MemoryUse(599, 600))


def test_a_worker_that_takes_nothing_is_deaf_and_one_that_computes_for_long_is_not(stage: Stage) -> None:
    stage.now = 1100.0
    assert stage.look() is None
    for number in (2, 3):
        del stage.worker.given[number]
    stage.worker.last_event = 1099.0
    assert stage.look() is None
    stage.now = 1101.5
    assert stage.look() == Kill(Cause.DEAF)


def test_a_message_that_runs_is_interrupted_until_it_ends_and_killed_after_the_grace(stage: Stage) -> None:
    stage.watch.cancel(stage.worker, 3)
    stage.watch.cancel(stage.worker, 3)
    assert (stage.interrupts, stage.told, stage.worker.row.cancelled) == (1, {}, {3})
    stage.now += GRACE / 2
    assert stage.look() is None
    assert stage.interrupts == 2
    for other in (1, 2, 4, 5):
        del stage.worker.given[other]
    stage.now += GRACE / 2
    assert stage.look() == Kill(Cause.CANCEL, 3)
    stage.worker.given[3].end(Lost(WorkerExit(1, None, 9), True, 0))
    assert stage.told == {3: Cancelled()}


def test_a_message_that_does_not_end_beside_others_has_its_worker_replaced_and_killed_when_those_are_over(
    stage: Stage,
) -> None:
    stage.watch.cancel(stage.worker, 3)
    stage.now += GRACE
    assert (stage.look(), stage.replaced) == (None, [stage.worker])
    stage.worker.worn = True
    assert (stage.look(), stage.replaced) == (None, [stage.worker])
    for other in (1, 4, 5):
        del stage.worker.given[other]
    stage.watch.cancel(stage.worker, 2)
    stage.now += GRACE / 2
    assert stage.look() is None
    stage.now += GRACE / 2
    assert stage.look() == Kill(Cause.CANCEL, 2)


def test_several_whose_time_is_up_at_once_share_the_blame(stage: Stage) -> None:
    for slot in stage.worker.row.slots:
        slot.deadline = 1
    assert stage.look() == Kill(Cause.TIME, 2, others=frozenset({3}))


def test_a_message_that_is_not_taken_ends_at_once_and_its_worker_hears_of_it(stage: Stage) -> None:
    stage.watch.cancel(stage.worker, 5)
    assert (stage.told, stage.worker.row.cancelled, stage.interrupts) == ({5: Cancelled()}, {5}, 1)
    stage.now += 10 * GRACE
    assert stage.look() is None


@pytest.mark.parametrize("look", ["slot_of", "taken"])
def test_a_message_that_is_taken_while_it_is_cancelled_is_stopped(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, look: str
) -> None:
    row = stage.worker.row
    seen = getattr(Row, look)

    def then_taken(*args: Any) -> Any:
        found = seen.fget(*args) if isinstance(seen, property) else seen(*args)
        row.slots[1].take(4)
        return found

    monkeypatch.setattr(Row, look, property(then_taken) if isinstance(seen, property) else then_taken)
    stage.watch.cancel(stage.worker, 4)
    for other in (1, 2, 3, 5):
        del stage.worker.given[other]
    stage.look()
    stage.now += GRACE
    assert stage.look() == Kill(Cause.CANCEL, 4)


def test_a_message_whose_answer_is_on_its_way_ends_at_once_and_nobody_is_interrupted(stage: Stage) -> None:
    stage.watch.cancel(stage.worker, 1)
    assert (stage.told, stage.worker.row.cancelled, stage.interrupts) == ({1: Cancelled()}, frozenset(), 0)


def test_a_cancel_of_what_is_answered_is_forgotten(stage: Stage) -> None:
    stage.watch.cancel(stage.worker, 2)
    del stage.worker.given[2]
    stage.now += 2 * GRACE
    assert stage.look() is None
    assert stage.worker.cancels == {}


def test_a_worker_that_is_being_killed_is_left_alone(stage: Stage) -> None:
    first = Kill(Cause.TIME, 2)
    stage.watch._supervisor.kill(stage.worker, first)
    stage.worker.row.slots[1].deadline = 1
    assert stage.look() == first
