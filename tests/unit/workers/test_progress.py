"""The numbers that workers share with the server: seen from both sides, each worker's its own."""

from __future__ import annotations

import os

import pytest

from rpcsvc.workers.scoreboard import MAX_CANCELLED, Progress


@pytest.fixture
def both_sides() -> tuple[Progress, Progress]:
    """The server's and a worker's view of three workers' numbers."""
    servers, fd = Progress.create(3)
    workers = Progress(fd, 3)
    os.close(fd)  # the mapping does not need it
    return servers, workers


def test_what_a_worker_notes_is_seen_by_the_server(both_sides: tuple[Progress, Progress]) -> None:
    seen, own = (side.of(1) for side in both_sides)
    assert (seen.taken, seen.item[0]) == (0, 0)

    own.take()
    own.item[0] = 41

    assert (seen.taken, seen.item[0]) == (1, 41)


def test_each_message_begins_with_its_first_call(both_sides: tuple[Progress, Progress]) -> None:
    seen, own = (side.of(0) for side in both_sides)
    own.take()
    own.item[0] = 9999

    own.take()

    assert (seen.taken, seen.item[0]) == (2, 0)


def test_the_numbers_of_one_worker_are_not_those_of_another(both_sides: tuple[Progress, Progress]) -> None:
    seen, own = both_sides
    for number in range(3):
        for _ in range(number + 1):
            own.of(number).take()
        own.of(number).item[0] = 10 * number

    assert [(seen.of(number).taken, seen.of(number).item[0]) for number in range(3)] == [(1, 0), (2, 10), (3, 20)]


def test_a_replacement_begins_anew_with_the_number_of_the_worker_that_went(
    both_sides: tuple[Progress, Progress],
) -> None:
    seen, own = both_sides
    for number in (0, 1):
        own.of(number).take()
        own.of(number).item[0] = 5

    seen.of(0).reset()

    assert (own.of(0).taken, own.of(0).item[0]) == (0, 0)
    assert (own.of(1).taken, own.of(1).item[0]) == (1, 5)


def test_a_child_process_writes_where_its_parent_reads() -> None:
    progress, fd = Progress.create(1)
    os.close(fd)
    child = os.fork()
    if child == 0:
        progress.of(0).take()
        progress.of(0).item[0] = 7
        os._exit(0)
    os.waitpid(child, 0)

    assert (progress.of(0).taken, progress.of(0).item[0]) == (1, 7)


def test_the_server_notes_what_is_cancelled_over_what_is_over(both_sides: tuple[Progress, Progress]) -> None:
    servers, own = (side.of(2) for side in both_sides)
    assert own.cancelled == frozenset()

    for message in range(1, MAX_CANCELLED + 1):
        servers.cancel(message, over=0)
    assert own.cancelled == set(range(1, MAX_CANCELLED + 1))

    servers.cancel(MAX_CANCELLED + 1, over=3)
    servers.cancel(MAX_CANCELLED + 2, over=3)
    assert own.cancelled == set(range(3, MAX_CANCELLED + 3))
    assert own.taken == 0
    assert both_sides[1].of(1).cancelled == frozenset()


def test_limits_of_the_running_call_are_seen_and_forgotten_with_the_worker(
    both_sides: tuple[Progress, Progress],
) -> None:
    servers, own = (side.of(1) for side in both_sides)
    own.deadline, own.memory_limit, own.memory_at_start = 5, 6, 7
    servers.cancel(1, over=0)
    assert (servers.deadline, servers.memory_limit, servers.memory_at_start) == (5, 6, 7)

    servers.reset()

    assert (own.deadline, own.memory_limit, own.memory_at_start, own.cancelled) == (0, 0, 0, frozenset())
