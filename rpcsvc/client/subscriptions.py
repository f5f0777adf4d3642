"""What `subscribe` gives: `Subscription` for threads, `AsyncSubscription` for asyncio. Both iterate over events."""

from __future__ import annotations

import asyncio
import contextlib
import weakref
from collections.abc import AsyncIterator, Generator, Iterator
from types import TracebackType
from typing import Any, Self, TypeAlias

from ..errors import ClientClosed, OutOfPlace
from ..wire.events import Event, read_event
from . import own_thread
from .calls import now
from .inbox import Arrived, Inbox
from .link import CallLink
from .portal import LinkThread
from .subscribing import Subscriber, Wanted

_Raised: TypeAlias = type[BaseException] | None
_CLOSED = "the subscription is closed, or its client is"


class _Taking:
    """What both have in common: the inbox, and the event that is in hand."""

    def __init__(self, wanted: Wanted, inbox: Inbox, link: CallLink) -> None:
        self._inbox = inbox
        self._subscriber: Subscriber = link.subscriptions.new(wanted, inbox)
        self._in_hand: Arrived | None = None
        self._since = 0.0

    @property
    def dropped(self) -> int:
        """How many events it dropped until now, because they were not taken in time."""
        return self._inbox.dropped

    @property
    def interruptions(self) -> int:
        """How often it was away: its connection or its queue went. Without a name, what was published then is lost."""
        return self._subscriber.interruptions

    def _given(self, arrived: Arrived | None) -> Event | None:
        """What has arrived, as it is given out; None at the end."""
        if arrived is None:
            return None
        if arrived.channel is not None:
            self._in_hand, self._since = arrived, now()
        delivery = arrived.delivery
        return read_event(
            delivery.routing_key,
            delivery.body,
            content_type=delivery.content_type,
            headers=lambda: delivery.headers,
            timestamp=delivery.timestamp,
            message_id=delivery.message_id,
            redelivered=delivery.redelivered,
            missed=self._inbox.missed(),
        )

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of the {self._subscriber.wanted}: {self._inbox!r}>"


class Subscription(_Taking, Iterator[Event]):
    """The events of a subscription, for as long as it is open.

        with client.subscribe("order.*") as events:
            for event in events:
                print(event.topic, event.body)

    The iteration ends when it is closed, or its client is. A lost connection does not end it. One with a name holds one
    event at a time, and acks it when the next one is asked for, when `ack` is called, or when a `with` block around it
    is left without an error; so one thread at a time uses it.
    """

    def __init__(self, wanted: Wanted, thread: LinkThread, client: object) -> None:
        """For `RpcClient.subscribe`, which see."""
        super().__init__(wanted, Inbox(wanted.room), thread.link)
        self._thread = thread
        self._client = client  # one that nobody keeps would be closed
        try:
            thread.run(lambda: thread.link.subscriptions.open(self._subscriber))
        except BaseException:
            self.close()
            raise

    def get(self, timeout: float | None = None) -> Event:
        """The next event, when there is one.

        Args:
            timeout: seconds to wait for it; None waits without end.

        Raises:
            TimeoutError: none came in time. The subscription goes on.
            ClientClosed: it is closed, or its client is.
            AccessRefused, AuthenticationFailed, ExchangeNotFound: it was lost, and is not to be had again.
            OutOfPlace: it would wait on a client's own thread (in a done callback), or in a forked child of the caller.
        """
        event = self._next(timeout)
        if event is None:
            raise ClientClosed(_CLOSED)
        return event

    def __next__(self) -> Event:
        event = self._next(None)
        if event is None:
            raise StopIteration
        return event

    def _next(self, timeout: float | None) -> Event | None:
        own_thread.refuse_to_wait("the next event")
        if self._thread.is_of_parent:
            raise OutOfPlace(f"{self!r} was made before this process was forked; subscribe again here")
        self.ack()
        while (arrived := self._inbox.take(timeout)) is not None and arrived.comes_again:
            pass
        return self._given(arrived)

    def ack(self) -> None:
        """Say that the event that was given last is dealt with, so that it does not come again."""
        arrived, self._in_hand = self._in_hand, None
        if arrived is not None:
            self._thread.soon(self._subscriber.ack, arrived, now() - self._since)

    def close(self) -> None:
        """End it; what waits is given up. Of one with a name that goes to the next who subscribes under it."""
        if not self._thread.is_of_parent:
            self._inbox.end(None)
            self._thread.soon(self._subscriber.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: _Raised, _: BaseException | None, __: TracebackType | None) -> None:
        if kind is None:
            self.ack()
        self.close()

    def __del__(self) -> None:
        if hasattr(self, "_client"):
            self.close()


