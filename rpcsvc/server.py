"""The server: deliveries from the broker to the workers, answers back.

    rpc_queue --consumer k, prefetch 1--> delivery --body--> WorkerPool --> outcome --> reply, then ack --> broker

Rules: the server never looks into a body (only to answer for a worker that died). A delivery is acked after its reply
was published, on the same channel, so whatever takes the server away before that gives the delivery to another one.
Nothing in here waits for a worker or for the broker while others could go on.
"""

from __future__ import annotations

import asyncio
import contextlib
import fnmatch
import logging
import random
import signal
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass, field
from functools import partial

from .amqp import Channel, Connection, Delivery
from .deadline import Deadline
from .dispatch import Rules, failure
from .errors import (
    AccessRefused,
    AuthenticationFailed,
    ConfigurationError,
    ConnectionFailed,
    ConnectionLost,
    PoolFailed,
    QueueMismatch,
    RpcError,
    WorkerLost,
)
from .loops import new_event_loop
from .settings import DEFAULT_CONNECT_TIMEOUT, DEFAULT_QUEUE, MAX_BODY, find_url, usable_cpus
from .supervision import WorkerExit
from .workers.pool import Answer, Expired, Lost, Outcome, WorkerPool

log = logging.getLogger(__name__)

BUILT_IN = "rpcsvc.functions:registry"
CALLBACK_QUEUES = ("amq.gen-*", "amq.rabbitmq.reply-to.*")
"""Where replies may go: names that the broker gives (server-named queues, direct reply-to), which nobody can choose."""
_BACK_OFF_FROM, _BACK_OFF_UP_TO = 0.1, 5.0


@dataclass(slots=True)
class ServerCounts:
    """What happened to deliveries since the start.

    Attributes:
        answered: a reply was published, or none was wanted.
        lost: a worker died during them; the caller was told.
        expired: nobody waited for them any more; they did not start.
        refused: their callback queue is none that replies may go to; they did not start.
        abandoned: the connection was lost before they could be acked; the broker delivers them again.
    """

    answered: int = 0
    lost: int = 0
    expired: int = 0
    refused: int = 0
    abandoned: int = 0


