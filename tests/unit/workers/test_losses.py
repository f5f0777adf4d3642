"""How messages are lost with their worker: the one that did it, suspects, and those beside what it was killed for."""

from __future__ import annotations

import pytest

from rpcsvc.workers.losses import Running, how_lost
from rpcsvc.workers.supervisor import Cause, Kill
from rpcsvc.workers.work import Lost, MemoryUse, WorkerExit

EXIT = WorkerExit(4711, None, 9)
USED = MemoryUse(100, 300)


def lost(message: int, running: dict[int, Running], kill: Kill | None = None) -> Lost:
    return how_lost(message, running, EXIT, kill, 1.5)


def test_the_only_one_that_was_running_has_done_it() -> None:
    found = lost(3, {3: Running(7)})
    assert found == Lost(EXIT, running=True, item=7)
    assert found.seconds == 1.5


def test_what_was_computed_and_not_heard_of_has_not() -> None:
    assert lost(2, {3: Running(7)}) == Lost(EXIT, running=False, item=0)
    assert lost(2, {3: Running(7), 4: Running(0)}) == Lost(EXIT, running=False, item=0)


@pytest.mark.parametrize("kill", [None, Kill(Cause.BROKEN, 4), Kill(Cause.DEAF)])
def test_each_of_several_is_a_suspect_where_nobody_knows_better(kill: Kill | None) -> None:
    running = {3: Running(7), 4: Running(0), 9: Running(1)}
    assert [lost(message, running, kill) for message in running] == [
        Lost(EXIT, running=True, item=7, beside=2),
        Lost(EXIT, running=True, item=0, beside=2),
        Lost(EXIT, running=True, item=1, beside=2),
    ]


def test_a_worker_killed_over_some_of_several_leaves_no_suspects() -> None:
    running = {3: Running(7), 4: Running(0), 9: Running(1)}
    kill = Kill(Cause.TIME, 4, others=frozenset({9}))
    assert [lost(message, running, kill) for message in running] == [
        Lost(EXIT, running=False, item=7, beside=2),
        Lost(EXIT, running=True, item=0, over_time=True),
        Lost(EXIT, running=True, item=1, over_time=True),
    ]
    assert lost(4, running, Kill(Cause.CANCEL, 4)) == Lost(EXIT, running=True, item=0)


def test_all_are_suspects_where_a_worker_had_too_much_memory_and_told_so_where_they_had_a_limit() -> None:
    running = {3: Running(7), 4: Running(0, 100), 9: Running(1, 500), 10: Running(2, 200)}
    assert [lost(message, running, Kill(Cause.MEMORY, 4, USED)) for message in running] == [
        Lost(EXIT, running=True, item=7, beside=3),
        Lost(EXIT, running=True, item=0, over_memory=USED, beside=3),
        Lost(EXIT, running=True, item=1, beside=3),
        Lost(EXIT, running=True, item=2, over_memory=MemoryUse(200, 300), beside=3),
    ]


@pytest.mark.parametrize(
    ("kill", "expected"),
    [
        (Kill(Cause.TIME, 3), Lost(EXIT, True, 7, over_time=True)),
        (Kill(Cause.TIME, 2), Lost(EXIT, False, 7)),
        (Kill(Cause.MEMORY, 3, USED), Lost(EXIT, True, 7, over_memory=USED)),
        (Kill(Cause.MEMORY, 2, USED), Lost(EXIT, False, 7)),
        (Kill(Cause.CANCEL, 3), Lost(EXIT, True, 7)),
    ],
)
def test_alone_it_is_to_blame_if_its_worker_was_killed_over_it(kill: Kill, expected: Lost) -> None:
    assert lost(3, {3: Running(7)}, kill) == expected
