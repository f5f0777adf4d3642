"""The server: a pool of workers, and one connection after the other that brings them deliveries."""

from __future__ import annotations

import asyncio
import logging
import random
import signal
from collections.abc import Callable, Coroutine, Iterable

from .dispatch import Rules
from .errors import (
    AccessRefused,
    AuthenticationFailed,
    ConfigurationError,
    ConnectionFailed,
    ConnectionLost,
    PoolFailed,
    QueueMismatch,
    RpcError,
)
from .loops import new_event_loop
from .memory import keep_large_blocks
from .registry import Limits
from .serving.session import ServerCounts, Service, Session
from .settings import DEFAULT_QUEUE, MAX_BODY, find_url, usable_cpus
from .workers.pool import WorkerPool

log = logging.getLogger(__name__)

BUILT_IN = "rpcsvc.functions:registry"
CALLBACK_QUEUES = ("amq.gen-*", "amq.rabbitmq.reply-to.*")
"""Where replies may go: names that the broker gives (server-named queues, direct reply-to), which nobody can choose."""
_BACK_OFF_FROM, _BACK_OFF_UP_TO = 0.1, 2.0
"""Seconds. Calls are to succeed within five of a broker's return, however long it was away."""


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
        time_limit: seconds after which a call's worker is killed, for functions without a limit of their own; None is
            never. The caller gets TimeLimitExceeded.
        soft_time_limit: likewise, seconds after which TimeLimitExceeded is raised inside the function.
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
        time_limit: float | None = None,
        soft_time_limit: float | None = None,
    ) -> None:
        if not isinstance(registry, str):
            raise ConfigurationError("the registry is given as 'MODULE:NAME': worker processes import it by that name")
        self.registry = registry
        self.url = find_url(url)
        self.queue = queue
        self.workers = usable_cpus() if workers is None else _within("workers", workers, 1, 10_000)
        self.prefetch = _within("prefetch", prefetch, 1, 65_535)
        self.counts = ServerCounts()
        limits = Limits(soft_time_limit, time_limit)
        self._rules = Rules(
            max_result=_within("max_result", max_result, 1024, MAX_BODY),
            send_tracebacks=send_tracebacks,
            soft_time_limit=limits.soft,
            time_limit=limits.hard,
        )
        self._callback_queues = (*CALLBACK_QUEUES, *callback_queues)
        self._pool: WorkerPool | None = None
        self._session: Session | None = None
        self._stop: asyncio.Event | None = None
        self._failure: RpcError | None = None
        self._force = False

    @property
    def function_names(self) -> list[str]:
        """What is served; empty before the registry is loaded."""
        return [] if self._pool is None else list(self._pool.functions)

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
        keep_large_blocks()
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
        self._pool = WorkerPool(
            self.registry, self.workers, rules=self._rules, gave_up=self._pool_gave_up, paused=self._flush
        )
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

    def _flush(self) -> None:
        if self._session is not None:
            self._session.connection.flush()

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
        assert self._pool is not None
        service = Service(self.queue, self.prefetch, self._pool, self.counts, self._callback_queues)
        back_off = _BACK_OFF_FROM
        first = True
        while not self._stop.is_set():
            try:
                await self._unless_stopped(self._open_session(service))
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

    async def _open_session(self, service: Service) -> None:
        self._session = await Session.open(self.url, service, consumers=self.workers)

    def __repr__(self) -> str:
        return f"<RpcServer of {self.registry} on {self.queue!r} at {self.url}: {self._pool!r}, {self.counts}>"


def _within(name: str, value: int, least: int, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise ConfigurationError(f"{name} must be a whole number from {least} to {most}, not {value!r}")
    return value
