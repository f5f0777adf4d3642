"""The world of the state machine: a real broker, two real servers and one client, each behind a network that can fail.

    RpcClient --> FaultProxy --> broker <-- FaultProxy <-- rpcsvc serve (2 workers), rpcsvc serve (1 worker)

It is made once and put in order again after each example, so that an example costs what its steps cost.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psutil
from support.processes import ServerProcess, is_running, wait_until

from rpcsvc import RpcClient
from rpcsvc.broker import PrivateBroker
from rpcsvc.testing import FaultProxy

TIMEOUT = 8.0
"""Seconds of a call: longer than what recovery may take, so that a call does not time out for a fault that is over."""
WORKERS = (2, 1)


class World:
    """Everything that an example acts upon. Use it as a context manager."""

    def __init__(self, broker: PrivateBroker, folder: Path) -> None:
        self._broker = broker
        self._trace = folder / "trace"
        self._queue = f"model-{uuid.uuid4().hex[:12]}"
        self._closing = contextlib.ExitStack()
        self._servers: list[ServerProcess | None] = [None] * len(WORKERS)
        self._stopped: set[int] = set()
        self._numbers = itertools.count(1)
        self.client_network = FaultProxy("127.0.0.1", broker.port)
        self.server_network = FaultProxy("127.0.0.1", broker.port)
        self.client: RpcClient

    def __enter__(self) -> World:
        with self._closing as stack:
            stack.enter_context(self.client_network)
            stack.enter_context(self.server_network)
            stack.callback(self._stop_servers)
            self.start_servers()
            url = self.client_network.url(self._broker.url)
            self.client = stack.enter_context(
                RpcClient(url, queue=self._queue, timeout=TIMEOUT, wait_for_server=10, connect_timeout=30)
            )
            self._closing = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.close()

    # ---- calls

    @property
    def trace(self) -> str:
        """The file in which calls leave a trace."""
        return str(self._trace)

    def number(self) -> int:
        """One that nobody had before."""
        return next(self._numbers)

    def starts(self) -> Counter[int]:
        """How often the calls began that leave a trace, by their numbers."""
        text = self._trace.read_text() if self._trace.exists() else ""
        return Counter(int(line.split()[0]) for line in text.splitlines())

    # ---- servers and their workers

    def start_servers(self) -> None:
        """Start those that are not running."""
        for place, workers in enumerate(WORKERS):
            if self._servers[place] is None:
                url = self.server_network.url(self._broker.url)
                self._servers[place] = ServerProcess(url, "--workers", str(workers), "--queue", self._queue)

    def kill_server(self) -> None:
        """SIGKILL the first one."""
        server = self._servers[0]
        assert server is not None
        family = server.family()
        server.signal(signal.SIGKILL)
        server.wait()
        server.stop()
        self._servers[0] = None
        wait_until(lambda: not any(map(is_running, family)), within=5)
        self._stopped &= {process.pid for process in self.workers()}

    @property
    def is_short_of_a_server(self) -> bool:
        return None in self._servers

    def workers(self) -> list[psutil.Process]:
        """The workers of all servers, those included that are stopped."""
        found: list[psutil.Process] = []
        for server in self._servers:
            if server is not None:
                with contextlib.suppress(psutil.NoSuchProcess):
                    for fork_server in psutil.Process(server.pid).children():
                        found += fork_server.children()
        return sorted(filter(is_running, found), key=lambda process: process.pid)

    def signal_worker(self, choice: int, number: signal.Signals) -> None:
        """Send a signal to one of the workers, if there is one just now."""
        workers = self.workers()
        if not workers:
            return
        pid = workers[choice % len(workers)].pid
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        (self._stopped.add if number is signal.SIGSTOP else self._stopped.discard)(pid)

    # ---- the way back

    def heal(self) -> None:
        """End what lasts: stalls, and stopped workers."""
        self.client_network.heal()
        self.server_network.heal()
        for pid in self._stopped:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        self._stopped.clear()

    def put_in_order(self) -> None:
        """As it was at the beginning, but for what the client has learnt."""
        self.heal()
        self.start_servers()
        try:
            wait_until(lambda: len(self.workers()) == sum(WORKERS))
        except AssertionError as error:
            for each in self.outputs():
                error.add_note(each)
            error.add_note(f"workers: {self.workers()}")
            raise

    def outputs(self) -> Iterator[str]:
        """What the servers have printed."""
        for server in self._servers:
            if server is not None:
                yield server.output

    def _stop_servers(self) -> None:
        self.heal()
        for server in self._servers:
            if server is not None:
                server.stop()