class RpcServer:
    """A pool of worker processes that serves one queue.

        RpcServer("mymodule:registry", workers=4).run()

    Args:
        registry: the functions, as MODULE:NAME, because worker processes import it. By default the built-in ones.
        url: the broker's; None asks RPCSVC_URL, then the running private node, then guest at localhost.
        queue: the queue to serve. It is declared durable, without other arguments.
        workers: how many processes; None takes the CPUs this process may use.
        prefetch: how many deliveries each worker's consumer may hold.
        callback_queues: patterns (as of fnmatch) of further callback queues that replies may go to.
        max_result: the largest response in bytes.
        send_tracebacks: whether callers see the traceback of a function that raised.
    """

    def __init__(
        self,
        registry: str = BUILT_IN,
        *,
        url: str | None = None,
        queue: str = DEFAULT_QUEUE,
        workers: int | None = None,
        prefetch: int = 1,
        callback_queues: Iterable[str] = (),
        max_result: int = MAX_BODY,
        send_tracebacks: bool = True,
    ) -> None:
        if not isinstance(registry, str):
            raise ConfigurationError("the registry is given as 'MODULE:NAME': worker processes import it by that name")
        self.registry = registry
        self.url = find_url(url)
        self.queue = queue
        self.workers = usable_cpus() if workers is None else _within("workers", workers, 1, 10_000)
        self.prefetch = _within("prefetch", prefetch, 1, 65_535)
        self.counts = ServerCounts()
        self._rules = Rules(
            max_result=_within("max_result", max_result, 1024, MAX_BODY), send_tracebacks=send_tracebacks
        )
        self._callback_queues = (*CALLBACK_QUEUES, *callback_queues)
        self._pool: WorkerPool | None = None
        self._session: _Session | None = None
        self._stop: asyncio.Event | None = None
        self._failure: RpcError | None = None
        self._force = False

    @property
    def function_names(self) -> list[str]:
        """What is served; empty before the registry is loaded."""
        return [] if self._pool is None else self._pool.names

    @property
    def was_forced(self) -> bool:
        """Whether a second signal ended it."""
        return self._force

    # ---- running

    def run(self, ready: Callable[[RpcServer], None] | None = None) -> None:
        """Serve until SIGTERM or SIGINT; then finish the calls that run, answer them, and return.

        A second signal ends everything at once; the broker gives what was not finished to another server.

        Args:
            ready: called once, when every worker is up and the queue is consumed.

        Raises:
            RegistryFailed: the registry cannot be imported.
            ConnectionFailed: no broker can be reached at the start. Later losses are mended, not raised.
            QueueMismatch, AccessRefused: the queue cannot be used as it is.
            PoolFailed: workers cannot be kept running.
        """
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            runner.run(self._run_with_signals(ready))

    async def _run_with_signals(self, ready: Callable[[RpcServer], None] | None) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        await self.serve(ready)

    async def serve(self, ready: Callable[[RpcServer], None] | None = None) -> None:
        """What `run` does, on the running event loop and without signal handlers; `stop` ends it."""
        self._stop = asyncio.Event()
        self._pool = WorkerPool(self.registry, self.workers, rules=self._rules, gave_up=self._pool_gave_up)
        try:
            if await self._unless_stopped(self._pool.start()):
                await self._serve_sessions(ready)
        finally:
            if self._session is not None:
                await self._session.connection.close()
            await self._pool.stop(grace=0.0 if self._force else 5.0)
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        """Drain and end; called again, end at once."""
        if self._stop is None:
            return
        if self._stop.is_set():
            self._force = True
            log.warning("stopping at once; calls under way go back to the queue")
            if self._session is not None:
                self._session.connection.abort()
        else:
            log.info("draining: %d calls under way", 0 if self._pool is None else self._pool.busy)
        self._stop.set()

    def _pool_gave_up(self, reason: str) -> None:
        self._failure = PoolFailed(reason)
        self.stop()

    async def _unless_stopped(self, work: Coroutine[None, None, None]) -> bool:
        """Do some work, but leave it when the server is to stop; whether it was done."""
        assert self._stop is not None
        task = asyncio.ensure_future(work)
        stopped = asyncio.ensure_future(self._stop.wait())
        try:
            await asyncio.wait((task, stopped), return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                task.result()
                return True
            return False
        finally:
            for each in (task, stopped):
                each.cancel()
            await asyncio.gather(task, stopped, return_exceptions=True)

    # ---- sessions: one connection each

    async def _serve_sessions(self, ready: Callable[[RpcServer], None] | None) -> None:
        assert self._stop is not None
        back_off = _BACK_OFF_FROM
        first = True
        while not self._stop.is_set():
            try:
                await self._unless_stopped(self._open_session())
            except (AuthenticationFailed, AccessRefused, QueueMismatch):
                raise  # another attempt would end the same way
            except (ConnectionFailed, ConnectionLost) as error:
                if first:
                    raise
                log.warning("no connection yet: %s", error)
                await self._unless_stopped(asyncio.sleep(random.uniform(0, back_off)))  # noqa: S311 not a secret
                back_off = min(2 * back_off, _BACK_OFF_UP_TO)
                continue
            if self._session is None:
                return
            if first and ready is not None:
                ready(self)
            first, back_off = False, _BACK_OFF_FROM
            if await self._unless_stopped(self._session.wait_until_lost()):
                log.warning("reconnecting: %s", self._session.reason)
                self._session.connection.abort()
                self._session = None
            else:
                await self._session.drain()

    async def _open_session(self) -> None:
        connection = await Connection.open(self.url, role="rpcsvc server", timeout=DEFAULT_CONNECT_TIMEOUT)
        try:
            channel = await connection.channel()
            await channel.declare_queue(self.queue, durable=True)
            await channel.prefetch(self.prefetch)
            session = _Session(self, connection, channel)
            for _ in range(self.workers):
                await session.consume()
        except BaseException:
            connection.abort()
            raise
        self._session = session

    def _may_reply_to(self, queue: str) -> bool:
        return any(fnmatch.fnmatchcase(queue, pattern) for pattern in self._callback_queues)

    def __repr__(self) -> str:
        return f"<RpcServer of {self.registry} on {self.queue!r} at {self.url}: {self._pool!r}, {self.counts}>"


@dataclass(slots=True, eq=False)
class _Consumer:
    """One consumer: its tag, and how many of its deliveries are not acked yet."""

    tag: str = ""
    unacked: int = 0


@dataclass(slots=True, eq=False)
class _Session:
    """One connection of the server: its channel, its consumers, the deliveries that came through it."""

    server: RpcServer
    connection: Connection
    channel: Channel
    consumers: list[_Consumer] = field(default_factory=list)
    reason: RpcError | None = None
    draining: bool = False
    unacked: int = 0
    _idle: asyncio.Event = field(default_factory=asyncio.Event)
    _lost: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self._idle.set()
        self.channel.lost.add_done_callback(lambda lost: self._end(lost.result()))
        self.channel.on_cancelled(
            lambda: self._end(ConnectionLost("the broker ended a consumer: the queue was deleted"))
        )

    def _end(self, reason: RpcError) -> None:
        self.reason = self.reason or reason
        self._lost.set()

    async def consume(self) -> None:
        """Start one more consumer."""
        consumer = _Consumer()
        self.consumers.append(consumer)
        consumer.tag = await self.channel.consume(self.server.queue, partial(self._delivered, consumer))

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
            if consumer.unacked == 0 or self.server.prefetch > 1:
                await self._cancel(consumer)
        answered = asyncio.ensure_future(self._idle.wait())
        lost = asyncio.ensure_future(self._lost.wait())
        await asyncio.wait((answered, lost), return_when=asyncio.FIRST_COMPLETED)
        answered.cancel()
        lost.cancel()

    # ---- one delivery

    def _delivered(self, consumer: _Consumer, delivery: Delivery) -> None:
        counts = self.server.counts
        pool = self.server._pool
        assert pool is not None
        consumer.unacked += 1
        self.unacked += 1
        self._idle.clear()
        if delivery.reply_to is not None and not self.server._may_reply_to(delivery.reply_to):
            counts.refused += 1
            log.warning("a request was refused: replies may not go to a queue named %.60r", delivery.reply_to)
            self._finish(consumer, delivery)
            return
        pool.submit(delivery.body, partial(self._ended, consumer, delivery), _deadline(delivery.expiration))

    def _ended(self, consumer: _Consumer, delivery: Delivery, outcome: Outcome) -> None:
        counts = self.server.counts
        response: bytes | None = None
        match outcome:
            case Answer(body):
                counts.answered += 1
                response = body
            case Lost(exit_):
                counts.lost += 1
                response = failure(delivery.body, _worker_lost(exit_))
            case Expired():
                counts.expired += 1
        if response is not None and delivery.reply_to is not None:
            with contextlib.suppress(RpcError):  # noted when the ack fails too
                self.channel.publish(delivery.reply_to, response, correlation_id=delivery.correlation_id)
        self._finish(consumer, delivery)

    def _finish(self, consumer: _Consumer, delivery: Delivery) -> None:
        if self.draining and consumer.unacked == 1 and self.server.prefetch == 1:
            # First the consumer, then the ack: in the other order the broker would deliver once more.
            task = asyncio.ensure_future(self._cancel(consumer))
            task.add_done_callback(lambda _: self._ack(consumer, delivery))
        else:
            self._ack(consumer, delivery)

    def _ack(self, consumer: _Consumer, delivery: Delivery) -> None:
        try:
            self.channel.ack(delivery.delivery_tag)
        except RpcError:
            self.server.counts.abandoned += 1
        consumer.unacked -= 1
        self.unacked -= 1
        if self.unacked == 0:
            self._idle.set()

    async def _cancel(self, consumer: _Consumer) -> None:
        with contextlib.suppress(RpcError):
            await self.channel.cancel(consumer.tag)


def _deadline(expiration: str | None) -> Deadline | None:
    """When nobody waits any more: a message's `expiration` counts from its publication, so from now at the latest."""
    if expiration is None or not expiration.isdecimal():
        return None
    return Deadline.after(int(expiration) / 1000)


def _worker_lost(exit_: WorkerExit) -> WorkerLost:
    data = {"exit_code": exit_.exit_code, "signal": exit_.signal_number}
    return WorkerLost(f"{exit_} while it computed this call", data=data)


def _within(name: str, value: int, least: int, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise ConfigurationError(f"{name} must be a whole number from {least} to {most}, not {value!r}")
    return value