class AsyncSubscription(_Taking, AsyncIterator[Event]):
    """The events of a subscription, for asyncio; see `Subscription`.

        async for event in client.subscribe("order.*"):
            print(event.topic, event.body)

    It begins when it is awaited, entered with `async with`, or first asked for an event.
    """

    def __init__(self, wanted: Wanted, link: CallLink, client: object) -> None:
        """For `AsyncRpcClient.subscribe`, which see."""
        wake = weakref.WeakMethod(self._wake)  # else the link would keep this for as long as it goes on
        super().__init__(wanted, Inbox(wanted.room, lambda: (method := wake()) and method()), link)
        self._link = link
        self._client = client
        self._loop = asyncio.get_running_loop()
        self._beginning: asyncio.Future[None] | None = None
        self._waiting: list[asyncio.Future[None]] = []

    def __await__(self) -> Generator[Any, None, Self]:
        yield from self._begin().__await__()
        return self

    async def _begin(self) -> None:
        if self._beginning is None:
            self._beginning = asyncio.ensure_future(self._link.subscriptions.open(self._subscriber))
            self._beginning.add_done_callback(lambda done: done.cancelled() or done.exception())  # it may be left alone
        await asyncio.shield(self._beginning)

    def _wake(self) -> None:
        for waiting in self._waiting:
            if not waiting.done():
                waiting.set_result(None)

    async def get(self) -> Event:
        """The next event, when there is one; `asyncio.timeout` around it loses none.

        Raises:
            ClientClosed: it is closed, or its client is.
            AccessRefused, AuthenticationFailed, ExchangeNotFound: it is not to be had, at first or again.
        """
        event = await self._next()
        if event is None:
            raise ClientClosed(_CLOSED)
        return event

    async def __anext__(self) -> Event:
        event = await self._next()
        if event is None:
            raise StopAsyncIteration
        return event

    async def _next(self) -> Event | None:
        await self._begin()
        self.ack()
        while True:
            try:
                arrived = self._inbox.take(0)
            except TimeoutError:
                await self._until_put()
            else:
                if arrived is None or not arrived.comes_again:
                    return self._given(arrived)

    async def _until_put(self) -> None:
        waiting: asyncio.Future[None] = self._loop.create_future()
        self._waiting.append(waiting)
        try:
            await waiting
        finally:
            self._waiting.remove(waiting)

    def ack(self) -> None:
        """Say that the event that was given last is dealt with, so that it does not come again."""
        arrived, self._in_hand = self._in_hand, None
        if arrived is not None:
            self._subscriber.ack(arrived, now() - self._since)

    async def close(self) -> None:
        """End it; what waits is given up. Of one with a name that goes to the next who subscribes under it."""
        if self._beginning is not None and not self._beginning.done():
            self._beginning.cancel()
            await asyncio.gather(self._beginning, return_exceptions=True)
        self._subscriber.close()

    async def __aenter__(self) -> Self:
        await self._begin()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None
    ) -> None:
        if kind is None:
            self.ack()
        await self.close()

    def __del__(self) -> None:
        loop: asyncio.AbstractEventLoop | None = getattr(self, "_loop", None)
        if loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(self._subscriber.close)
