"""What becomes of the messages of a worker that has ended."""

from __future__ import annotations

import os
from typing import Any

import pytest

from rpcsvc.workers.process import Worker
from rpcsvc.workers.scoreboard import Progress
from rpcsvc.workers.supervisor import Cause, Kill
from rpcsvc.workers.work import Lost, MemoryUse, Work, WorkerExit

KILLED = WorkerExit(4711, None, 9)
NOBODY: Any = None
USE = MemoryUse(limit=10, used=20)


def worker_that_has(*, answered: int, taken: int, given: int) -> Worker:
    progress, fd = Progress.create(1)
    os.close(fd)
    worker = Worker(NOBODY, NOBODY, NOBODY, 0, progress.of(0))
    for _ in range(taken):
        worker.progress.take()
    worker.progress.item[0] = 5
    worker.answered = answered
    worker.given = {number: Work(b"", lambda _: None, None) for number in range(answered + 1, answered + given + 1)}
    worker.exit = KILLED
    return worker


def test_what_was_computed_what_ran_and_what_had_not_begun_are_told_apart() -> None:
    worker = worker_that_has(answered=7, taken=9, given=4)
    works = list(worker.given.values())

    assert [worker.number_of(work) for work in works] == [8, 9, 10, 11]
    assert worker.take_back() == [
        (works[0], Lost(KILLED, False, 5)),
        (works[1], Lost(KILLED, True, 5)),
        (works[2], None),
        (works[3], None),
    ]
    assert not worker.given


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
    assert [how for _, how in worker.take_back()] == [Lost(KILLED, False, 5)] * 2
