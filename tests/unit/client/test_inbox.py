"""The events of one subscription, between the thread that brings them and those that take them."""

from __future__ import annotations

import asyncio
import math
import threading
from queue import SimpleQueue
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rpcsvc.amqp import Delivery
from rpcsvc.client.inbox import Arrived, Inbox
from rpcsvc.errors import AccessRefused


def arrived(number: int, channel: Any = None) -> Arrived:
    return Arrived(Delivery(number, False, b"", None, None, None, None), channel)


def number_of(taken: Arrived | None) -> int:
    assert taken is not None
    return taken.delivery.delivery_tag


def test_events_are_taken_in_the_order_in_which_they_came() -> None:
    inbox = Inbox(math.inf)
    for number in range(100):
        inbox.put(arrived(number))
    assert [number_of(inbox.take(0)) for _ in range(100)] == list(range(100))
    with pytest.raises(TimeoutError):
        inbox.take(0)


@given(st.integers(1, 5), st.lists(st.booleans(), max_size=40))
def test_every_event_is_either_taken_or_told_as_missed(limit: int, steps: list[bool]) -> None:
    inbox, put, taken = Inbox(limit), 0, 0
    missed: list[int] = []
    for is_put in [*steps, *[False] * limit]:
        if is_put:
            inbox.put(arrived(put))
            put += 1
            assert len(inbox) <= limit
        elif len(inbox):
            number = number_of(inbox.take(0))
            missed.append(inbox.missed())
            assert number == taken + sum(missed), "those before it were taken, or are told"
            taken += 1
    assert taken + sum(missed) == put
    assert inbox.dropped == sum(missed)


def test_the_oldest_is_dropped_for_the_newest_and_told_as_missed_once() -> None:
    inbox = Inbox(2)
    for number in range(5):
        inbox.put(arrived(number))
        assert len(inbox) <= 2
    assert (inbox.dropped, inbox.missed(), inbox.missed()) == (3, 3, 0)
    assert [number_of(inbox.take(0)) for _ in range(2)] == [3, 4]


def test_an_event_that_somebody_takes_in_the_moment_in_which_it_would_be_dropped_is_not_dropped() -> None:
    inbox = Inbox(1)

    class Raced(SimpleQueue[Any]):
        def qsize(self) -> int:
            size = super().qsize()
            if size:
                inbox.take(0)
            return size

    inbox._queue = Raced()
    inbox.put(arrived(1))
    inbox.put(arrived(2))
    assert inbox.dropped == 0
    inbox._queue = Raced()
    assert len(inbox) == 0


def test_what_somebody_tells_in_this_moment_nobody_else_tells() -> None:
    inbox = Inbox(1)
    inbox.put(arrived(1))
    inbox.put(arrived(2))
    told = inbox._told.pop()  # as `missed` does, until it has counted
    assert inbox.missed() == 0
    inbox._told.append(told)
    assert inbox.missed() == 1


def test_what_is_missed_is_told_once_though_several_ask() -> None:
    inbox, told = Inbox(1), []
    start = threading.Barrier(5)

    def ask() -> None:
        start.wait()
        told.append(sum(inbox.missed() for _ in range(2000)))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    start.wait()
    for number in range(2001):
        inbox.put(arrived(number))
    for thread in threads:
        thread.join()
    assert sum(told) + inbox.missed() == 2000


def test_the_end_is_for_everybody_who_waits_and_for_good() -> None:
    inbox = Inbox(1)
    taken: list[Arrived | None] = []
    threads = [threading.Thread(target=lambda: taken.append(inbox.take())) for _ in range(3)]
    for thread in threads:
        thread.start()
    inbox.end(None)
    for thread in threads:
        thread.join(5)
    inbox.put(arrived(1))
    inbox.end(AccessRefused("too late"))
    assert [*taken, inbox.take(0), inbox.take(5.0)] == [None] * 5
    assert len(inbox) == 0


def test_what_came_before_the_end_is_given_first_and_then_the_error_each_time_anew() -> None:
    inbox = Inbox(5)
    inbox.put(arrived(7))
    inbox.end(AccessRefused("no right"))
    assert number_of(inbox.take(0)) == 7
    raised = []
    for _ in range(2):
        with pytest.raises(AccessRefused, match="no right") as caught:
            inbox.take()
        raised.append(caught.value)
    assert raised[0] is not raised[1]


@pytest.mark.parametrize("timeout", [0, -1.0, 0.001])
def test_no_event_in_time_is_a_time_out(timeout: float) -> None:
    with pytest.raises(TimeoutError):
        Inbox(1).take(timeout)


def test_a_time_out_may_be_longer_than_threads_can_wait() -> None:
    inbox = Inbox(1)
    inbox.put(arrived(1))
    assert number_of(inbox.take(1e300)) == 1


def test_who_puts_is_followed_by_a_word() -> None:
    words: list[int] = []
    inbox = Inbox(2, lambda: words.append(len(inbox)))
    inbox.put(arrived(1))
    inbox.put(arrived(2))
    inbox.end(None)
    assert words == [1, 2, 2]
    assert repr(inbox) == "<Inbox: 2 of 2 events wait, 0 were dropped>"
    assert repr(Inbox(math.inf)) == "<Inbox: 0 events wait, 0 were dropped>"


def test_an_event_whose_channel_has_gone_comes_again() -> None:
    class Channel:
        def __init__(self) -> None:
            self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def ask() -> None:
        channel = Channel()
        event = arrived(1, cast(Any, channel))
        assert not event.comes_again
        channel.lost.set_result(None)
        assert event.comes_again
        assert not arrived(1).comes_again

    asyncio.run(ask())
