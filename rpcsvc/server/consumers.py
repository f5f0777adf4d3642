"""The consumers of one session: how they start, and how they start again when the broker has ended one.

    Basic.Cancel --looks--> it is there (RabbitMQ 4.3: a delivery took too long) --> consumed again, on the same channel
                     |
                    404: deleted --told--> declared again, and consumed, on a connection of its own
                                                   |
                                                   +--> which carries deliveries and replies from then on

Rules: the connection and the channel there were hold deliveries, whose calls are under way, so nothing is tried on them
that might cost them. What races with a queue's deletion or declaration (404, 541 and others) is tried again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from ..amqp import Channel, Connection, Delivery
from ..amqp.reconnect import BackOff
from ..deadline import Deadline
from ..errors import ConnectionLost, RpcError
from ..settings import DEFAULT_CONNECT_TIMEOUT
from .queue import DECLARED_WITHIN, QueueFound, find, was_deleted
from .service import Service

log = logging.getLogger(__name__)

_RESTORED_WITHIN = 30.0
"""Seconds in which a queue must be consumed again whose consumers the broker has ended; else all begins anew."""
_PAUSE_UP_TO = 1.0
"""Seconds between attempts, at most."""


@dataclass(slots=True, eq=False)
class Consumer:
    """One consumer: its channel and tag, how many of its deliveries are not acked yet, and its end, once asked for."""

    channel: Channel
    tag: str = ""
    unacked: int = 0
    ending: asyncio.Task[None] | None = None


class Consumers:
    """The consumers of one session, and the channel that their deliveries and replies go through.

    Attributes:
        channel: of the consumers. One that they had before a deletion is closed.
        found: what is known of the queue.
        draining: whether no more of them are to start.

    Args:
        connection: the session's.
        channel: of that connection, to begin with.
        found: what is known of the queue.
        service: what is served.
        delivered: called with each delivery and the consumer it came through.
        deleted: called when the queue was deleted, before it is declared again.
        lost: called when the channel was lost.
        failed: called when the queue cannot be consumed again.
    """

    def __init__(
        self,
        connection: Connection,
        channel: Channel,
        found: QueueFound,
        service: Service,
        *,
        delivered: Callable[[Consumer, Delivery], None],
        deleted: Callable[[], None],
        lost: Callable[[RpcError], None],
        failed: Callable[[RpcError], None],
    ) -> None:
        self._session_connection = connection
        self._connection = connection
        self._service = service
        self._delivered = delivered
        self._deleted = deleted
        self._lost = lost
        self._failed = failed
        self._consumers: list[Consumer] = []
        self._wanted = 0
        self._restoring: asyncio.Task[None] | None = None
        self.found = found
        self.draining = False
        self._use(connection, channel)

    def _use(self, connection: Connection, channel: Channel) -> None:
        self._connection, self.channel = connection, channel
        channel.lost.add_done_callback(lambda lost: self._channel_lost(channel, lost.result()))
        if connection is not self._session_connection:
            self._session_connection.lost.add_done_callback(lambda _: connection.abort())

    def _channel_lost(self, channel: Channel, reason: RpcError) -> None:
        if channel is self.channel:  # else it was of a queue that was deleted
            self._lost(reason)

    async def start(self, consumers: int) -> None:
        """Start consumers until there are so many.

        Raises:
            QueueNotFound, AccessRefused: the channel is lost, as AMQP has it.
        """
        self._wanted = consumers
        await self.channel.prefetch(self._service.prefetch)
        await self._start_missing()

    async def _start_missing(self) -> None:
        while len(self._consumers) < self._wanted:
            await self._consume(self.channel)

    async def _consume(self, channel: Channel) -> None:
        consumer = Consumer(channel)
        self._consumers.append(consumer)  # before it has begun: it may be ended as soon as it has
        consumer.tag = await channel.consume(
            self._service.queue,
            partial(self._delivered, consumer),
            cancelled=partial(self._cancelled, consumer),
        )

    # ---- ended by the broker

    def _cancelled(self, consumer: Consumer) -> None:
        """The broker ended a consumer. What it was given before can still be answered."""
        if consumer in self._consumers:
            self._consumers.remove(consumer)
        if self._restoring is None and consumer.channel is self.channel:
            self._restoring = asyncio.ensure_future(self._restore())

    async def _restore(self) -> None:
        give_up = Deadline.after(_RESTORED_WITHIN)
        back_off, deleted = BackOff(_PAUSE_UP_TO), False
        try:
            while len(self._consumers) < self._wanted and not self.channel.lost.done():
                try:
                    if await was_deleted(self._session_connection, self._service.queue):
                        deleted = True
                        self._deleted()
                    if self.draining:
                        return
                    await (self._start_anew() if deleted else self._start_missing())
                except (RpcError, TimeoutError) as error:
                    log.debug("the queue %r is not consumed yet: %s", self._service.queue, error)
                    if give_up.expired:
                        self._failed(error if isinstance(error, RpcError) else ConnectionLost("the broker is silent"))
                        return
                    await asyncio.sleep(back_off.next_pause())
        finally:
            self._restoring = None

    async def _start_anew(self) -> None:
        """Find or declare the queue and consume it, on a connection that may be lost over it."""
        service = self._service
        connection = await Connection.open(
            self._session_connection.url, role="rpcsvc server, consuming", timeout=DEFAULT_CONNECT_TIMEOUT
        )
        try:
            async with asyncio.timeout(DEFAULT_CONNECT_TIMEOUT):
                found = await find(connection, service.queue, service.queue_type)
                if not found.declared:
                    await asyncio.sleep(DECLARED_WITHIN)
                channel = await connection.channel()
                await channel.prefetch(service.prefetch)
                for _ in range(self._wanted):
                    await self._consume(channel)
        except BaseException:
            self._consumers = [consumer for consumer in self._consumers if consumer.channel is self.channel]
            connection.abort()
            raise
        self.found = found
        self._consumers = [consumer for consumer in self._consumers if consumer.channel is channel]
        earlier, earlier_connection = self.channel, self._connection
        self._use(connection, channel)
        earlier.close()
        if earlier_connection is not self._session_connection:
            await earlier_connection.close()

    # ---- the end

    def flush(self) -> None:
        """Let what was published and acked in this tick of the loop go out now."""
        self._connection.flush()

    async def drain(self) -> None:
        """Start no more, and cancel those that are idle, or all of them where each may hold several deliveries.

        With a prefetch count of 1 a busy consumer cannot be given more, so it stays until its call is answered: whoever
        looks at the queue meanwhile sees that there is still a server.
        """
        self.draining = True
        if self._restoring is not None:
            await asyncio.wait((self._restoring,))
        for consumer in list(self._consumers):
            if consumer.unacked == 0 or self._service.prefetch > 1:
                await self.cancel(consumer)

    def cancel(self, consumer: Consumer) -> asyncio.Task[None]:
        """End a consumer, once: a delivery may come while that is under way, and pika answers the first time only."""

        async def cancel() -> None:
            with contextlib.suppress(RpcError):
                await consumer.channel.cancel(consumer.tag)

        if consumer.ending is None:
            consumer.ending = asyncio.ensure_future(cancel())
        return consumer.ending

    def abort(self) -> None:
        """Drop the connection without a word."""
        self._connection.abort()

    async def close(self) -> None:
        """Say goodbye to the broker. Never raises."""
        await self._connection.close()

    def __repr__(self) -> str:
        return f"<Consumers: {len(self._consumers)} of {self._wanted}, {self.found}>"
