"""The subscriptions of one client on its event loop: their queues, and how each comes back.

    subscribed --its connection or channel went, its queue was deleted--> away --> subscribed again
                                                                           |
                                                                           +--> ended: it may not, or cannot

A passing subscription has an exclusive queue that goes with its connection: what is published while it is away, nobody
keeps. Its events come as fast as they can, and wait in an `Inbox` that drops the oldest; the queue behind that has a
fence too, for a loop that does not read. A named one has a durable queue that it shares with all of its name; it holds
one event at a time, and acks that when the next one is asked for. While events are dealt with quickly it holds more of
them, by a second consumer: the way to the broker and back takes longer than they do.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from ..amqp import Channel, Connection, Delivery
from ..amqp.reconnect import BackOff, Reconnection
from ..amqp.topology import declare, delivers_any_number_of_times_if_told
from ..deadline import check_timeout
from ..errors import (
    AccessRefused,
    ClientClosed,
    ConfigurationError,
    ConnectionLost,
    ExchangeNotFound,
    QueueNotFound,
    RpcError,
)
from ..wire.entities import Entities, bindings_of, for_subscription
from ..wire.events import check_exchange, check_pattern, subscription_queue
from .calls import now
from .inbox import Arrived, Sink
from .opening import Connector

log = logging.getLogger(__name__)

DEFAULT_LIMIT = 10_000
ALL = "#"
_QUICK, _SLOW = 0.002, 0.02
"""Seconds in which events are dealt with while more are held, and from which on no more are. What is held lies behind
a slow one that comes before it, though another subscriber of that name may have nothing to do."""
_MORE = 64
"""How many more."""
_LOOK_EVERY = 16
"""Events after which it is asked whether they are quick."""
_SHORT_LIFE = 1.0
"""Seconds below which a subscription that ends is not made anew at once."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a subscription is of, checked.

    Attributes:
        patterns: of the topics; none is all, or, of a named one that is there, what it is bound to.
        queue: of a named one.
        limit: how many events may wait; None is any number.
        exchange: of others.
        expires: seconds without a subscriber after which a named one goes.
    """

    patterns: tuple[str, ...]
    queue: str | None
    limit: int | None
    exchange: str | None
    expires: float | None

    @classmethod
    def checked(
        cls,
        patterns: Sequence[str],
        *,
        name: str | None,
        limit: int | None,
        exchange: str | None,
        expires: float | None,
    ) -> Wanted:
        """From what users say.

        Raises:
            ConfigurationError: one of them is wrong.
        """
        if exchange is not None:
            check_exchange(exchange, written=False)
        for pattern in patterns:
            check_pattern(pattern, foreign=exchange is not None)
        if limit is not None and (type(limit) is not int or limit < 1):
            raise ConfigurationError(f"limit must be a whole number of at least 1, not {limit!r}")
        if expires is not None:
            expires = check_timeout(expires, "expires")
            if name is None:
                raise ConfigurationError(
                    "expires= is for a subscription with a name; one without goes with its connection"
                )
        queue = None if name is None else subscription_queue(name)
        if name is None and limit is None:
            limit = DEFAULT_LIMIT
        return cls(tuple(patterns), queue, limit, exchange, expires)

    @property
    def room(self) -> float:
        """How many events may wait in the client."""
        return math.inf if self.queue is not None or self.limit is None else self.limit

    def bindings(self, queue: str) -> tuple[Entities, Entities]:
        """The exchanges of ours that the queue is bound to, and how it is bound."""
        return bindings_of(queue, self.patterns or (ALL,), self.exchange)

    def __str__(self) -> str:
        what = ", ".join(self.patterns) or (ALL if self.queue is None else "what it is bound to")
        named = "" if self.queue is None else f" by {self.queue!r}"
        return f"subscription to {what}{f' of {self.exchange!r}' if self.exchange else ''}{named}"


class Subscriber:
    """One subscription.

    Attributes:
        interruptions: how often it was away.

    Args:
        wanted: what it is of.
        connector: opens the connection.
        sink: what it puts its events into.
    """

    def __init__(self, wanted: Wanted, connector: Connector, sink: Sink) -> None:
        self.wanted = wanted
        self.interruptions = 0
        self._connector = connector
        self._sink = sink
        self._channel: Channel | None = None
        self._gone: asyncio.Future[str] | None = None
        self._task: asyncio.Task[None] | None = None
        self._began = 0.0
        self._is_closed = False
        self._acked, self._seconds = 0, 0.0
        self._ahead: str | None = None  # the tag of the second consumer; empty while it is being started or ended
        self._changing: asyncio.Task[None] | None = None

    async def begin(self, ended: Callable[[Subscriber], None]) -> None:
        """Subscribe; events come from when this returns.

        Args:
            ended: called when it is over.

        Raises:
            RpcError: it cannot be had.
        """
        await self._subscribe()
        if self._is_closed:  # meanwhile
            self.close()
            return
        self._task = asyncio.get_running_loop().create_task(self._stay())
        self._task.add_done_callback(lambda _: ended(self))

    def close(self) -> None:
        """End it. What was not acked comes again."""
        self._is_closed = True
        if self._task is not None:
            self._task.cancel()
        if self._channel is not None:
            self._channel.close()
        self._sink.end(None)

    def ack(self, arrived: Arrived, seconds: float) -> None:
        """An event was dealt with, in so many seconds. No effect where its channel has gone: it comes again."""
        if arrived.channel is None or arrived.channel.lost.done():
            return
        arrived.channel.ack(arrived.delivery.delivery_tag)
        self._acked += 1
        self._seconds += (seconds - self._seconds) / min(self._acked, _LOOK_EVERY)
        if not self._acked % _LOOK_EVERY or seconds > _SLOW:
            self._look_how_quick()

    def _look_how_quick(self) -> None:
        """Hold more events, or no more of them."""
        if self._ahead == "" or self._channel is None:
            return
        if self._ahead is None and self._seconds < _QUICK:
            change = self._hold_more(self._channel)
        elif self._ahead and self._seconds > _SLOW:
            change = self._hold_one(self._channel, self._ahead)
        else:
            return
        self._ahead = ""
        self._changing = asyncio.get_running_loop().create_task(change)

    async def _hold_more(self, channel: Channel) -> None:
        tag = None
        with contextlib.suppress(RpcError):  # it has cost the channel, which is opened again
            assert self.wanted.queue is not None
            await channel.prefetch(_MORE)
            tag = await channel.consume(self.wanted.queue, partial(self._delivered, channel))
        if channel is self._channel:
            self._ahead = tag

    async def _hold_one(self, channel: Channel, tag: str) -> None:
        with contextlib.suppress(RpcError):
            await channel.cancel(tag)
        if channel is self._channel:
            self._ahead = None

    def _delivered(self, channel: Channel | None, delivery: Delivery) -> None:
        self._sink.put(Arrived(delivery, channel))

    # ---- inside

    async def _stay(self) -> None:
        try:
            await self._come_back()
        except Exception:
            log.exception("the %s has failed", self.wanted)  # a fault of ours: nobody is to wait for ever
            self._sink.end(ConnectionLost(f"the {self.wanted} has failed; the log says why"))

    async def _come_back(self) -> None:
        """Subscribe again whenever it is gone, until it is not to be had any more."""
        pauses = BackOff()
        while (gone := self._gone) is not None:
            reason = await gone
            self.interruptions += 1
            log.warning("the %s is made anew: %s", self.wanted, reason)
            if self._channel is not None:
                self._channel.close()
            if now() - self._began < _SHORT_LIFE:
                await asyncio.sleep(pauses.next_pause())
            else:
                pauses = BackOff()
            self._gone = None
            await self._search()

    async def _search(self) -> None:
        search = Reconnection(now(), was_open=True)
        while True:
            try:
                await self._subscribe()
                return
            except ClientClosed:
                self._sink.end(None)
                return
            except RpcError as error:
                pause = search.next_pause(error, now())
                if pause is None:
                    self._sink.end(error)
                    return
                log.debug("the %s is not to be had yet: %s", self.wanted, error)
                await asyncio.sleep(pause)

    async def _subscribe(self) -> None:
        session = await self._connector.open()
        channel = await session.connection.channel()
        gone: asyncio.Future[str] = asyncio.get_running_loop().create_future()

        def tell(reason: str) -> None:
            if not gone.done():
                gone.set_result(reason)

        channel.lost.add_done_callback(lambda lost: tell(str(lost.result())))
        try:
            queue = await self._queue(session.connection, channel)
            is_named = self.wanted.queue is not None
            if is_named:
                await channel.prefetch(1)
            await channel.consume(
                queue,
                partial(self._delivered, channel if is_named else None),
                cancelled=lambda: tell("the broker ended its consumer: its queue was deleted, or moved"),
                no_ack=not is_named,
            )
        except BaseException:
            channel.close()
            raise
        self._channel, self._gone, self._began = channel, gone, now()
        self._acked, self._ahead = 0, None

    async def _queue(self, connection: Connection, channel: Channel) -> str:
        """The queue, declared and bound."""
        wanted = self.wanted
        if wanted.queue is None:
            arguments = {"x-max-length": wanted.limit, "x-overflow": "drop-head"}
            declared = await channel.declare_queue(exclusive=True, auto_delete=True, arguments=arguments)
            await self._bind(connection, declared.name)
            return declared.name
        queue = wanted.queue
        if wanted.patterns or not await _exists(connection, queue):
            told = delivers_any_number_of_times_if_told(connection.broker_version)
            entity = for_subscription(queue, max_length=wanted.limit, expires=wanted.expires, unlimited=told)
            await declare(connection, (entity,))
            await self._bind(connection, queue)
        return queue

    async def _bind(self, connection: Connection, queue: str) -> None:
        ours, bindings = self.wanted.bindings(queue)
        try:
            await declare(connection, bindings)
        except QueueNotFound:
            if not ours:
                raise ExchangeNotFound(self.wanted.exchange or "") from None
            await declare(connection, (*ours, *bindings))

    def __repr__(self) -> str:
        return f"<Subscriber of the {self.wanted}>"


async def _exists(connection: Connection, queue: str) -> bool:
    channel = await connection.channel()
    try:
        await channel.declare_queue(queue, passive=True)
    except (QueueNotFound, AccessRefused):
        return False
    finally:
        channel.close()
    return True


class Subscriptions:
    """All subscriptions of one client."""

    def __init__(self, connector: Connector) -> None:
        self._connector = connector
        self._living: set[Subscriber] = set()

    async def open(self, subscriber: Subscriber) -> None:
        """Begin one.

        Raises:
            RpcError: it cannot be had.
        """
        await self._connector.connect()
        await subscriber.begin(self._living.discard)
        self._living.add(subscriber)

    def new(self, wanted: Wanted, sink: Sink) -> Subscriber:
        """One that has not begun."""
        return Subscriber(wanted, self._connector, sink)

    async def delete(self, queue: str) -> None:
        """Delete the queue of a named one, with the events in it. One that is not there is fine.

        Raises:
            RpcError: it cannot be done.
        """
        await self._connector.connect()
        session = await self._connector.open()
        channel = await session.connection.channel()
        try:
            await channel.delete_queue(queue)
        finally:
            channel.close()

    def close(self) -> None:
        """End all of them."""
        for subscriber in list(self._living):
            subscriber.close()

    def __repr__(self) -> str:
        return f"<Subscriptions: {len(self._living)}>"
