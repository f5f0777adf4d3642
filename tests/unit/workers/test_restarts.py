"""When workers that end are not replaced any more."""

from __future__ import annotations

import signal

import pytest

from rpcsvc.workers.restarts import MAX_FAILED_STARTS, Restarts, default_max_restarts
from rpcsvc.workers.work import WorkerExit

CRASH = WorkerExit(4711, None, int(signal.SIGSEGV))


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def restarts_with(clock: Clock, **options: int) -> Restarts:
    return Restarts(clock, **{"max_restarts": 100, **options})


def test_a_worker_that_is_killed_each_second_is_replaced_for_ever_even_if_nobody_calls() -> None:
    clock = Clock()
    restarts = restarts_with(clock)

    for _ in range(1000):
        clock.now += 1
        assert restarts.ended(CRASH, was_ready=True, answered=0) is None


def test_one_call_of_a_hundred_may_kill_its_worker_under_full_load() -> None:
    clock = Clock()
    restarts = restarts_with(clock)

    for crash in range(5000):
        clock.now += 0.005
        assert restarts.ended(CRASH, was_ready=True, answered=99 * crash) is None


def test_a_storm_ends_the_pool_with_the_reason() -> None:
    clock = Clock()
    restarts = restarts_with(clock)

    decisions = []
    for crash in range(101):
        clock.now += 0.09
        decisions.append(restarts.ended(CRASH, was_ready=True, answered=crash // 2))

    assert decisions[:-1] == [None] * 100
    assert decisions[-1] == (
        "101 workers ended within 10 s, and fewer messages were answered; the last: "
        "worker process 4711 ended by SIGSEGV"
    )


@pytest.mark.parametrize(("seconds", "gives_up"), [(1.9, True), (2.1, False)])
def test_only_what_happened_within_the_window_counts(seconds: float, gives_up: bool) -> None:
    clock = Clock()
    restarts = restarts_with(clock, max_restarts=2, restart_window=2)
    restarts.ended(CRASH, was_ready=True, answered=1000)
    clock.now += seconds
    restarts.ended(CRASH, was_ready=True, answered=1000)

    assert (restarts.ended(CRASH, was_ready=True, answered=1000) is not None) is gives_up


def test_answers_from_before_the_window_do_not_make_up_for_it() -> None:
    clock = Clock()
    restarts = restarts_with(clock, max_restarts=2)
    for answered in (0, 1_000_000, 1_000_000):
        clock.now += 20
        assert restarts.ended(CRASH, was_ready=True, answered=answered) is None
    restarts.ended(CRASH, was_ready=True, answered=1_000_000)

    assert restarts.ended(CRASH, was_ready=True, answered=1_000_000) is not None


def test_a_larger_pool_may_lose_more_workers() -> None:
    assert [default_max_restarts(workers) for workers in (1, 4, 64)] == [100, 100, 1280]


def test_workers_that_never_become_ready_end_the_pool_with_the_reason() -> None:
    restarts = restarts_with(Clock())

    decisions = [restarts.ended(CRASH, was_ready=False, answered=0) for _ in range(MAX_FAILED_STARTS)]

    assert decisions[:-1] == [None] * (MAX_FAILED_STARTS - 1)
    assert decisions[-1] == (
        f"{MAX_FAILED_STARTS} workers in a row ended before they were ready; the last: "
        "worker process 4711 ended by SIGSEGV"
    )


def test_one_worker_that_becomes_ready_clears_the_count() -> None:
    restarts = restarts_with(Clock(), max_failed_starts=2)

    for _ in range(10):
        assert restarts.ended(CRASH, was_ready=False, answered=0) is None
        restarts.became_ready()

    assert restarts.ended(CRASH, was_ready=False, answered=0) is None
    assert restarts.ended(CRASH, was_ready=False, answered=0) is not None


def test_a_crash_during_a_call_does_not_clear_the_count_of_failed_starts() -> None:
    restarts = restarts_with(Clock(), max_failed_starts=2)
    restarts.ended(CRASH, was_ready=False, answered=0)

    assert restarts.ended(CRASH, was_ready=True, answered=0) is None

    assert restarts.ended(CRASH, was_ready=False, answered=0) is not None
    assert repr(restarts) == "<Restarts: 3 lately, 2 failed starts in a row>"
