"""The server: a pool of workers, and one connection after the other that brings them deliveries."""

from __future__ import annotations

import asyncio
import logging
import signal
import ssl
import threading
import time
from collections.abc import Callable, Coroutine, Iterable, Sequence

from ..amqp import Turns
from ..amqp.reconnect import Reconnection
from ..deadline import check_timeout
from ..errors import (
    AccessRefused,
    ConfigurationError,
    OutOfPlace,
    PoolFailed,
    RpcError,
)
from ..functions.importing import check_is_importable, refuse_server
from ..host.logs import Outage
from ..host.loops import new_event_loop
from ..host.malloc import keep_large_blocks
from ..host.signals import stop_signals
from ..host.stopping import Ask, StopRequests
from ..host.surroundings import Surroundings
from ..settings import (
    DEFAULT_CONNECT_TIMEOUT,
    DEFAULT_QUEUE,
    DEFAULT_QUEUE_TYPE,
    QUEUE_TYPES,
    BrokerUrl,
    find_urls,
    usable_cpus,
)
from ..settings.limits import Limits
from ..settings.names import check_patterns, check_queue, check_registry
from ..wire.sizes import AUTO, MAX_BODY, BodyLimit, Setting, check_setting
from ..workers.inside.dispatch import Rules
from ..workers.lives import DEFAULT_START_TIMEOUT, LOAD_TIMEOUT, Care
from ..workers.pool import WorkerPool
from ..workers.supervisor import RESTART_WINDOW
from .queue import QueueFound
from .service import ServerCounts, Service
from .session import Session

log = logging.getLogger(__name__)

BUILT_IN = "rpcsvc.functions:registry"
_LAST_ACKS, _LOOK_EVERY = 1.0, 0.1
"""Seconds."""


