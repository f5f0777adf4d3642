"""The server: a pool of workers, and one connection after the other that brings them deliveries."""

from __future__ import annotations

import asyncio
import logging
import signal
import ssl
import threading
import time
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any

from ..amqp import Turns
from ..amqp.reconnect import Reconnection
from ..errors import (
    AccessRefused,
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
from ..settings import (
    DEFAULT_CAST_QUEUE_TYPE,
    DEFAULT_CONNECT_TIMEOUT,
    DEFAULT_QUEUE,
    DEFAULT_QUEUE_TYPE,
    BrokerUrl,
    find_urls,
)
from ..settings.options import SSL_CONTEXT, URL, documented, options_of
from ..settings.server import BUILT_IN, DEFAULT_CANCEL_GRACE, DEFAULT_RESTART_WINDOW, ServerOptions
from ..wire.sizes import AUTO, BodyLimit, Setting
from ..workers.pool import WorkerPool
from ..workers.work import WorkerExit
from .counts import ServerCounts
from .crew import new_pool
from .life import STARTED, STOPPED, WORKER_LOST
from .queue import QueueFound
from .service import CastRules, Service
from .session import Session

log = logging.getLogger(__name__)

_LAST_ACKS, _LOOK_EVERY = 1.0, 0.1
"""Seconds."""


@documented(*options_of(ServerOptions), URL, SSL_CONTEXT)
class RpcServer:
    """A pool of worker processes that serves one queue.

        RpcServer("mymodule:registry", workers=4).run()

    Args:
        {options}

    Attributes:
        url: the brokers'; printing it hides the passwords.

    Raises:
        ConfigurationError: an option is wrong.
    """

    def __init__(
        self,
        registry: str = BUILT_IN,
        *,
        url: str | Sequence[str] | None = None,
        queue: str = DEFAULT_QUEUE,
        queue_type: str = DEFAULT_QUEUE_TYPE,
        casts: bool = True,
        casts_from: Iterable[str] = (),
        cast_queue_type: str = DEFAULT_CAST_QUEUE_TYPE,
        cast_max_length: int | None = None,
        dead_ttl: float | None = None,
        workers: int | None = None,
        threads: int = 1,
        cast_workers: int | None = None,
        prefetch: int = 1,
        callback_queues: Iterable[str] = (),
        max_request: Setting = AUTO,
        max_result: Setting = AUTO,
        send_tracebacks: bool = True,
        time_limit: float | None = None,
        soft_time_limit: float | None = None,
        memory_limit: int | None = None,
        cancel_grace: float = DEFAULT_CANCEL_GRACE,
        start_timeout: float | None = None,
        preload: bool = True,
        blas_threads: int | None = None,
        max_calls_per_worker: int | None = None,
        max_restarts: int | None = None,
        restart_window: float = DEFAULT_RESTART_WINDOW,
        ssl_context: ssl.SSLContext | None = None,
        connect_timeout: float = DEFAULT_CONNECT_TIMEOUT,
    ) -> None:
        self.url = find_urls(url).over(ssl_context)
        del url  # what shows the variables of a traceback would show its password
        given = locals()  # each option is a parameter
        self._options = ServerOptions(**{each.name: given[each.name] for each in options_of(ServerOptions)})
        check_is_importable(registry)
        self.registry, self.queue, self.workers = registry, queue, self._options.processes
        self.threads = threads
        self.counts = ServerCounts()
        self._queue_found: QueueFound | None = None
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
    def casts_found(self) -> str:
        """The queues that casts are served from, for the log; empty for none."""
        return "" if self._session is None else str(self._session.casting)

    @property
    def handlers_found(self) -> list[str]:
        """The handlers that events are served for."""
        return [] if self._session is None else self._session.casting.handlers

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
        self._pool = new_pool(
            self._options,
            gave_up=self._pool_gave_up,
            paused=self._flush,
            reloaded=self._reloaded,
            lost=self._lost,
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
            log.info("draining: %d calls under way", 0 if self._pool is None else self._pool.under_way)
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
        if self._pool is None or self._stop is None or self._stop.is_set() or not self._pool.is_loaded:
            log.info("the registry is not reloaded while the server starts or stops")
            return
        self._pool.reload()

    def _lost(self, exit_: WorkerExit, why: str) -> None:
        self._tell(WORKER_LOST, worker=exit_.pid, exit_code=exit_.exit_code, signal=exit_.signal_number, why=why)

    def _reloaded(self) -> None:
        if self._session is not None:
            self._session.casting.start()

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
        options = self._options
        service = Service(
            self.queue,
            options.prefetch,
            self._pool,
            self.counts,
            tuple(options.callback_queues),
            queue_type=options.queue_type,
            requests=BodyLimit(options.max_request),
            results=BodyLimit(options.max_result),
            cast_rules=CastRules.of(options),
        )
        try:
            await self._serve_one_after_the_other(service, ready)
        finally:
            service.close()

    async def _serve_one_after_the_other(self, service: Service, ready: Callable[[RpcServer], None] | None) -> None:
        assert self._stop is not None
        turns = Turns(self.url)
        outage = Outage(time.monotonic)
        within = self._options.connect_timeout
        search, most = Reconnection(time.monotonic(), within=within), max(within, DEFAULT_CONNECT_TIMEOUT)
        while not self._stop.is_set():
            timeout = min(search.remaining(time.monotonic()), most)
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
            if ready is not None:
                await self._unless_stopped(self._session.casting.tried())
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
                self._tell(STOPPED)

    def _connected(self, outage: Outage, ready: Callable[[RpcServer], None] | None) -> None:
        away = outage.ends()
        if away is not None:
            log.info("connected after %.1f s", away)
        if ready is not None:
            ready(self)
            self._tell(STARTED, functions=self.function_names, handlers=self.handlers_found, workers=self.workers)

    def _tell(self, topic: str, **facts: Any) -> None:
        if self._session is not None:
            self._session.service.life.say(topic, **facts)

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
            return await Session.open(
                url, service, consumers=self._options.slots, timeout=timeout, known=self._queue_found
            )

        self._session = await turns.open(attempt, timeout=timeout)
        self._queue_found = self._session.consumers.found

    def __repr__(self) -> str:
        return f"<RpcServer of {self.registry} on {self.queue!r} at {self.url}: {self._pool!r}, {self.counts}>"


def _event_loop() -> asyncio.AbstractEventLoop:
    try:
        return new_event_loop()
    except OSError as error:
        raise PoolFailed(f"no server for want of something on this machine: {error}") from error
