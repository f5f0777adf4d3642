"""One connection of a server: its consumers, and the deliveries that come through it.

    rpc_queue --consumer k, prefetch 1--> delivery --body--> WorkerPool --> outcome --> reply, then ack --> broker

Rules: a body is not looked into (only to answer for a worker that died). A delivery is acked after its reply was
published, on the same channel, so whatever takes the server away before that gives the delivery to another one. Nothing
in here waits for a worker or for the broker while others could go on.
"""

from __future__ import annotations

import asyncio
import contextlib
import fnmatch
import logging
from dataclasses import dataclass, field
from functools import lru_cache, partial

from .. import jsonrpc
from ..amqp import Channel, Connection, Delivery
from ..bulk.mend import join, split, split_with_ids
from ..bulk.request import METHOD
from ..deadline import Deadline
from ..dispatch import failure
from ..errors import ConnectionFailed, ConnectionLost, OutcomeUnknown, RpcError
from ..settings import DEFAULT_CONNECT_TIMEOUT, BrokerUrl
from ..workers.handle import Answer, Expired, Lost, Outcome, Work
from ..workers.pool import WorkerPool
from .direct_reply import PREFIX, DirectReplies
from .repair import OneByOne, lost_error

log = logging.getLogger(__name__)

SENT_AGAIN = "again"
"""The message_id of a call that its client had sent before, on a connection that was lost."""
UNPACK_AFTER = 0.02
"""Seconds after which the calls of one message are looked after one by one. They were to take 2 ms together."""


@dataclass(slots=True)
class ServerCounts:
    """What happened to deliveries since the start.

    Attributes:
        answered: a reply was published, or none was wanted.
        lost: a worker died during them; the caller was told.
        expired: nobody waited for them any more; they did not start.
        refused: their callback queue is none that replies may go to; they did not start.
        unknown: they may have run before and must not run twice; the caller was told.
        abandoned: the connection was lost before they could be acked; the broker delivers them again.
    """

    answered: int = 0
    lost: int = 0
    expired: int = 0
    refused: int = 0
    unknown: int = 0
    abandoned: int = 0


@dataclass(frozen=True, slots=True)
class Service:
    """What a session serves, and with what.

    Attributes:
        queue: the queue's name.
        prefetch: how many deliveries each consumer may hold.
        pool: who computes.
        counts: what happened to deliveries, over all sessions.
        callback_queues: patterns of the queues that replies may go to.
    """

    queue: str
    prefetch: int
    pool: WorkerPool
    counts: ServerCounts
    callback_queues: tuple[str, ...]

    def may_reply_to(self, queue: str) -> bool:
        """Whether replies may go to a queue of that name."""
        return _matches(queue, self.callback_queues)


@lru_cache(maxsize=1024)
def _matches(queue: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatch.fnmatchcase(queue, pattern) for pattern in patterns)


