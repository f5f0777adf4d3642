"""One queue of casts, on one connection of a server: its consumers, and their channel, which is lost and opened again.

    look, or declare --> consume --> deliveries --> Casts --> ack, or what stands for the cast first (`sending`)
       ^                    |
       +------pause---------+--the broker ends the consumer (its queue was deleted), or the channel

Rules: it has a channel of its own, so that whatever happens to its queue costs no call. What came through a channel
that was lost goes on, and is known when the broker delivers it again, as for calls. One consumer holds as many casts as
workers run. While casts are quick there is a second one, for those that are held beside (`holding`); then acks are
gathered for a moment (`amqp.acks`).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..amqp import Acks, Channel, Connection, Delivery
from ..amqp.reconnect import BackOff
from ..amqp.topology import declare, delivers_any_number_of_times_if_told
from ..errors import AccessRefused, ConfigurationError, QueueLocked, QueueNotFound, RpcError
from ..wire.entities import bindings_of, for_casts, for_foreign, for_handler
from .casts import Cast, Parcel, Source
from .holding import SECONDS, Holding
from .queue import DECLARED_WITHIN, is_there
from .sending import Sending
from .service import Service

log = logging.getLogger(__name__)

_TRIED_WITHIN, _TAKES_UP_TO = 5.0, 15.0
"""Seconds in which a queue is consumed on a quiet broker; and after which the attempt is given up. A broker that has
just started may leave what is asked of a quorum queue without an answer."""
_PAUSE_UP_TO = 5.0
"""Seconds between attempts to consume a queue, at most."""
_GATHERED_FOR = 0.01
"""Seconds that the ack of a quick cast may wait for others."""


@dataclass(slots=True, eq=False)
class CastConsumer:
    """The consumer of one queue of casts; as `consumers.Consumer`."""

    source: Source
    tag: str = ""
    unacked: int = 0
    ending: asyncio.Task[None] | None = None


class CastSession:
    """One channel through which casts of one queue come; a `CastCarrier`.

    Attributes:
        channel: the channel.
        unacked, draining: as `Carrier` has them.
        interrupted: set when the channel was lost, or the broker has ended the consumer.
    """

    def __init__(self, tap: Tap, channel: Channel) -> None:
        self._tap = tap
        self._engine, self._pool = tap.service.engine, tap.service.pool
        self._consumer: CastConsumer | None = None
        self._second: CastConsumer | None = None
        self._holding = Holding(tap.prefetch)
        self._more = 0  # held by the second consumer
        self._changing: asyncio.Task[None] | None = None
        self._starting = asyncio.Lock()  # a prefetch count is for the consumer that is started next
        self._acks = Acks()
        self._timer: asyncio.TimerHandle | None = None
        self._idle, self.interrupted = asyncio.Event(), asyncio.Event()
        self.channel = channel
        self.unacked = 0
        self.draining = False
        channel.lost.add_done_callback(self._lost)

    def _lost(self, _: object) -> None:
        self._engine.session_lost(self)
        if self._timer is not None:
            self._timer.cancel()
        self._idle.set()
        self.interrupted.set()

    async def consume(self) -> None:
        """Start the consumer.

        Raises:
            QueueNotFound, AccessRefused: the channel is lost, as AMQP has it.
        """
        self.interrupted.clear()
        await self._end_second()
        self._consumer = await self._start(self._tap.prefetch, self.interrupted.set)

    async def _start(self, prefetch: int, cancelled: Callable[[], None]) -> CastConsumer:
        consumer = CastConsumer(self._tap.source)
        holding, pool, casts = self._holding, self._pool, self._tap.service.casts

        def delivered(delivery: Delivery) -> None:
            handler = consumer.source.handler
            if handler is None:
                holding.came(delivery.type, pool.functions)
            elif not handler.served.idempotent:
                holding.be_careful()
            casts.delivered(self, consumer, delivery)

        async with self._starting:
            await self.channel.prefetch(prefetch)
            consumer.tag = await self.channel.consume(consumer.source.queue, delivered, cancelled=cancelled)
        return consumer

    def _look(self) -> None:
        """Hold as many casts as is good now."""
        self._holding.learn(self._pool.casts_within(SECONDS))
        if self._holding.more != self._more and (self._changing is None or self._changing.done()):
            self._changing = asyncio.ensure_future(self._change())

    async def _change(self) -> None:
        with contextlib.suppress(RpcError, TimeoutError):  # the channel went, or the queue
            async with asyncio.timeout(_TAKES_UP_TO):
                await self._end_second()
            more = 0 if self.draining else self._holding.more
            if more:
                self._second = await self._start(more, self._second_ended)
                self._more = more

    async def _end_second(self) -> None:
        second = self._second
        self._second_ended()
        if second is not None:
            await self._cancel(second)

    def _second_ended(self) -> None:
        self._second, self._more = None, 0

    def know(self, source: Source) -> None:
        """The same queue, of a handler that was loaded anew."""
        for consumer in (self._consumer, self._second):
            if consumer is not None:
                consumer.source = source

    async def drain(self) -> None:
        """Take no more; return when those that were taken are acked, or the channel is lost."""
        self._engine.drain(self)
        if self._changing is not None:
            await self._changing
        for consumer in (self._second, self._consumer):
            if consumer is not None:
                await self._cancel(consumer)
        if self.unacked and not self.is_lost:  # some may have come until the consumer had ended
            self._idle.clear()
        await self._idle.wait()

    def _cancel(self, consumer: CastConsumer) -> asyncio.Task[None]:
        async def cancel() -> None:
            with contextlib.suppress(RpcError):
                await self.channel.cancel(consumer.tag)

        if consumer.ending is None:
            consumer.ending = asyncio.ensure_future(cancel())
        return consumer.ending

    # ---- what the engine orders

    @property
    def is_lost(self) -> bool:
        """Whether nothing can be acked on it any more."""
        return self.channel.lost.done()

    def ack(self, _: Any, delivery: Delivery) -> bool:
        """Ack a delivery; whether it was acked."""
        if self.is_lost:
            return False
        waiting = self._acks.add(delivery.delivery_tag)
        if not self._more or waiting > self._more // 4:
            self._flush()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_GATHERED_FOR, self._flush)
        return True

    def _flush(self) -> None:
        """Send the acks that wait."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self.is_lost:
            self.channel.ack_all(self._acks.take())
            if not self.draining:
                self._look()

    def end_consumer(self, consumer: CastConsumer, then: Callable[[], None]) -> None:
        """End a consumer, then do something."""
        self._cancel(consumer).add_done_callback(lambda _: then())

    def drained(self) -> None:
        """While it is draining: nothing is unacked any more."""
        self._flush()
        self._idle.set()

    def send(self, cast: Cast, parcel: Parcel) -> None:
        """Publish what stands for a cast."""
        self._tap.sending.send(cast, parcel, may_wait=self._tap.may_wait, restore=self._tap.declare)

    def __repr__(self) -> str:
        return f"<CastSession of {self._tap.source.queue!r}: {self.unacked} unacked>"


