"""One connection of a server: its consumers, and the deliveries that come through it.

    rpc_queue --consumer k, prefetch 1--> delivery --> Call --body--> WorkerPool --> outcome --> reply, then ack

Rules: a body is not looked into (only to answer for a worker that died). A delivery is acked after its reply was
published, on the same channel, so whatever takes the server away before that gives the delivery to another one. Nothing
in here waits for a worker or for the broker while others could go on.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import dataclass, field
from functools import partial

from ..amqp import Channel, Connection, Delivery
from ..deadline import Deadline
from ..dispatch import failure
from ..errors import ConnectionFailed, ConnectionLost, OutcomeUnknown, RpcError
from ..settings import DEFAULT_CONNECT_TIMEOUT, BrokerUrl
from .call import Call
from .control import listen
from .service import Service
from .under_way import Key

log = logging.getLogger(__name__)

SENT_AGAIN = "again"
"""The message_id of a call that its client had sent before, on a connection that was lost."""


@dataclass(slots=True, eq=False)
class _Consumer:
    """One consumer: its tag, how many of its deliveries are not acked yet, and its end, once that was asked for."""

    tag: str = ""
    unacked: int = 0
    ending: asyncio.Task[None] | None = None


@dataclass(slots=True, eq=False)
class Session:
    """One connection of the server: its channel, its consumers, the deliveries that came through it."""

    service: Service
    connection: Connection
    channel: Channel
    consumers: list[_Consumer] = field(default_factory=list)
    reason: RpcError | None = None
    draining: bool = False
    unacked: int = 0
    _idle: asyncio.Event = field(default_factory=asyncio.Event)
    _lost: asyncio.Event = field(default_factory=asyncio.Event)
    _control: asyncio.Task[None] | None = None

    def __post_init__(self) -> None:
        self._idle.set()
        self.channel.lost.add_done_callback(lambda lost: self._channel_lost(lost.result()))
        self.channel.on_cancelled(
            lambda: self._end(ConnectionLost("the broker ended a consumer: the queue was deleted"))
        )

    def _channel_lost(self, reason: RpcError) -> None:
        for call in self.service.under_way.calls():
            if isinstance(call, Call) and call.session is self:
                call.orphan()
        self._end(reason)

    def _end(self, reason: RpcError) -> None:
        self.reason = self.reason or reason
        self._lost.set()

    @classmethod
    async def open(cls, url: BrokerUrl, service: Service, *, consumers: int) -> Session:
        """Connect, declare the queue, and start consumers.

        Raises:
            ConnectionFailed, ConnectionLost, AuthenticationFailed, AccessRefused, QueueMismatch
        """
        deadline = Deadline.after(DEFAULT_CONNECT_TIMEOUT)
        connection = await Connection.open(url, role="rpcsvc server", timeout=deadline.remaining)
        try:
            async with asyncio.timeout(deadline.remaining):
                channel = await connection.channel()
                await channel.declare_queue(service.queue, durable=True)
                await channel.prefetch(service.prefetch)
                session = cls(service, connection, channel)
                await session._listen()  # before calls come: none is missed that is given up later
                for _ in range(consumers):
                    await session.consume()
        except TimeoutError:
            connection.abort()
            raise ConnectionFailed(f"the broker at {url} took the connection and then said no more") from None
        except BaseException:
            connection.abort()
            raise
        return session

    async def _listen(self) -> None:
        listening = asyncio.Event()
        self._control = asyncio.ensure_future(listen(self.connection, self.service, listening))
        await listening.wait()

    async def consume(self) -> None:
        """Start one more consumer."""
        consumer = _Consumer()
        self.consumers.append(consumer)
        consumer.tag = await self.channel.consume(self.service.queue, partial(self._delivered, consumer))

    @property
    def is_lost(self) -> bool:
        """Whether nothing can be answered on it any more."""
        return self.channel.lost.done()

    async def wait_until_lost(self) -> None:
        """Return when the session cannot be used any more."""
        await self._lost.wait()

    async def drain(self) -> None:
        """Take no more deliveries; return when those that were taken are answered and acked, or the session is lost.

        With a prefetch count of 1 a busy consumer cannot be given more, so it stays until its call is answered: whoever
        looks at the queue meanwhile sees that there is still a server.
        """
        self.draining = True
        for consumer in self.consumers:
            if consumer.unacked == 0 or self.service.prefetch > 1:
                await self._cancel(consumer)
        answered = asyncio.ensure_future(self._idle.wait())
        lost = asyncio.ensure_future(self._lost.wait())
        await asyncio.wait((answered, lost), return_when=asyncio.FIRST_COMPLETED)
        answered.cancel()
        lost.cancel()

    # ---- one delivery

    def _delivered(self, consumer: _Consumer, delivery: Delivery) -> None:
        service = self.service
        counts = service.counts
        consumer.unacked += 1
        self.unacked += 1
        self._idle.clear()
        if delivery.reply_to is not None and not service.may_reply_to(delivery.reply_to):
            counts.refused += 1
            log.warning("a request was refused: replies may not go to a queue named %.60r", delivery.reply_to)
            self._finish(consumer, delivery)
            return
        key = None
        if delivery.reply_to is not None and delivery.correlation_id is not None:
            key = (delivery.reply_to, delivery.correlation_id)
            if delivery.redelivered and self._joins(key, consumer, delivery):
                return
            if service.under_way.was_cancelled(key):
                counts.cancelled += 1
                self._finish(consumer, delivery)
                return
        may_have_run = delivery.redelivered or delivery.message_id == SENT_AGAIN
        if may_have_run and not service.served(delivery.body).idempotent:
            counts.unknown += 1
            self.reply(consumer, delivery, failure(delivery.body, _outcome_unknown()))
            return
        Call(service, self, consumer, delivery, key).start()

    def _joins(self, key: Key, consumer: _Consumer, delivery: Delivery) -> bool:
        """Whether a call that was delivered again goes on here, or is answered with what came of it meanwhile."""
        under_way = self.service.under_way
        call = under_way.get(key)
        if isinstance(call, Call) and call.session.is_lost and call.delivery.body == delivery.body:
            self.service.counts.joined += 1
            call.move(self, consumer, delivery)
            return True
        kept = under_way.kept(key, delivery.body)
        if kept is None:
            return False
        if not kept.has_run:
            # It came here first, and a server that got it in between did not run it if it must not run twice.
            delivery.redelivered = False
            return False
        self.service.counts.joined += 1
        self.reply(consumer, delivery, kept.response)
        return True

    def publish(self, reply_to: str, response: bytes, correlation_id: str | None) -> None:
        """Publish a reply; if the connection went, nothing happens."""
        try:  # noqa: SIM105 a context manager costs more than the rest, and each reply comes through here
            self.channel.publish(reply_to, response, correlation_id=correlation_id)
        except RpcError:
            pass

    def reply(self, consumer: _Consumer, delivery: Delivery, response: bytes | None) -> None:
        """Publish the reply to a delivery, if one is wanted, then ack it."""
        if response is not None and delivery.reply_to is not None:
            self.publish(delivery.reply_to, response, delivery.correlation_id)
        self._finish(consumer, delivery)

    def _finish(self, consumer: _Consumer, delivery: Delivery) -> None:
        if self.draining and consumer.unacked == 1 and self.service.prefetch == 1:
            # First the consumer, then the ack: in the other order the broker would deliver once more.
            self._cancel(consumer).add_done_callback(lambda _: self._ack(consumer, delivery))
        else:
            self._ack(consumer, delivery)

    def _ack(self, consumer: _Consumer, delivery: Delivery) -> None:
        try:
            self.channel.ack(delivery.delivery_tag)
        except RpcError:
            self.service.counts.abandoned += 1
        consumer.unacked -= 1
        self.unacked -= 1
        if self.unacked == 0:
            self._idle.set()

    def _cancel(self, consumer: _Consumer) -> asyncio.Task[None]:
        """End a consumer, once: a delivery may come while that is under way, and pika answers the first time only."""

        async def cancel() -> None:
            with contextlib.suppress(RpcError):
                await self.channel.cancel(consumer.tag)

        if consumer.ending is None:
            consumer.ending = asyncio.ensure_future(cancel())
        return consumer.ending


def _outcome_unknown() -> OutcomeUnknown:
    return OutcomeUnknown(
        "the call may have run before, when a server or a connection was lost, and its function must not run twice"
    )
