"""One connection of a server: its consumers, and the deliveries that come through it.

    rpc_queue --consumer k, prefetch 1--> delivery --> Call --body--> WorkerPool --> outcome --> reply, then ack

Rules: a body is not looked into (only to answer for a worker that died, or for a result that is too large). A delivery
is acked after its reply was published on the same channel, or confirmed by the broker on another (`LargeReplies`), so
whatever takes the server away before that gives the delivery to another one. Nothing in here waits for a worker or for
the broker while others could go on. What came from a queue that was deleted (`Consumers`) is answered all the same.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import dataclass, field
from functools import partial

from ..amqp import Channel, Connection, Delivery
from ..deadline import Deadline
from ..errors import (
    AccessRefused,
    ConnectionFailed,
    InvalidRequest,
    MessageTooLarge,
    OutcomeUnknown,
    QueueMismatch,
    RpcError,
)
from ..settings import BrokerUrl
from ..wire import jsonrpc
from ..wire.names import EVENTS, QUEUE_DELETED, SENT_AGAIN
from ..workers.inside.dispatch import failure
from .call import Call
from .callback_queues import CallbackQueues, Refused
from .consumers import Consumer, Consumers
from .control import listen
from .large_replies import LargeReplies, LargeReply
from .queue import QueueFound, examine, find
from .repair import called
from .service import Service
from .under_way import Key

log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class Session:
    """One connection of the server: its consumers, and the deliveries that came through them.

    Attributes:
        service: what is served.
        connection: the broker's.
        consumers: they hold the channel for deliveries and replies, which is of this connection unless the queue was
            deleted meanwhile.
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
    _idle: asyncio.Event = field(default_factory=asyncio.Event)
    _lost: asyncio.Event = field(default_factory=asyncio.Event)
    _control: asyncio.Task[None] | None = None
    _telling: Channel | None = None
    _callbacks: CallbackQueues = field(init=False)
    _large: LargeReplies = field(init=False)
    _looks: set[asyncio.Task[None]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._idle.set()
        self._callbacks = CallbackQueues(self.connection, self.service.callback_queues)
        for limit in (self.service.requests, self.service.results):
            limit.connected(self.connection.broker_version)
        self._large = LargeReplies(self.connection, self.service, self._publish, self._end)

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

    # ---- a deleted queue

    async def _open_events(self) -> None:
        """Make ready to tell clients that the queue was deleted. On a channel of its own: it may be forbidden."""
        try:
            self._telling = await self.connection.channel()
            await self._telling.declare_exchange(EVENTS, "topic", durable=True)
        except (AccessRefused, QueueMismatch) as error:
            log.info("clients will not be told if the queue is deleted: %s", error)

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
                self._telling.publish(service.queue, b"null", exchange=EVENTS, type=QUEUE_DELETED)

    @property
    def is_lost(self) -> bool:
        """Whether nothing can be answered on it any more."""
        return self.consumers.channel.lost.done()

    async def wait_until_lost(self) -> None:
        """Return when the session cannot be used any more."""
        await self._lost.wait()

    async def drain(self) -> None:
        """Take no more deliveries; return when those that were taken are answered and acked, or the session is lost."""
        self.draining = True
        await self.consumers.drain()
        answered = asyncio.ensure_future(self._idle.wait())
        lost = asyncio.ensure_future(self._lost.wait())
        await asyncio.wait((answered, lost), return_when=asyncio.FIRST_COMPLETED)
        answered.cancel()
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
        await self.consumers.close()
        await self.connection.close()

    # ---- one delivery

    def _delivered(self, consumer: Consumer, delivery: Delivery) -> None:
        consumer.unacked += 1
        self.unacked += 1
        self._idle.clear()
        if delivery.correlation_id is None:
            # Clients of AMQP 1.0 name a request by its message-id, and want that back. It is no mark of ours then.
            delivery.correlation_id, delivery.message_id = delivery.message_id, None
        reply_to = delivery.reply_to
        if reply_to is not None:
            queue = self._callbacks.answered.get(reply_to)
            if queue is None:
                self._ask(consumer, delivery, reply_to)
                return
            delivery.reply_to = queue
        self._accept(consumer, delivery)

    def _ask(self, consumer: Consumer, delivery: Delivery, reply_to: str) -> None:
        """The first request with this callback queue: may it be answered there?"""
        decision = self._callbacks.decide(reply_to)
        if decision is not None:
            self._decided(consumer, delivery, decision)
            return
        look = asyncio.ensure_future(self._look(consumer, delivery, reply_to))
        self._looks.add(look)
        look.add_done_callback(self._looks.discard)

    async def _look(self, consumer: Consumer, delivery: Delivery, reply_to: str) -> None:
        with contextlib.suppress(RpcError):  # the connection was lost, and the request is delivered again
            self._decided(consumer, delivery, await self._callbacks.look(reply_to))

    def _decided(self, consumer: Consumer, delivery: Delivery, decision: str | Refused) -> None:
        if isinstance(decision, Refused):
            self.service.counts.refused += 1
            self.service.refusals.tell(delivery.reply_to or "", decision)
            self._finish(consumer, delivery)
        else:
            delivery.reply_to = decision
            self._accept(consumer, delivery)

    def _accept(self, consumer: Consumer, delivery: Delivery) -> None:
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

    def _joins(self, key: Key, consumer: Consumer, delivery: Delivery) -> bool:
        """Whether a call that comes again goes on here, or is answered with what came of it meanwhile."""
        under_way = self.service.under_way
        call = under_way.get(key)
        if isinstance(call, Call) and call.delivery.body == delivery.body:
            self.service.counts.joined += 1
            call.move(self, consumer, delivery)
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

    def _publish(
        self, reply_to: str, response: bytes, correlation_id: str | None, channel: Channel | None = None
    ) -> None:
        """Publish on the channel that the request came through; if that went with a deleted queue, on the one now."""
        current = self.consumers.channel
        try:
            (channel or current).publish(reply_to, response, correlation_id=correlation_id)
        except RpcError:
            if channel is not None and channel is not current:
                self._publish(reply_to, response, correlation_id)

    def reply(self, consumer: Consumer, delivery: Delivery, response: bytes | None) -> None:
        """Publish the reply to a delivery, if one is wanted, then ack it."""
        if response is not None and delivery.reply_to is not None:
            if len(response) > self._large.expendable.surely:
                self._reply_large(consumer, delivery, delivery.reply_to, response)
                return
            self._publish(delivery.reply_to, response, delivery.correlation_id, consumer.channel)
        self._finish(consumer, delivery)

    def _reply_large(self, consumer: Consumer, delivery: Delivery, reply_to: str, response: bytes) -> None:
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

    def _finish(self, consumer: Consumer, delivery: Delivery) -> None:
        if self.draining and consumer.unacked == 1 and self.service.prefetch == 1:
            # First the consumer, then the ack: in the other order the broker would deliver once more.
            self.consumers.cancel(consumer).add_done_callback(lambda _: self._ack(consumer, delivery))
        else:
            self._ack(consumer, delivery)

    def _ack(self, consumer: Consumer, delivery: Delivery) -> None:
        try:
            consumer.channel.ack(delivery.delivery_tag)
        except RpcError:
            self.service.counts.abandoned += consumer.channel is self.consumers.channel  # else its queue was deleted
        consumer.unacked -= 1
        self.unacked -= 1
        if self.unacked == 0:
            self._idle.set()


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
