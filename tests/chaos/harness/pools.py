"""The servers of a run: `rpcsvc serve` processes, what their pools look like from outside, and what is left of them.

A thread looks at every server's workers ten times a second and writes down what has changed. Rules: a server is known
by a number that is never used again, so a server that is started in another's place is another one. Whatever process
was once seen below a server has to go with it.
"""

from __future__ import annotations

import contextlib
import signal
import subprocess
import threading
from collections.abc import Mapping
from pathlib import Path

import psutil
from support.processes import ServerProcess, is_running

from .functions import TRACE_VARIABLE
from .history import History, Measured, Orphaned, PoolSeen, ServerEnded, now

REGISTRY = "harness.functions:registry"
ORPHANS_WITHIN = 2.0
_LOOK_EVERY = 0.1


class Server(ServerProcess):
    """One server of a run.

    Attributes:
        number: its number in the run.
        workers: how many workers it should have.
    """

    def __init__(
        self, number: int, url: str, workers: int, options: tuple[str, ...], environ: Mapping[str, str]
    ) -> None:
        self.number = number
        self.workers = workers
        super().__init__(url, "--workers", str(workers), *options, registry=REGISTRY, environ=environ, ready=False)

    def pool(self) -> list[psutil.Process]:
        """The worker processes that live, zombies not among them."""
        with contextlib.suppress(psutil.Error):
            return [
                worker
                for fork_server in psutil.Process(self.pid).children()
                for worker in fork_server.children()
                if is_running(worker)
            ]
        return []


class Servers:
    """The servers that a run has at the moment, and those it had."""

    def __init__(
        self, url: str, queue: str, *, workers: int, options: tuple[str, ...], folder: Path, environ: Mapping[str, str]
    ) -> None:
        self._url = url
        self._workers = workers
        self._options = ("--queue", queue, *options)
        self._folder = folder
        self._history = History(folder / "servers.jsonl")
        self._environ = {**environ, TRACE_VARIABLE: str(folder / "workers.jsonl")}
        self._seen: dict[int, tuple[int, ...]] = {}
        self._families: dict[int, set[psutil.Process]] = {}
        self._count = 0
        self.running: list[Server] = []
        self._closing = threading.Event()
        self._lock = threading.Lock()
        self._watcher = threading.Thread(target=self._watch, name="pools", daemon=True)
        self._watcher.start()

    # ---- what a scenario uses

    def start(self, count: int = 1) -> None:
        """So many servers more; they are ready on return."""
        started = []
        for _ in range(count):
            self._count += 1
            started.append(Server(self._count, self._url, self._workers, self._options, self._environ))
            with self._lock:
                self.running.append(started[-1])
        for server in started:
            server.wait_ready()
            self._look(server)

    def stop(self, server: Server, *, within: float = 20.0) -> None:
        """SIGTERM, and wait for the drain. One that does not end in time, or not with 0, is written down."""
        self._end(server, signal.SIGTERM, within)

    def kill(self, server: Server) -> None:
        """SIGKILL; its workers have to go with it."""
        self._end(server, signal.SIGKILL, 5.0)

    def _end(self, server: Server, number: signal.Signals, within: float) -> None:
        self._look(server)
        with self._lock:
            self.running.remove(server)
        at = now()
        code: int | None = None
        try:
            server.signal(number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                code = server.wait(within)
        finally:
            self._history.write(ServerEnded(at, server.number, number.name, code))
            server.process.kill()
            server.process.wait()
            self._keep_output(server)
            server.stop()
        left = psutil.wait_procs(self._families.pop(server.number, ()), timeout=ORPHANS_WITHIN)[1]
        for process in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                if process.status() != psutil.STATUS_ZOMBIE:
                    self._history.write(Orphaned(now(), server.number, process.pid))
                process.kill()
        # What its workers were over has ended with them.
        self._history.write(PoolSeen(now(), server.number, server.workers, ()))

    # ---- what the runner uses

    def measure(self, when: str) -> None:
        """Write down what the servers hold. A server that was started in between has no "before"."""
        for server in self.running:
            main = psutil.Process(server.pid)
            family = [main, *server.family()]
            self._history.write(
                Measured(
                    now(),
                    f"server {server.number}",
                    when,
                    fds=sum(_fds(process) for process in family),
                    memory=main.memory_info().rss,
                    zombies=sum(_is_zombie(process) for process in family) if when == "after" else 0,
                    ports=_ports(main),
                )
            )

    def close(self) -> None:
        """Stop the servers, and stop looking."""
        try:
            for server in list(self.running):
                server.signal(signal.SIGCONT)
                self.stop(server)
        finally:
            for server in self.running:
                server.process.kill()
                server.stop()
            self._closing.set()
            self._watcher.join()
            self._history.close()

    # ---- inside

    def _watch(self) -> None:
        while not self._closing.wait(_LOOK_EVERY):
            with self._lock:
                servers = list(self.running)
            for server in servers:
                self._look(server)

    def _look(self, server: Server) -> None:
        with contextlib.suppress(psutil.Error):
            self._families.setdefault(server.number, set()).update(server.family())
        pids = tuple(sorted(worker.pid for worker in server.pool()))
        at = now()  # not before: workers that are seen no more went before this, their server's end included
        if pids != self._seen.get(server.number):
            self._seen[server.number] = pids
            self._history.write(PoolSeen(at, server.number, server.workers, pids))

    def _keep_output(self, server: Server) -> None:
        (self._folder / f"server-{server.number}.log").write_text(server.output)

    def __repr__(self) -> str:
        return f"<Servers: {len(self.running)} running of {self._count} started>"


def _fds(process: psutil.Process) -> int:
    with contextlib.suppress(psutil.Error):
        return int(process.num_fds())
    return 0


def _ports(process: psutil.Process) -> tuple[int, ...]:
    """Of its TCP connections, which a server has to the broker alone. One that was lost and made again has another."""
    connections = process.net_connections("tcp")
    return tuple(sorted(each.laddr.port for each in connections if each.status == psutil.CONN_ESTABLISHED))


def _is_zombie(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.Error):
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    return False