class Tap:
    """One queue of casts on one connection: it is consumed for as long as the connection lasts, if that is allowed.

    Args:
        connection: the session's.
        service: what is served.
        source: the queue.
        sending: what publishes copies and letters there.

    Attributes:
        may_wait: whether messages can wait for the queue.
        tried: set when the first attempt has ended, either way.
        refused: why it is not consumed; None while it is, or may be soon.
        is_consumed: whether its consumer has started.
    """

    def __init__(self, connection: Connection, service: Service, source: Source, sending: Sending) -> None:
        self._connection = connection
        self._rules = service.cast_rules
        self._session: CastSession | None = None
        self._task: asyncio.Task[None] | None = None
        self.service = service
        self.source = source
        self.sending = sending
        self.prefetch = self._rules.prefetch
        self.may_wait = True
        self.tried = asyncio.Event()
        self.refused: RpcError | None = None
        self.is_consumed = False

    def know(self, source: Source) -> None:
        """The same queue, of a handler that was loaded anew."""
        self.source = source
        if self._session is not None:
            self._session.know(source)

    def start(self) -> None:
        """Begin."""
        self._task = asyncio.ensure_future(self._keep_on())

    async def _keep_on(self) -> None:
        back_off = BackOff(_PAUSE_UP_TO)
        while not self._connection.lost.done():
            try:
                async with asyncio.timeout(_TAKES_UP_TO):
                    await self.declare()
                    await self._consume()
                self.tried.set()
                back_off = BackOff(_PAUSE_UP_TO)
                assert self._session is not None
                await self._session.interrupted.wait()
                self.is_consumed = False
                log.info("casts of %r are not consumed for a moment", self.source.queue)
                await asyncio.sleep(DECLARED_WITHIN)  # whoever has deleted the queue may be declaring it
                continue
            except (AccessRefused, QueueLocked, ConfigurationError) as error:
                self.refused = error
                self._warn(f"casts of {self.source.queue!r} are not served: {error}")
                return
            except QueueNotFound as error:
                self._warn(f"casts of {self.source.queue!r} are served when there is such a queue: {error}")
            except (RpcError, TimeoutError) as error:
                log.debug("casts of %r are not consumed yet: %s", self.source.queue, error)
            finally:
                self.tried.set()
            await asyncio.sleep(back_off.next_pause())

    def _warn(self, sentence: str) -> None:
        """Once, however often the server connects."""
        if sentence not in self._rules.warned:
            self._rules.warned.add(sentence)
            log.warning("%s", sentence)

    async def declare(self) -> None:
        """Make sure that what the queue needs is there, and of a queue of our own that itself.

        Raises:
            AccessRefused: the user may not.
            QueueNotFound: a queue of others is not there.
            ConfigurationError: its name is too long for that.
            RpcError: not for now.
        """
        rules, source = self._rules, self.source
        unlimited = delivers_any_number_of_times_if_told(self._connection.broker_version)
        if source.handler is not None:
            exchanges, bindings = bindings_of(source.queue, source.handler.patterns, source.handler.exchange)
            handlers = for_handler(source.letters, source.queue, bindings, dead_ttl=rules.dead_ttl, unlimited=unlimited)
            await declare(self._connection, (*exchanges, *handlers))
            return
        if not source.is_foreign:
            entities = for_casts(
                source.letters,
                queue_type=rules.queue_type,
                max_length=rules.max_length,
                dead_ttl=rules.dead_ttl,
                unlimited=unlimited,
            )
            await declare(self._connection, entities)
            return
        with contextlib.suppress(AccessRefused):  # it may not be looked at: consuming it will tell
            if not await is_there(self._connection, source.queue):
                raise QueueNotFound(f"there is no queue {source.queue!r}")
        *needed, binding = for_foreign(source.queue, dead_ttl=rules.dead_ttl, unlimited=unlimited)
        await declare(self._connection, needed)
        try:
            await declare(self._connection, [binding])
        except AccessRefused as error:
            self.may_wait = False
            self._warn(f"casts of {source.queue!r} that are tried again do not wait before that: {error}")

    async def _consume(self) -> None:
        if self._session is None or self._session.is_lost:
            self._session = CastSession(self, await self._connection.channel())
        await self._session.consume()
        self.is_consumed = True

    async def drain(self) -> None:
        """Take no more casts; return when those that were taken are acked, or the connection is lost."""
        await self.stop()
        if self._session is not None:
            await self._session.drain()

    async def stop(self) -> None:
        """Do not consume it again."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def __str__(self) -> str:
        """For the ready line; empty where it is not served."""
        if self.refused is not None:
            return ""
        waits = "" if self.may_wait else " (without delays)"
        there = "" if self.is_consumed else " (not there yet)"
        return f"{self.source.queue!r}{waits}{there}"


class Casting:
    """All queues of casts of one connection.

    Args:
        connection: the session's.
        service: what is served.
    """

    def __init__(self, connection: Connection, service: Service) -> None:
        self._connection = connection
        self._service = service
        self._sending = Sending(connection, service.cast_rules.levels, service.engine.confirmed)
        self._taps: dict[str, Tap] = {}
        self._left: set[asyncio.Task[None]] = set()
        connection.lost.add_done_callback(lambda _: self._sending.stop())

    def start(self) -> None:
        """Consume what is to be consumed now: at first, and when the registry was loaded anew. No call waits for it."""
        wanted = {source.queue: source for source in self._service.cast_sources()}
        for queue in self._taps.keys() - wanted.keys():
            left = asyncio.ensure_future(self._taps.pop(queue).drain())
            self._left.add(left)
            left.add_done_callback(self._left.discard)
        for queue, source in wanted.items():
            if queue in self._taps:
                self._taps[queue].know(source)
            else:
                tap = self._taps[queue] = Tap(self._connection, self._service, source, self._sending)
                tap.start()

    async def tried(self) -> None:
        """Return when each of them is consumed, or is known not to be for now; after some seconds in any case."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_TRIED_WITHIN):
                for tap in list(self._taps.values()):
                    await tap.tried.wait()

    async def drain(self) -> None:
        """Take no more casts; return when those that were taken are acked, or the connection is lost."""
        await asyncio.gather(*self._left, *(tap.drain() for tap in self._taps.values()))

    async def stop(self) -> None:
        """Do not consume any of them again."""
        await asyncio.gather(*(tap.stop() for tap in self._taps.values()))

    @property
    def handlers(self) -> list[str]:
        """The handlers whose events are consumed, for the ready line."""
        taps = self._taps.values()
        return [tap.source.handler.name for tap in taps if tap.source.handler is not None and tap.refused is None]

    def __str__(self) -> str:
        """The queues of casts that are consumed, likewise."""
        return ", ".join(filter(None, (str(tap) for tap in self._taps.values() if tap.source.handler is None)))