@dataclass(slots=True, eq=False)
class _Consumer:
    """One consumer: its tag, and how many of its deliveries are not acked yet."""

    tag: str = ""
    unacked: int = 0


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
    _direct: DirectReplies = field(init=False)
    _looks: set[asyncio.Task[None]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._idle.set()
        self._direct = DirectReplies(self.connection.url)
        self.channel.lost.add_done_callback(lambda lost: self._end(lost.result()))
        self.channel.on_cancelled(
            lambda: self._end(ConnectionLost("the broker ended a consumer: the queue was deleted"))
        )

    def _end(self, reason: RpcError) -> None:
        self.reason = self.reason or reason
        self._lost.set()
        for look in self._looks:
            look.cancel()

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
                for _ in range(consumers):
                    await session.consume()
        except TimeoutError:
            connection.abort()
            raise ConnectionFailed(f"the broker at {url} took the connection and then said no more") from None
        except BaseException:
            connection.abort()
            raise
        return session

    async def consume(self) -> None:
        """Start one more consumer."""
        consumer = _Consumer()
        self.consumers.append(consumer)
        consumer.tag = await self.channel.consume(self.service.queue, partial(self._delivered, consumer))

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
        consumer.unacked += 1
        self.unacked += 1
        self._idle.clear()
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
        counts = self.service.counts
        pool = self.service.pool
        if (delivery.redelivered or delivery.message_id == SENT_AGAIN) and not self._may_run_twice(delivery.body):
            counts.unknown += 1
            self._reply(consumer, delivery, failure(delivery.body, _outcome_unknown()))
            return
        work = pool.submit(delivery.body, partial(self._ended, consumer, delivery), _deadline(delivery.expiration))
        if delivery.type == METHOD:
            asyncio.get_running_loop().call_later(UNPACK_AFTER, self._unpack, delivery, work)

    def _ended(self, consumer: _Consumer, delivery: Delivery, outcome: Outcome) -> None:
        counts = self.service.counts
        match outcome:
            case Answer(body):
                counts.answered += 1
                self._reply(consumer, delivery, body)
            case Lost():
                counts.lost += 1
                self._mend(consumer, delivery, outcome)
            case Expired():
                counts.expired += 1
                self._finish(consumer, delivery)

    def _may_run_twice(self, body: bytes) -> bool:
        """Whether every function that a body calls is idempotent; one that does not exist here runs not even once."""
        functions = self.service.pool.functions
        called = jsonrpc.methods(body)
        if called is None:  # a bare value calls the default function, whichever that is
            return all(functions.values())
        return all(functions.get(method, True) for method in called)

    def _mend(self, consumer: _Consumer, delivery: Delivery, lost: Lost) -> None:
        """A worker died. The call that was running pays; what can do no harm is computed again."""
        pool = self.service.pool
        error = lost_error(lost)
        harmless = self._may_run_twice(delivery.body)
        if not lost.running and harmless:
            pool.submit(delivery.body, partial(self._ended, consumer, delivery), _deadline(delivery.expiration))
        elif lost.running and harmless and (requests := split(delivery.body)) is not None:
            OneByOne(
                pool,
                requests,
                lost.item,
                error,
                lambda answers: self._reply(consumer, delivery, join(delivery.body, answers)),
            )
        else:
            self._reply(consumer, delivery, failure(delivery.body, error))

    def _unpack(self, delivery: Delivery, work: Work) -> None:
        """Calls that travel together were each expected to be quick, and one is not: let the others not wait for it."""
        if work.is_over or delivery.reply_to is None:
            return
        item = self.service.pool.running_item(work)
        if item is None:  # it has not begun
            asyncio.get_running_loop().call_later(UNPACK_AFTER, self._unpack, delivery, work)
            return
        packed = split_with_ids(delivery.body)
        if packed is None or not self.service.pool.functions.get(packed[0], False):
            return
        for index, (call_id, request) in enumerate(packed[1]):
            if index != item:
                done = partial(self._answer_unpacked, delivery.reply_to, call_id, request)
                self.service.pool.submit(request, done, work.deadline)  # none starts that nobody waits for any more

    def _answer_unpacked(self, reply_to: str, call_id: str, request: bytes, outcome: Outcome) -> None:
        """The caller knows the call by its own id; what comes for it with the others later is a duplicate."""
        match outcome:
            case Answer(body):
                response = body
            case Lost():
                response = failure(request, lost_error(outcome))
            case Expired():
                return
        if response is not None:
            with contextlib.suppress(RpcError):  # the connection went; the delivery goes to another server
                self.channel.publish(reply_to, response, correlation_id=call_id)

    def _reply(self, consumer: _Consumer, delivery: Delivery, response: bytes | None) -> None:
        if response is not None and delivery.reply_to is not None:
            with contextlib.suppress(RpcError):  # noted when the ack fails too
                self.channel.publish(delivery.reply_to, response, correlation_id=delivery.correlation_id)
        self._finish(consumer, delivery)

    def _finish(self, consumer: _Consumer, delivery: Delivery) -> None:
        if self.draining and consumer.unacked == 1 and self.service.prefetch == 1:
            # First the consumer, then the ack: in the other order the broker would deliver once more.
            task = asyncio.ensure_future(self._cancel(consumer))
            task.add_done_callback(lambda _: self._ack(consumer, delivery))
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

    async def _cancel(self, consumer: _Consumer) -> None:
        with contextlib.suppress(RpcError):
            await self.channel.cancel(consumer.tag)


def _outcome_unknown() -> OutcomeUnknown:
    return OutcomeUnknown(
        "the call may have run before, when a server or a connection was lost, and its function must not run twice"
    )


def _deadline(expiration: str | None) -> Deadline | None:
    """When nobody waits any more: a message's `expiration` counts from its publication, so from now at the latest."""
    if expiration is None or not expiration.isdecimal():
        return None
    return Deadline.after(int(expiration) / 1000)
