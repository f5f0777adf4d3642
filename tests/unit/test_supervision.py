"""What happens when a worker ends."""

from __future__ import annotations

import signal

import pytest

from rpcsvc.supervision import MAX_FAILED_STARTS, GiveUp, Replace, Supervisor, WorkerExit

CRASH = WorkerExit(4711, None, int(signal.SIGSEGV))


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


def test_a_worker_that_had_been_ready_is_replaced_however_often_that_happens() -> None:
    supervisor = Supervisor()

    decisions = [supervisor.ended(CRASH, was_ready=True) for _ in range(1000)]

    assert decisions == [Replace()] * 1000
    assert supervisor.lost == 1000


def test_workers_that_never_become_ready_end_the_pool_with_the_reason() -> None:
    supervisor = Supervisor()

    decisions = [supervisor.ended(CRASH, was_ready=False) for _ in range(MAX_FAILED_STARTS)]

    assert decisions[:-1] == [Replace()] * (MAX_FAILED_STARTS - 1)
    last = decisions[-1]
    assert isinstance(last, GiveUp)
    assert last.reason == (
        f"{MAX_FAILED_STARTS} workers in a row ended before they were ready; the last: "
        "worker process 4711 ended by SIGSEGV"
    )


def test_one_worker_that_becomes_ready_clears_the_count() -> None:
    supervisor = Supervisor(max_failed_starts=2)

    for _ in range(10):
        assert supervisor.ended(CRASH, was_ready=False) == Replace()
        supervisor.became_ready()

    assert supervisor.ended(CRASH, was_ready=False) == Replace()
    assert isinstance(supervisor.ended(CRASH, was_ready=False), GiveUp)


def test_a_crash_during_a_call_does_not_clear_the_count_of_failed_starts() -> None:
    supervisor = Supervisor(max_failed_starts=2)
    supervisor.ended(CRASH, was_ready=False)

    assert supervisor.ended(CRASH, was_ready=True) == Replace()

    assert isinstance(supervisor.ended(CRASH, was_ready=False), GiveUp)
    assert repr(supervisor) == "<Supervisor: 3 lost, 2 failed starts in a row>"
