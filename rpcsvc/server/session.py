"""One connection of a server: its consumers, and the deliveries that come through it.

    rpc_queue --consumer k, prefetch 1--> delivery --> Engine --> reply, then ack

Rules: what becomes of a delivery is for the `engine` to say; here it is done. A delivery is acked after its reply was
published on the same channel, or confirmed by the broker on another (`LargeReplies`), so whatever takes the server away
before that gives the delivery to another one. Nothing in here waits for a worker or for the broker while others could
go on. What came from a queue that was deleted (`Consumers`) is answered all the same.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

from ..amqp import Channel, Connection, Delivery, Properties
from ..deadline import Deadline
from ..errors import AccessRefused, ConnectionFailed, MessageTooLarge, QueueMismatch, RpcError
from ..host.logs import one_line
from ..settings import BrokerUrl
from ..wire import jsonrpc
from ..wire.events import queue_deleted
from ..wire.names import EVENTS, FIRST_PUBLISHED, QUEUE_DELETED
from .asked import Asked, called
from .callback_queues import CallbackQueues, Refused
from .cast_session import Casting
from .consumers import Consumer, Consumers
from .control import listen
from .engine import Engine
from .large_replies import LargeReplies, LargeReply
from .message import Message
from .queue import QueueFound, examine, find
from .service import Service

log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class Session:
    """One connection of the server: its consumers, and the deliveries that came through them.

    Attributes:
        service: what is served.
        connection: the broker's.
        consumers: they hold the channel for deliveries and replies, which is of this connection unless the queue was
            deleted meanwhile.
        casting: the queues that casts come from.
        reason: why it cannot be used any more; None while it can.
        draining: whether no more deliveries are taken.
        unacked: how many deliveries are not acked yet.
    """

    service: Service
    connection: Connection
    consumers: Consumers = field(init=False)
    reason: RpcError | None = None
    draining: bool = False
    unacked: int = 0
    _engine: Engine = field(init=False)
    _idle: asyncio.Event = field(default_factory=asyncio.Event)
    _lost: asyncio.Event = field(default_factory=asyncio.Event)
    casting: Casting = field(init=False)
    _control: asyncio.Task[None] | None = None
    _telling: Channel | None = None
    _callbacks: CallbackQueues = field(init=False)
    _large: LargeReplies = field(init=False)
    _looks: set[asyncio.Task[None]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._engine = self.service.engine
        self._callbacks = CallbackQueues(self.connection, self.service.callback_queues)
        for limit in (self.service.requests, self.service.results):
            limit.connected(self.connection.broker_version)
        self.casting = Casting(self.connection, self.service)
        self._large = LargeReplies(self.connection, self.service.results, self._publish, self._end)

    def _channel_lost(self, reason: RpcError) -> None:
        if isinstance(reason, MessageTooLarge):
            self.service.results.refused(reason.limit)
        self._large.stop()
        self._engine.session_lost(self)
        self._end(reason)

    def _end(self, reason: RpcError) -> None:
        self.reason = self.reason or reason
        self.service.life.publish = None
        self._lost.set()
        for look in self._looks:
            look.cancel()
        self._callbacks.close()

    @classmethod
    async def open(
        cls, url: BrokerUrl, service: Service, *, consumers: int, timeout: float, known: QueueFound | None = None
    ) -> Session:
        """Connect, take the queue as it is or declare it, and start consumers.

        Args:
            url: the broker's.
            service: what is served.
            consumers: how many.
            timeout: seconds for all of it.
            known: what an earlier session found out of the queue; None has this one find out.

        Raises:
            ConnectionFailed, ConnectionLost, AuthenticationFailed, AccessRefused, QueueMismatch
            QueueNotFound: the queue cannot be declared for now: its node is down, in a cluster.
        """
        deadline = Deadline.after(timeout)
        connection = await Connection.open(url, role="rpcsvc server", timeout=deadline.remaining)
        try:
            async with asyncio.timeout(deadline.remaining):
                found = await find(connection, service.queue, service.queue_type)
                if not found.declared:
                    found = known or await examine(connection, service.queue, service.queue_type)
                session = cls(service, connection)
                await session._begin(await connection.channel(), found, consumers)
        except TimeoutError:
            connection.abort()
            raise ConnectionFailed(f"the broker at {url} took the connection and then said no more") from None
        except BaseException:
            connection.abort()
            raise
        return session

    async def _begin(self, channel: Channel, found: QueueFound, consumers: int) -> None:
        self.consumers = Consumers(
            self.connection,
            channel,
            found,
            self.service,
            delivered=self._delivered,
            deleted=self._queue_deleted,
            lost=self._channel_lost,
            failed=self._end,
        )
        listening = asyncio.Event()
        self._control = asyncio.ensure_future(listen(self.connection, self.service, listening))
        await listening.wait()  # before calls come: none is missed that is given up later
        await self._open_events()
        await self.consumers.start(consumers)
        self.casting.start()

    # ---- a deleted queue

    async def _open_events(self) -> None:
        """Make ready to tell clients that the queue was deleted. On a channel of its own: it may be forbidden."""
        try:
            self._telling = await self.connection.channel()
            await self._telling.declare_exchange(EVENTS, "topic", durable=True)
        except (AccessRefused, QueueMismatch) as error:
            log.info("clients will not be told if the queue is deleted: %s", error)
        else:
            self.service.life.publish = self._tell

    def _tell(self, topic: str, body: bytes) -> None:
        """Publish what the server tells of itself, if that is allowed."""
        if self._telling is not None:
            headers = {FIRST_PUBLISHED: int(time.time() * 1000)}
            of_type = QUEUE_DELETED if topic == queue_deleted(self.service.queue) else None
            with contextlib.suppress(RpcError):
                self._telling.publish(
                    topic, body, exchange=EVENTS, type=of_type, properties=Properties(headers, persistent=True)
                )

    def _queue_deleted(self) -> None:
        service, found = self.service, self.consumers.found
        log.warning(
            "the queue %r was deleted; declaring it again as %s%s",
            service.queue,
            service.queue_type,
            "" if found.is_plain else f" ({found}; what arguments it had besides is not known)",
        )
        if self._telling is not None:
            with contextlib.suppress(RpcError):
                # The form of servers before 0.3, for clients of theirs; others know it by its message_id, and leave it.
                topic = queue_deleted(service.queue)
                self._telling.publish(service.queue, b"null", exchange=EVENTS, message_id=topic, type=QUEUE_DELETED)
        service.life.deleted()

    @property
    def answered(self) -> Mapping[str, str]:
        """The callback queue that each `reply_to` means, as far as it is known that replies may go there."""
        return self._callbacks.answered

    @property
    def is_lost(self) -> bool:
        """Whether nothing can be answered on it any more."""
        return self.consumers.channel.lost.done()

    async def wait_until_lost(self) -> None:
        """Return when the session cannot be used any more."""
        await self._lost.wait()

    async def drain(self) -> None:
        """Take no more deliveries; return when those that were taken are answered and acked, or the session is lost."""
        casts = asyncio.ensure_future(self.casting.drain())
        self._engine.drain(self)
        await self.consumers.drain()
        if self.unacked:  # some may have come until the consumers had ended
            self._idle.clear()
        answered = asyncio.ensure_future(self._idle.wait())
        lost = asyncio.ensure_future(self._lost.wait())
        both = asyncio.gather(answered, casts)
        await asyncio.wait((both, lost), return_when=asyncio.FIRST_COMPLETED)
        both.cancel()
        lost.cancel()

    def flush(self) -> None:
        """Let what was published and acked in this tick of the loop go out now."""
        self.consumers.flush()

    def abort(self) -> None:
        """Drop every connection without a word."""
        self.consumers.abort()
        self.connection.abort()

    async def close(self) -> None:
        """Say goodbye to the broker. Never raises."""
        await self.casting.stop()
        await self.consumers.close()
        await self.connection.close()

    # ---- one delivery

    def _delivered(self, consumer: Consumer, delivery: Delivery) -> None:
        if delivery.correlation_id is None:
            # Clients of AMQP 1.0 name a request by its message-id, and want that back. It is no mark of ours then.
            delivery.correlation_id, delivery.message_id = delivery.message_id, None
        self._engine.delivered(self, consumer, delivery)

    def ask(self, message: Message) -> None:
        """Find out whether a reply may go to the message's `reply_to`, which is a new one here."""
        reply_to = message.delivery.reply_to
        assert reply_to is not None
        decision = self._callbacks.decide(reply_to)
        if decision is not None:
            self._decided(message, decision)
            return
        look = asyncio.ensure_future(self._look(message, reply_to))
        self._looks.add(look)
        look.add_done_callback(self._looks.discard)

    async def _look(self, message: Message, reply_to: str) -> None:
        with contextlib.suppress(RpcError):  # the connection was lost, and the request is delivered again
            self._decided(message, await self._callbacks.look(reply_to))

    def _decided(self, message: Message, decision: str | Refused) -> None:
        if isinstance(decision, Refused):
            self.service.refusals.tell(message.delivery.reply_to or "", decision)
            self._engine.queue_found(message, None)
        else:
            self._engine.queue_found(message, decision)

    # ---- replies

    def is_sure(self, reply_to: str, response: bytes) -> bool:
        """Whether the broker surely takes a reply, so that its delivery can be acked behind it."""
        return len(response) <= self._large.expendable.surely

    def publish(self, consumer: Consumer, reply_to: str, response: bytes, correlation_id: str | None) -> None:
        """Publish a reply that is surely taken, on the channel that its request came through.

        If that went with a deleted queue, it is published on the one now.
        """
        try:
            consumer.channel.publish(reply_to, response, correlation_id=correlation_id)
        except RpcError:
            if consumer.channel is not self.consumers.channel:
                self._publish(reply_to, response, correlation_id)

    def publish_alone(self, reply_to: str, response: bytes, call_id: str) -> None:
        """Publish the reply to a call that came in a message with others; if the connection went, nothing happens."""
        if self.is_sure(reply_to, response):
            self._publish(reply_to, response, call_id)
        else:
            fail = partial(jsonrpc.encode_error, call_id)
            self._large.send(LargeReply(reply_to, call_id, response, lambda: f"call {one_line(call_id)}", fail))

    def _publish(self, reply_to: str, response: bytes, correlation_id: str | None) -> None:
        with contextlib.suppress(RpcError):
            self.consumers.channel.publish(reply_to, response, correlation_id=correlation_id)

    def confirm(self, message: Message, asked: Callable[[], Asked], response: bytes) -> None:
        """Publish a reply that the broker may refuse."""
        delivery = message.delivery
        assert delivery.reply_to is not None
        self._large.send(
            LargeReply(
                delivery.reply_to,
                delivery.correlation_id,
                response,
                name=partial(called, delivery.body),
                failure=lambda error: asked().failure(error),
                may_run_again=lambda: asked().served.idempotent,
                done=partial(self._engine.confirmed, message),
                message=message,
            )
        )

    def withdraw(self, message: Message) -> None:
        """Do not publish a reply that waits for its turn. What was published already is a late reply."""
        self._large.withdraw(message)

    # ---- acks

    def end_consumer(self, consumer: Consumer, then: Callable[[], None]) -> None:
        """End a consumer, then do something."""
        self.consumers.cancel(consumer).add_done_callback(lambda _: then())

    def ack(self, consumer: Consumer, delivery: Delivery) -> bool:
        """Ack a delivery; whether it was acked, or need not be because its queue was deleted."""
        try:
            consumer.channel.ack(delivery.delivery_tag)
        except RpcError:
            return consumer.channel is not self.consumers.channel
        return True

    def drained(self) -> None:
        """While it is draining: nothing is unacked any more."""
        self._idle.set()
