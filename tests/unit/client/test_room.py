"""Room for a bounded number of calls, without a lock."""

from __future__ import annotations

import math
import threading
import time

import pytest

from rpcsvc.client import own_thread
from rpcsvc.client.room import Room


def in_time(seconds: float) -> float:
    return time.monotonic() + seconds


def test_there_is_room_for_so_many_and_for_others_when_they_leave() -> None:
    room = Room(2)
    assert [room.enter(in_time(0.01)) for _ in range(3)] == [True, True, False]
    room.leave()
    assert [room.enter(in_time(0.01)) for _ in range(2)] == [True, False]


def test_a_limit_that_nobody_reaches_costs_nothing() -> None:
    assert Room(10**12).enter(in_time(0))


@pytest.mark.parametrize("timeout", [5.0, math.inf])
def test_who_waits_gets_the_place_that_comes_free(timeout: float) -> None:
    room = Room(1)
    assert room.enter(in_time(0))
    threading.Timer(0.05, room.leave).start()
    assert room.enter(in_time(timeout))


def test_a_clients_own_thread_goes_beyond_the_limit_and_the_places_are_given_back_to_nobody() -> None:
    room = Room(1)
    assert room.enter(in_time(0))
    with own_thread.entered():
        assert room.enter(in_time(0))
        assert room.enter(in_time(0))
    for _ in range(2):
        room.leave()
        assert not room.enter(in_time(0.01)), "there are as many inside as there is room for, or more"
    room.leave()
    assert room.enter(in_time(0.01))


def test_closing_sends_away_who_waits_and_who_comes() -> None:
    room = Room(1)
    assert room.enter(in_time(0))
    entered: list[bool] = []
    threads = [threading.Thread(target=lambda: entered.append(room.enter(math.inf))) for _ in range(5)]
    for thread in threads:
        thread.start()
    room.close()
    for thread in threads:
        thread.join(5)
    assert entered == [False] * 5


def test_no_place_is_lost_or_made_by_many_threads() -> None:
    room, inside, most = Room(7), 0, 0
    lock = threading.Lock()

    def work() -> None:
        nonlocal inside, most
        for _ in range(500):
            assert room.enter(in_time(30))
            with lock:
                inside += 1
                most = max(most, inside)
            with lock:
                inside -= 1
            room.leave()

    threads = [threading.Thread(target=work) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most <= 7
    assert [room.enter(in_time(0.01)) for _ in range(8)] == [True] * 7 + [False]
