"""`cast_many` without a broker: what is under way, what is told of failures, and when the iterable is read."""

from __future__ import annotations

import asyncio
import pickle
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from rpcsvc.client.many_casts import MOST_BYTES, MOST_UNDER_WAY, ManyCasts, cast_all, cast_all_awaited
from rpcsvc.client.outgoing import Outgoing
from rpcsvc.errors import CastRejected, ConfigurationError, EncodingError, NoServer, RpcError


class Sender:
    """Makes casts, and settles them when the test says so.

    Attributes:
        fails: the errors of casts, by their places.
        unmade: the places whose casts cannot be made.
    """

    def __init__(self, *, body: bytes = b"{}", at_once: bool = True) -> None:
        self.posted: list[Outgoing] = []
        self.fails: dict[int, RpcError] = {}
        self.unmade: set[int] = set()
        self.waits: list[int] = []
        self._body = body
        self._at_once = at_once
        self._settled = 0

    def make(self, *, args: tuple[Any, ...], settled: Callable[[Outgoing, RpcError | None], None]) -> Outgoing:
        place = len(self.posted)
        if place in self.unmade:
            raise EncodingError("it cannot travel")
        return Outgoing(None, f"m{place}", "", "q", self._body, 0.0, 0.0, settled)  # type: ignore[arg-type]

    def post(self, message: Outgoing) -> None:
        self.posted.append(message)
        if self._at_once:
            self.settle()

    def settle(self) -> None:
        """All that were posted have their outcome."""
        for place in range(self._settled, len(self.posted)):
            message = self.posted[place]
            self._settled = place + 1
            message.settled(message, self.fails.get(place))

    def wait_for(self, casts: ManyCasts, under_way: int) -> None:
        self.waits.append(under_way)
        self.settle()
        casts.wait(under_way)

    def run(self, *iterables: Any) -> list[str]:
        return cast_all(self.make, self.post, self.wait_for, iterables)

    def run_awaited(self, *iterables: Any) -> list[str]:
        return asyncio.run(cast_all_awaited(self.make, self.post, iterables))