class RpcServer:
    """A pool of worker processes that serves one queue.

        RpcServer("mymodule:registry", workers=4).run()

    Args:
        registry: the functions, as MODULE:NAME, because worker processes import it. By default the built-in ones.
        url: the broker's; several, as a list or with commas between, are a cluster's nodes, tried in turn. None asks
            RPCSVC_URL, then the running private node, then guest at localhost.
        queue: the queue to serve. One that is there is taken as it is; else it is declared durable, as `queue_type`.
        queue_type: "classic", or "quorum": what the queue is declared as, where it is missing or was deleted.
        workers: how many processes; None takes the CPUs this process may use.
        prefetch: how many deliveries each worker's consumer may hold.
        callback_queues: patterns (as of fnmatch) of further callback queues that replies may go to, beside those that
            only one connection can read.
        max_request, max_result: the largest request and the largest response in bytes. A larger request is refused
            before anybody reads it; of a larger response the caller is told (ResultNotEncodable). "auto" is a little
            under what brokers of this version take by default (16 MiB from 4.0 on), at most 64 MiB. A broker that takes
            less lowers it when it refuses a response.
        send_tracebacks: whether callers see the traceback of a function that raised.
        time_limit: seconds after which a call's worker is killed, for functions without a limit of their own; None is
            never. The caller gets TimeLimitExceeded.
        soft_time_limit: likewise, seconds after which TimeLimitExceeded is raised inside the function.
        memory_limit: likewise, bytes that a worker may take in a call. One that takes more is killed, and the caller
            gets MemoryLimitExceeded.
        cancel_grace: seconds that a cancelled call may take to end by itself before its worker is killed; 0 is none.
        start_timeout: seconds in which a new worker must be ready; one that is not is killed. None is 10, or 60 where
            each worker imports the registry.
        preload: whether the registry is imported once, in the process that workers are forked from. Else each worker
            imports it, which takes time and memory, and suits libraries whose threads do not survive a fork.
        blas_threads: how many threads a worker's libraries for linear algebra and OpenMP may use (OMP_NUM_THREADS and
            the like; such variables that are set already win). None shares the CPUs among the workers.
        max_calls_per_worker: how many calls a worker makes before it is replaced; None is any number.
        max_restarts: how many workers may end within `restart_window` seconds. If more do, and fewer calls are answered
            than workers end, the server stops with PoolFailed. None is 100, or 20 for each worker if that is more.
            What a limit, a cancel, `max_calls_per_worker` or a reload ends does not count.
        restart_window: seconds.
        connect_timeout: seconds in which a broker must be reached at the start; one that is not up yet is waited for.
        ssl_context: for amqps, in place of what the URL can say of TLS.

    Attributes:
        url: the brokers'; printing it hides the passwords.
    """

    def __init__(
        self,
        registry: str = BUILT_IN,
        *,
        url: str | Sequence[str] | None = None,
        queue: str = DEFAULT_QUEUE,
        queue_type: str = DEFAULT_QUEUE_TYPE,
        workers: int | None = None,
        prefetch: int = 1,
        callback_queues: Iterable[str] = (),
        max_request: Setting = AUTO,
        max_result: Setting = AUTO,
        send_tracebacks: bool = True,
        time_limit: float | None = None,
        soft_time_limit: float | None = None,
        memory_limit: int | None = None,
        cancel_grace: float = 2.0,
        start_timeout: float | None = None,
        preload: bool = True,
        blas_threads: int | None = None,
        max_calls_per_worker: int | None = None,
        max_restarts: int | None = None,
        restart_window: float = RESTART_WINDOW,
        ssl_context: ssl.SSLContext | None = None,
        connect_timeout: float = DEFAULT_CONNECT_TIMEOUT,
    ) -> None:
        self.registry = check_registry(registry)
        check_is_importable(self.registry)
        self.url = find_urls(url).over(ssl_context)
        del url  # what shows the variables of a traceback would show its password
        self.queue = check_queue(queue, declared=True)
        callback_queues = check_patterns("callback_queues", callback_queues)
        if queue_type not in QUEUE_TYPES:
            raise ConfigurationError(f"queue_type must be {' or '.join(map(repr, QUEUE_TYPES))}, not {queue_type!r}")
        self._queue_type = queue_type
        self._queue_found: QueueFound | None = None
        self.workers = usable_cpus() if workers is None else _within("workers", workers, 1, 10_000)
        self.prefetch = _within("prefetch", prefetch, 1, 65_535)
        self._connect_timeout = check_timeout(connect_timeout, "connect_timeout")
        self.counts = ServerCounts()
        self._max_request = check_setting("max_request", max_request)
        self._max_result = check_setting("max_result", max_result)
        limits = Limits(soft_time_limit, time_limit, memory_limit)
        self._rules = Rules(
            max_result=MAX_BODY if self._max_result == AUTO else self._max_result,
            send_tracebacks=send_tracebacks,
            soft_time_limit=limits.soft,
            time_limit=limits.hard,
            memory_limit=limits.memory,
        )
        self._care = Care(
            cancel_grace=cancel_grace,
            start_timeout=_start_timeout(start_timeout, preload),
            max_calls=max_calls_per_worker,
            max_restarts=max_restarts,
            restart_window=restart_window,
        )
        self._preload = preload
        threads = max(1, usable_cpus() // self.workers) if blas_threads is None else blas_threads
        self._blas_threads = _within("blas_threads", threads, 1, 10_000)
        self._callback_queues = tuple(callback_queues)
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
    def queue_found(self) -> str:
        """What is known of the queue: "declared: classic", "found: quorum" and the like; empty before it was seen."""
        return "" if self._queue_found is None else str(self._queue_found)

    @property
    def was_forced(self) -> bool:
        """Whether a second signal ended it."""
        return self._force

    # ---- running

    def run(self, ready: Callable[[RpcServer], None] | None = None) -> None:
        """Serve until SIGTERM or SIGINT; then finish the calls that run, answer them, and return.

        A second signal ends everything at once; the broker gives what was not finished to another server. A SIGTERM
        within a second of the first signal is taken for its echo. SIGHUP reloads the registry. A SIGINT that was
        ignored before stays so, as Unix has it for what runs in the background; SIGTERM and SIGHUP are heard always.

        Args:
            ready: called once, when every worker is up and the queue is consumed.

        Raises:
            RegistryFailed: the registry cannot be imported.
            ConfigurationError: this is run by the import of a registry for workers; the sentence says what to write.
            ConnectionFailed: no broker can be reached at the start, in `connect_timeout`. Later losses are mended, not
                raised.
            QueueMismatch, AccessRefused: the queue cannot be used as it is, or replies not be sent.
            PoolFailed: workers cannot be kept running.
            OutOfPlace: this is not the main thread.
        """
        refuse_server(self.registry)
        if threading.current_thread() is not threading.main_thread():
            raise OutOfPlace(
                "run() waits for signals, which the main thread alone gets; in another one, serve with "
                "asyncio.run(server.serve())"
            )
        keep_large_blocks()
        with asyncio.Runner(loop_factory=_event_loop) as runner:
            runner.run(self._run_with_signals(ready))

    async def _run_with_signals(self, ready: Callable[[RpcServer], None] | None) -> None:
        loop = asyncio.get_running_loop()
        requests = StopRequests(time.monotonic)
        for number in stop_signals():
            loop.add_signal_handler(number, self._told_to_stop, requests, number)
        loop.add_signal_handler(signal.SIGHUP, self.reload)
        await self.serve(ready)

    async def serve(self, ready: Callable[[RpcServer], None] | None = None) -> None:
        """What `run` does, on the running event loop and without signal handlers; `stop` ends it."""
        refuse_server(self.registry)
        self._stop = asyncio.Event()
        self._pool = WorkerPool(
            self.registry,
            self.workers,
            rules=self._rules,
            care=self._care,
            surroundings=Surroundings.here(preload=self._preload, blas_threads=self._blas_threads),
            gave_up=self._pool_gave_up,
            paused=self._flush,
        )
        try:
            if await self._unless_stopped(self._pool.start()):
                await self._serve_sessions(ready)
        finally:
            if self._session is not None:
                await self._session.close()
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
                self._session.abort()
        else:
            log.info("draining: %d calls under way", 0 if self._pool is None else self._pool.busy)
        self._stop.set()

    def _told_to_stop(self, requests: StopRequests, number: signal.Signals) -> None:
        if requests.told(may_be_an_echo=number is signal.SIGTERM) is Ask.NOTHING:
            log.info("%s again within a second: it is taken for the same one", number.name)
        else:
            self.stop()

    def reload(self) -> None:
        """Import the registry anew, with the code as it is now, without losing a call.

        It happens in the background: new workers start beside the old ones. When all of them are ready they get the new
        calls, and the old ones finish theirs. If the import fails, the old ones go on, and the log says why. While the
        server starts or drains this does nothing.
        """
        if self._pool is None or self._stop is None or self._stop.is_set() or not self._pool.functions:
            log.info("the registry is not reloaded while the server starts or stops")
            return
        self._pool.reload()

    def _flush(self) -> None:
        if self._session is not None:
            self._session.flush()

    def _pool_gave_up(self, reason: str) -> None:
        self._failure = PoolFailed(reason)
        log.error("the pool gives up: %s", reason)
        if self._stop is not None and not self._stop.is_set():
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
        service = Service(
            self.queue,
            self.prefetch,
            self._pool,
            self.counts,
            self._callback_queues,
            queue_type=self._queue_type,
            requests=BodyLimit(self._max_request),
            results=BodyLimit(self._max_result),
        )
        try:
            await self._serve_one_after_the_other(service, ready)
        finally:
            service.under_way.close()

    async def _serve_one_after_the_other(self, service: Service, ready: Callable[[RpcServer], None] | None) -> None:
        assert self._stop is not None
        turns = Turns(self.url)
        outage = Outage(time.monotonic)
        search = Reconnection(time.monotonic(), within=self._connect_timeout)
        while not self._stop.is_set():
            timeout = min(search.remaining(time.monotonic()), max(self._connect_timeout, DEFAULT_CONNECT_TIMEOUT))
            try:
                await self._unless_stopped(self._open_session(service, turns, timeout))
            except RpcError as error:
                pause = search.next_pause(error, time.monotonic())
                if pause is None:
                    raise
                if outage.fails():
                    log.warning("no connection yet, and tried again and again: %s", error)
                await self._unless_stopped(asyncio.sleep(pause))
                continue
            if self._session is None:
                return
            self._connected(outage, ready)
            ready = None
            if await self._unless_stopped(self._session.wait_until_lost()):
                if isinstance(self._session.reason, AccessRefused):
                    raise self._session.reason  # it may not answer: calls would run again and again
                outage.begins()
                log.warning("reconnecting: %s", self._session.reason)
                self._session.abort()
                self._session = None
                search = Reconnection(time.monotonic(), was_open=True)
            else:
                await self._drain(self._session)

    def _connected(self, outage: Outage, ready: Callable[[RpcServer], None] | None) -> None:
        away = outage.ends()
        if away is not None:
            log.info("connected after %.1f s", away)
        if ready is not None:
            ready(self)

    async def _drain(self, session: Session) -> None:
        """Finish what was taken; if the pool has given up, only what its last workers run. The rest goes back."""
        drained = asyncio.ensure_future(session.drain())
        while not drained.done():
            left_alone = self._failure is not None and self._pool is not None and not self._pool.busy
            await asyncio.wait((drained,), timeout=_LAST_ACKS if left_alone else _LOOK_EVERY)
            if left_alone:
                break
        drained.cancel()
        await asyncio.gather(drained, return_exceptions=True)

    async def _open_session(self, service: Service, turns: Turns, timeout: float) -> None:
        async def attempt(url: BrokerUrl, timeout: float) -> Session:
            return await Session.open(url, service, consumers=self.workers, timeout=timeout, known=self._queue_found)

        self._session = await turns.open(attempt, timeout=timeout)
        self._queue_found = self._session.consumers.found

    def __repr__(self) -> str:
        return f"<RpcServer of {self.registry} on {self.queue!r} at {self.url}: {self._pool!r}, {self.counts}>"


def _event_loop() -> asyncio.AbstractEventLoop:
    try:
        return new_event_loop()
    except OSError as error:
        raise PoolFailed(f"no server for want of something on this machine: {error}") from error


def _start_timeout(given: float | None, preload: bool) -> float:
    if given is not None:
        return given
    return DEFAULT_START_TIMEOUT if preload else LOAD_TIMEOUT


def _within(name: str, value: int, least: int, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise ConfigurationError(f"{name} must be a whole number from {least} to {most}, not {value!r}")
    return value
