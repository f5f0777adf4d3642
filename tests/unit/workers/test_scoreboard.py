"""The numbers that workers share with the server: seen from both sides, each worker's and each slot's its own."""

from __future__ import annotations

import os

import pytest

from rpcsvc.workers.scoreboard import MAX_GIVEN, Scoreboard


@pytest.fixture(params=[1, 3], ids=["one slot", "three slots"])
def both_sides(request: pytest.FixtureRequest) -> tuple[Scoreboard, Scoreboard]:
    """The server's and a worker's view of three workers' rows."""
    servers, fd = Scoreboard.create(3, request.param)
    workers = Scoreboard(fd, 3, request.param)
    os.close(fd)  # the mapping does not need it
    return servers, workers


def test_what_a_worker_notes_is_seen_by_the_server(both_sides: tuple[Scoreboard, Scoreboard]) -> None:
    seen, own = (side.row(1).slots[-1] for side in both_sides)
    assert (seen.message, seen.item[0]) == (0, 0)

    own.take(7)
    own.item[0] = 41

    assert (seen.message, seen.item[0]) == (7, 41)


def test_each_message_begins_with_its_first_call(both_sides: tuple[Scoreboard, Scoreboard]) -> None:
    seen, own = (side.row(0).slots[0] for side in both_sides)
    own.take(1)
    own.item[0] = 9999

    own.take(2)

    assert (seen.message, seen.item[0]) == (2, 0)


def test_the_numbers_of_one_worker_are_not_those_of_another(both_sides: tuple[Scoreboard, Scoreboard]) -> None:
    seen, own = both_sides
    for number in range(3):
        own.row(number).slots[0].take(number + 1)
        own.row(number).slots[0].item[0] = 10 * number
        own.row(number).memory_at_start = 100 * number

    rows = [seen.row(number) for number in range(3)]
    assert [(row.taken, row.slots[0].item[0], row.memory_at_start) for row in rows] == [
        (1, 0, 0),
        (2, 10, 100),
        (3, 20, 200),
    ]


def test_each_slot_has_numbers_of_its_own_and_what_was_taken_is_the_last_of_all() -> None:
    servers, fd = Scoreboard.create(2, 3)
    own = Scoreboard(fd, 2, 3).row(1)
    os.close(fd)
    for slot, message in zip(own.slots, (4, 6, 5), strict=True):
        slot.take(message)
        slot.item[0] = 10 * message
        slot.deadline, slot.memory_limit = 100 * message, 1000 * message

    seen = servers.row(1)

    assert [(s.message, s.item[0], s.deadline, s.memory_limit) for s in seen.slots] == [
        (4, 40, 400, 4000),
        (6, 60, 600, 6000),
        (5, 50, 500, 5000),
    ]
    assert seen.taken == 6
    assert seen.slot_of(5) is seen.slots[2]
    assert seen.slot_of(3) is None
    assert seen.cancelled == frozenset()
    assert servers.row(0).taken == 0


def test_a_replacement_begins_anew_with_the_number_of_the_worker_that_went(
    both_sides: tuple[Scoreboard, Scoreboard],
) -> None:
    seen, own = both_sides
    for number in (0, 1):
        own.row(number).slots[-1].take(1)
        own.row(number).slots[-1].item[0] = 5

    seen.row(0).reset()

    assert [(own.row(number).taken, own.row(number).slots[-1].item[0]) for number in (0, 1)] == [(0, 0), (1, 5)]


def test_a_child_process_writes_where_its_parent_reads() -> None:
    scoreboard, fd = Scoreboard.create(1)
    os.close(fd)
    (slot,) = scoreboard.row(0).slots
    child = os.fork()
    if child == 0:
        slot.take(1)
        slot.item[0] = 7
        os._exit(0)
    os.waitpid(child, 0)

    assert (slot.message, slot.item[0]) == (1, 7)


def test_what_is_detached_is_written_where_nobody_reads_by_whoever_had_a_slot_before(
    both_sides: tuple[Scoreboard, Scoreboard],
) -> None:
    seen, own = (side.row(2) for side in both_sides)
    slot = own.slots[-1]
    slot.take(1)

    own.detach()
    slot.take(2)
    slot.deadline = 5
    own.memory_at_start = 3

    assert (seen.slots[-1].message, seen.slots[-1].deadline, seen.memory_at_start) == (1, 0, 0)
    assert (own.taken, slot.deadline, own.memory_at_start) == (2, 5, 3)


def test_the_server_notes_what_is_cancelled_over_what_is_over(both_sides: tuple[Scoreboard, Scoreboard]) -> None:
    servers, own = (side.row(2) for side in both_sides)
    assert own.cancelled == frozenset()

    for message in range(1, MAX_GIVEN + 1):
        servers.cancel(message, under_way=range(1, MAX_GIVEN + 1))
    assert own.cancelled == set(range(1, MAX_GIVEN + 1))

    under_way = {*range(1, MAX_GIVEN + 3)} - {2, 5}
    servers.cancel(MAX_GIVEN + 1, under_way=under_way)
    servers.cancel(MAX_GIVEN + 2, under_way=under_way)
    assert own.cancelled == under_way
    assert own.taken == 0
    assert both_sides[1].row(1).cancelled == frozenset()


def test_a_row_has_room_for_as_many_cancels_and_ends_as_it_has_slots() -> None:
    servers, fd = Scoreboard.create(1, 40)
    own = Scoreboard(fd, 1, 40).row(0)
    os.close(fd)
    seen = servers.row(0)
    for message in range(1, 41):
        seen.cancel(message, under_way=range(1, 41))
        seen.ends[message % len(seen.ends)] = message / 2
    own.slots[39].take(40)
    assert own.cancelled == set(range(1, 41))
    assert [own.ends[message % len(own.ends)] for message in (1, 39, 40)] == [0.5, 19.5, 20.0]
    assert (seen.taken, [slot.message for slot in seen.slots[:39]]) == (40, [0] * 39)


def test_limits_of_the_running_call_are_seen_and_forgotten_with_the_worker(
    both_sides: tuple[Scoreboard, Scoreboard],
) -> None:
    servers, own = (side.row(1) for side in both_sides)
    own.slots[0].deadline, own.slots[0].memory_limit, own.memory_at_start = 5, 6, 7
    servers.cancel(1, under_way=())
    assert (servers.slots[0].deadline, servers.slots[0].memory_limit, servers.memory_at_start) == (5, 6, 7)

    servers.reset()

    assert (own.slots[0].deadline, own.slots[0].memory_limit, own.memory_at_start, own.cancelled) == (
        0,
        0,
        0,
        frozenset(),
    )


def test_the_server_notes_until_when_somebody_waits_and_a_child_of_the_worker_has_its_own_copy(
    both_sides: tuple[Scoreboard, Scoreboard],
) -> None:
    servers, own = (side.row(1) for side in both_sides)
    servers.ends[MAX_GIVEN - 1] = 1234.5
    servers.ends[0] = 2.25
    assert (own.ends[MAX_GIVEN - 1], own.ends[0], own.ends[1]) == (1234.5, 2.25, 0.0)
    assert (own.taken, own.cancelled) == (0, frozenset())

    own.detach()
    servers.ends[0] = 3.0

    assert (own.ends[0], both_sides[1].row(1).ends[0], both_sides[1].row(0).ends[0]) == (2.25, 3.0, 0.0)