@pytest.fixture(params=["run", "run_awaited"])
def way(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_the_ids_come_in_the_order_of_the_items(way: str) -> None:
    assert getattr(Sender(), way)(range(250)) == [f"m{place}" for place in range(250)]
    assert getattr(Sender(), way)([]) == []


def test_iterables_are_read_side_by_side_and_the_shortest_one_ends_it() -> None:
    made: list[tuple[Any, ...]] = []
    sender = Sender()
    make = sender.make

    def noting(*, args: tuple[Any, ...], settled: Any) -> Outgoing:
        made.append(args)
        return make(args=args, settled=settled)

    sender.make = noting  # type: ignore[method-assign]
    sender.run([(1, 2), (3, 4)], "abc")
    assert made == [((1, 2), "a"), ((3, 4), "b")]


def test_no_more_are_under_way_than_are_to_be() -> None:
    sender = Sender(at_once=False)
    sender.run(range(2 * MOST_UNDER_WAY))
    assert sender.waits == [MOST_UNDER_WAY // 2] * 2 + [0]


def test_large_ones_are_counted_by_their_bytes() -> None:
    sender = Sender(at_once=False, body=b"x" * (MOST_BYTES // 4))
    sender.run(range(9))
    assert sender.waits == [MOST_UNDER_WAY // 2] * 2 + [0]


def test_after_a_failure_no_further_item_is_taken_and_the_first_one_is_raised(way: str) -> None:
    sender = Sender()
    sender.fails = {3: NoServer("q", "why")}
    items = iter(range(100))
    with pytest.raises(NoServer) as caught:
        getattr(sender, way)(items)
    error = caught.value
    assert next(items) == 4
    assert {place: type(each) for place, each in error.failed.items()} == {3: NoServer}
    assert error.message_ids == ["m0", "m1", "m2", "m3"]
    (note,) = error.__notes__
    assert note == (
        "cast_many: of the first 4 items 3 are safe, 1 failed, and of 0 that is unknown; no further item was sent "
        "(see the attributes failed and message_ids of this error)"
    )
    assert pickle.loads(pickle.dumps(error)).failed.keys() == {3}


def test_all_that_failed_are_told_by_their_places() -> None:
    sender = Sender(at_once=False)
    sender.fails = {place: CastRejected("f", f"m{place}", "q") for place in (7, 2, 5)}
    with pytest.raises(CastRejected) as caught:
        sender.run(range(10))
    assert list(caught.value.failed) == [2, 5, 7]
    assert caught.value.message_id == "m2"
    assert NoServer("q", "why").failed == {}


def test_an_item_that_cannot_travel_is_a_failure_at_its_place(way: str) -> None:
    sender = Sender()
    sender.unmade = {2}
    with pytest.raises(EncodingError) as caught:
        getattr(sender, way)(range(10))
    assert list(caught.value.failed) == [2]
    assert caught.value.message_ids == ["m0", "m1"]


def test_what_an_iterable_raises_comes_when_all_are_settled(way: str) -> None:
    def items() -> Iterator[int]:
        yield 1
        raise LookupError("no more")

    sender = Sender()
    with pytest.raises(LookupError) as caught:
        getattr(sender, way)(items())
    assert "of the first 1 items 1 are safe" in caught.value.__notes__[0]


def test_who_is_interrupted_is_not_kept_waiting() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise KeyboardInterrupt

    sender = Sender(at_once=False)
    with pytest.raises(KeyboardInterrupt) as caught:
        sender.run(items())
    assert sender.waits == []
    assert "of 1 that is unknown" in caught.value.__notes__[0]


def test_what_is_no_iterable_is_said(way: str) -> None:
    with pytest.raises(ConfigurationError, match="at least one iterable"):
        getattr(Sender(), way)()
    with pytest.raises(ConfigurationError, match="not int: 3"):
        getattr(Sender(), way)(3)


def test_one_asynchronous_iterable_is_read_as_such() -> None:
    async def items() -> AsyncIterator[int]:
        for number in range(3):
            await asyncio.sleep(0)
            yield number

    assert Sender().run_awaited(items()) == ["m0", "m1", "m2"]


def test_it_waits_on_its_event_loop_and_may_be_cancelled() -> None:
    async def run() -> str:
        sender = Sender(at_once=False)
        sends = asyncio.ensure_future(cast_all_awaited(sender.make, sender.post, (range(MOST_UNDER_WAY + 5),)))
        while len(sender.posted) < MOST_UNDER_WAY:
            await asyncio.sleep(0)
        assert not sends.done()
        sender.settle()
        while len(sender.posted) < MOST_UNDER_WAY + 5:
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        sends.cancel()
        try:
            await sends
        except asyncio.CancelledError as error:
            sender.settle()
            return str(error.__notes__[0])
        raise AssertionError("it was not cancelled")

    assert "of 5 that is unknown" in asyncio.run(run())


def test_a_thread_that_waits_is_woken_by_the_one_that_settles() -> None:
    casts = ManyCasts()
    message = Outgoing(None, "m", "", "q", b"{}", 0.0, 0.0, casts.settled)  # type: ignore[arg-type]
    assert casts.made(message)
    waits = threading.Thread(target=casts.wait, args=(0,))
    waits.start()
    casts.settled(message, None)
    waits.join(10)
    assert not waits.is_alive()
    casts.wait(0)
    assert casts.result() == ["m"]


def test_who_did_not_need_to_wait_is_woken_for_nothing_and_the_next_one_as_well() -> None:
    casts, woken = ManyCasts(), []
    message = Outgoing(None, "m", "", "q", b"{}", 0.0, 0.0, casts.settled)  # type: ignore[arg-type]
    assert not casts.notify(lambda: woken.append(1), under_way=0)
    casts.made(message)
    assert casts.notify(lambda: woken.append(2), under_way=0)
    casts.settled(message, None)
    assert sorted(woken) == [1, 2]
