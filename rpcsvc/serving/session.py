"""One connection of a server: its consumers, and the deliveries that come through it.

    rpc_queue --consumer k, prefetch 1--> delivery --> Call --body--> WorkerPool --> outcome --> reply, then ack

Rules: a body is not looked into (only to answer for a worker that died, or for a result that is too large). A delivery
is acked after its reply was published on the same channel, or confirmed by the broker on another (`LargeReplies`), so
whatever takes the server away before that gives the delivery to another one. Nothing in here waits for a worker or for
the broker while others could go on.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import dataclass, field
from functools import partial

from .. import jsonrpc
from ..amqp import Channel, Connection, Delivery
from ..deadline import Deadline
from ..dispatch import failure
from ..errors import (
    AccessRefused,
    ConnectionFailed,
    InvalidRequest,
    MessageTooLarge,
    OutcomeUnknown,
    QueueMismatch,
    QueueNotFound,
    RpcError,
)
from ..settings import EVENTS, QUEUE_DELETED, BrokerUrl
from .call import Call
from .control import listen
from .direct_reply import PREFIX, DirectReplies
from .large_replies import LargeReplies, LargeReply
from .repair import called
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
    _restoring: asyncio.Task[None] | None = None
    _telling: Channel | None = None
    _direct: DirectReplies = field(init=False)
    _large: LargeReplies = field(init=False)
    _looks: set[asyncio.Task[None]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._idle.set()
        self._direct = DirectReplies(self.connection.url)
        for limit in (self.service.requests, self.service.results):
            limit.connected(self.connection.broker_version)
        self._large = LargeReplies(self.connection, self.service, self._publish, self._end)
        self.channel.lost.add_done_callback(lambda lost: self._channel_lost(lost.result()))

    def _channel_lost(self, reason: RpcError) -> None:
        if isinstance(reason, MessageTooLarge):
            self.service.results.refused(reason.limit)
        self._large.orphan()
        for call in self.service.under_way.calls():
            if isinstance(call, Call) and call.session is self:
                call.orphan()
        self._end(reason)

    def _end(self, reason: RpcError) -> None:
        self.reason = self.reason or reason
        self._lost.set()
        for look in self._looks:
            look.cancel()

    @classmethod
    async def open(cls, url: BrokerUrl, service: Service, *, consumers: int, timeout: float) -> Session:
        """Connect, declare the queue, and start consumers.

        Args:
            url: the broker's.
            service: what is served.
            consumers: how many.
            timeout: seconds for all of it.

        Raises:
            ConnectionFailed, ConnectionLost, AuthenticationFailed, AccessRefused, QueueMismatch
            QueueNotFound: the queue cannot be declared for now: its node is down, in a cluster.
        """
        deadline = Deadline.after(timeout)
        connection = await Connection.open(url, role="rpcsvc server", timeout=deadline.remaining)
        try:
            async with asyncio.timeout(deadline.remaining):
                channel = await _declared(connection, service.queue)
                await channel.prefetch(service.prefetch)
                session = cls(service, connection, channel)
                await session._listen()  # before calls come: none is missed that is given up later
                await session._open_events()
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
        consumer.tag = await self.channel.consume(
            self.service.queue,
            partial(self._delivered, consumer),
            cancelled=partial(self._cancelled, consumer),
        )

    # ---- a deleted queue

    async def _open_events(self) -> None:
        """Make ready to tell clients that the queue was deleted. On a channel of its own: it may be forbidden."""
        try:
            self._telling = await self.connection.channel()
            await self._telling.declare_exchange(EVENTS, "topic", durable=True)
        except (AccessRefused, QueueMismatch) as error:
            log.info("clients will not be told if the queue is deleted: %s", error)

    def _cancelled(self, consumer: _Consumer) -> None:
        """The broker ended a consumer: the queue was deleted. What it was given before can still be answered."""
        self.consumers.remove(consumer)
        if self._restoring is None:
            self._restoring = asyncio.ensure_future(self._restore(len(self.consumers) + 1))

    async def _restore(self, consumers: int) -> None:
        log.warning("the queue %r was deleted; declaring it again", self.service.queue)
        if self._telling is not None:
            with contextlib.suppress(RpcError):
                self._telling.publish_to_exchange(EVENTS, b"null", routing_key=self.service.queue, type=QUEUE_DELETED)
        try:
            while len(self.consumers) < consumers and not self.draining:
                await self.channel.declare_queue(self.service.queue, durable=True)
                await self.consume()
        except RpcError as error:
            self._end(error)
        finally:
            self._restoring = None

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
        if self._restoring is not None:
            await asyncio.wait((self._restoring,))
        for consumer in list(self.consumers):
            if consumer.unacked == 0 or self.service.prefetch > 1:
                await self._cancel(consumer)
        answered = asyncio.ensure_future(self._idle.wait())
        lost = asyncio.ensure_future(self._lost.wait())
        await asyncio.wait((answered, lost), return_when=asyncio.FIRST_COMPLETED)
        answered.cancel()
        lost.cancel()

    # ---- one delivery

    def _delivered(self, consumer: _Consumer, delivery: Delivery) -> None:
        consumer.unacked += 1
        self.unacked += 1
        self._idle.clear()
        if delivery.correlation_id is None:
            # Clients of AMQP 1.0 name a request by its message-id, and want that back. It is no mark of ours then.
            delivery.correlation_id, delivery.message_id = delivery.message_id, None
        reply_to = delivery.reply_to
        if reply_to is not None:
            if not self.service.may_reply_to(reply_to):
                self._refuse(consumer, delivery)
                return
            if reply_to.startswith(PREFIX) and not self._direct.is_safe(reply_to):
                look = asyncio.ensure_future(self._look(consumer, delivery, reply_to))
                self._looks.add(look)
                look.add_done_callback(self._looks.discard)
                return
        self._accept(consumer, delivery)

    def _refuse(self, consumer: _Consumer, delivery: Delivery) -> None:
        self.service.counts.refused += 1
        log.warning("a request was refused: replies may not go to a queue named %.60r", delivery.reply_to)
        self._finish(consumer, delivery)

    async def _look(self, consumer: _Consumer, delivery: Delivery, reply_to: str) -> None:
        """The first request of a caller without a callback queue: a reply to a made-up name would end the session."""
        if await self._direct.look(reply_to):
            self._accept(consumer, delivery)
        else:
            self._refuse(consumer, delivery)

    def _accept(self, consumer: _Consumer, delivery: Delivery) -> None:
        service = self.service
        counts = service.counts
        if len(delivery.body) > service.requests.most:
            counts.refused += 1
            log.warning("a request of %d bytes was refused: more than %d", len(delivery.body), service.requests.most)
            self.reply(consumer, delivery, _too_large(len(delivery.body), service.requests.most))
            return
        key = None
        if delivery.reply_to is not None and delivery.correlation_id is not None:
            key = (delivery.reply_to, delivery.correlation_id)
            if _may_have_run(delivery) and self._joins(key, consumer, delivery):
                return
            if service.under_way.was_cancelled(key):
                counts.cancelled += 1
                self._finish(consumer, delivery)
                return
        if _may_have_run(delivery) and not service.served(delivery.body).idempotent:
            counts.unknown += 1
            log.warning("%s is not run again: it may have run, and must not run twice", called(delivery.body))
            self.reply(consumer, delivery, failure(delivery.body, _outcome_unknown()))
            return
        Call(service, self, consumer, delivery, key).start()

    def _joins(self, key: Key, consumer: _Consumer, delivery: Delivery) -> bool:
        """Whether a call that comes again goes on here, or is answered with what came of it meanwhile."""
        under_way = self.service.under_way
        call = under_way.get(key)
        if isinstance(call, Call) and call.delivery.body == delivery.body:
            self.service.counts.joined += 1
            if call.session.is_lost:
                call.move(self, consumer, delivery)
            else:  # its caller sent it again when the queue was deleted; it is about to be answered as it is
                self._finish(consumer, delivery)
            return True
        if isinstance(call, LargeReply) and call.request == delivery.body:
            self.service.counts.joined += 1
            self._finish(consumer, delivery)
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

    def publish(self, reply_to: str, response: bytes, call_id: str) -> None:
        """Publish the reply to a call that came in a message with others; if the connection went, nothing happens."""
        if len(response) > self._large.expendable.surely:
            fail = partial(jsonrpc.encode_error, call_id)
            self._large.send(LargeReply(reply_to, call_id, response, None, fail, lambda: True, lambda: None))
        else:
            self._publish(reply_to, response, call_id)

    def _publish(self, reply_to: str, response: bytes, correlation_id: str | None) -> None:
        try:  # noqa: SIM105 a context manager costs more than the rest, and each reply comes through here
            self.channel.publish(reply_to, response, correlation_id=correlation_id)
        except RpcError:
            pass

    def reply(self, consumer: _Consumer, delivery: Delivery, response: bytes | None) -> None:
        """Publish the reply to a delivery, if one is wanted, then ack it."""
        if response is not None and delivery.reply_to is not None:
            if len(response) > self._large.expendable.surely:
                self._reply_large(consumer, delivery, delivery.reply_to, response)
                return
            self._publish(delivery.reply_to, response, delivery.correlation_id)
        self._finish(consumer, delivery)

    def _reply_large(self, consumer: _Consumer, delivery: Delivery, reply_to: str, response: bytes) -> None:
        body = delivery.body
        self._large.send(
            LargeReply(
                reply_to,
                delivery.correlation_id,
                response,
                body,
                failure=partial(failure, body),
                may_run_again=lambda: self.service.served(body).idempotent,
                done=lambda: self._finish(consumer, delivery),
            )
        )

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


async def _declared(connection: Connection, queue: str) -> Channel:
    """A channel on which the queue was declared; who may not do that takes the queue as somebody else made it."""
    channel = await connection.channel()
    try:
        await channel.declare_queue(queue, durable=True)
    except AccessRefused as refused:
        channel = await connection.channel()
        try:
            await channel.declare_queue(queue, passive=True)
        except QueueNotFound:
            raise AccessRefused(f"{refused}; nor did somebody else declare it before") from None
    return channel


def _too_large(size: int, limit: int) -> bytes:
    # Without an id: it would have to be looked for.
    error = InvalidRequest(f"the request takes {size} bytes; this server takes at most {limit}")
    return jsonrpc.encode_error(None, error)


def _may_have_run(delivery: Delivery) -> bool:
    return delivery.redelivered or delivery.message_id == SENT_AGAIN


def _outcome_unknown() -> OutcomeUnknown:
    return OutcomeUnknown(
        "the call may have run before, when a server or a connection was lost, and its function must not run twice"
    )
