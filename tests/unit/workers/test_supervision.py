"""What happens when a worker ends."""

from __future__ import annotations

import signal

import pytest

from rpcsvc.workers.supervisor import MAX_FAILED_STARTS, GiveUp, Replace, Supervisor, default_max_restarts
from rpcsvc.workers.work import WorkerExit

CRASH = WorkerExit(4711, None, int(signal.SIGSEGV))


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def supervisor_with(clock: Clock, **options: int) -> Supervisor:
    return Supervisor(clock, **{"max_restarts": 100, **options})


def test_a_worker_that_is_killed_each_second_is_replaced_for_ever_even_if_nobody_calls() -> None:
    clock = Clock()
    supervisor = supervisor_with(clock)

    for _ in range(1000):
        clock.now += 1
        assert supervisor.ended(CRASH, was_ready=True, answered=0) == Replace()

    assert supervisor.lost == 1000


def test_one_call_of_a_hundred_may_kill_its_worker_under_full_load() -> None:
    clock = Clock()
    supervisor = supervisor_with(clock)

    for crash in range(5000):
        clock.now += 0.005
        assert supervisor.ended(CRASH, was_ready=True, answered=99 * crash) == Replace()


def test_a_storm_ends_the_pool_with_the_reason() -> None:
    clock = Clock()
    supervisor = supervisor_with(clock)

    decisions = []
    for crash in range(101):
        clock.now += 0.09
        decisions.append(supervisor.ended(CRASH, was_ready=True, answered=crash // 2))

    assert decisions[:-1] == [Replace()] * 100
    assert decisions[-1] == GiveUp(
        "101 workers ended within 10 s, and fewer messages were answered; the last: "
        "worker process 4711 ended by SIGSEGV"
    )


@pytest.mark.parametrize(("seconds", "gives_up"), [(1.9, True), (2.1, False)])
def test_only_what_happened_within_the_window_counts(seconds: float, gives_up: bool) -> None:
    clock = Clock()
    supervisor = supervisor_with(clock, max_restarts=2, restart_window=2)
    supervisor.ended(CRASH, was_ready=True, answered=1000)
    clock.now += seconds
    supervisor.ended(CRASH, was_ready=True, answered=1000)

    assert isinstance(supervisor.ended(CRASH, was_ready=True, answered=1000), GiveUp) is gives_up


def test_answers_from_before_the_window_do_not_make_up_for_it() -> None:
    clock = Clock()
    supervisor = supervisor_with(clock, max_restarts=2)
    for answered in (0, 1_000_000, 1_000_000):
        clock.now += 20
        assert supervisor.ended(CRASH, was_ready=True, answered=answered) == Replace()
    supervisor.ended(CRASH, was_ready=True, answered=1_000_000)

    assert isinstance(supervisor.ended(CRASH, was_ready=True, answered=1_000_000), GiveUp)


def test_a_larger_pool_may_lose_more_workers() -> None:
    assert [default_max_restarts(workers) for workers in (1, 4, 64)] == [100, 100, 1280]


def test_workers_that_never_become_ready_end_the_pool_with_the_reason() -> None:
    supervisor = supervisor_with(Clock())

    decisions = [supervisor.ended(CRASH, was_ready=False, answered=0) for _ in range(MAX_FAILED_STARTS)]

    assert decisions[:-1] == [Replace()] * (MAX_FAILED_STARTS - 1)
    last = decisions[-1]
    assert isinstance(last, GiveUp)
    assert last.reason == (
        f"{MAX_FAILED_STARTS} workers in a row ended before they were ready; the last: "
        "worker process 4711 ended by SIGSEGV"
    )


def test_one_worker_that_becomes_ready_clears_the_count() -> None:
    supervisor = supervisor_with(Clock(), max_failed_starts=2)

    for _ in range(10):
        assert supervisor.ended(CRASH, was_ready=False, answered=0) == Replace()
        supervisor.became_ready()

    assert supervisor.ended(CRASH, was_ready=False, answered=0) == Replace()
    assert isinstance(supervisor.ended(CRASH, was_ready=False, answered=0), GiveUp)


def test_a_crash_during_a_call_does_not_clear_the_count_of_failed_starts() -> None:
    supervisor = supervisor_with(Clock(), max_failed_starts=2)
    supervisor.ended(CRASH, was_ready=False, answered=0)

    assert supervisor.ended(CRASH, was_ready=True, answered=0) == Replace()

    assert isinstance(supervisor.ended(CRASH, was_ready=False, answered=0), GiveUp)
    assert repr(supervisor) == "<Supervisor: 3 lost, 2 failed starts in a row>"
