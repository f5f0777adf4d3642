"""Runs: start a peer's servers, wait for them, measure with its client, end everything; round by round."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import pika
import psutil
from pika.adapters.blocking_connection import BlockingChannel
from pika.exceptions import ChannelClosedByBroker

from .counts import FOLDER
from .modes import Mode
from .peer import Peer, Setup, Unavailable
from .processes import Child, cpu_of
from .table import Run

READY_TIMEOUT = 30.0
"""Seconds for servers to be ready."""
RUN_TIMEOUT = 180.0
"""Seconds for a client to be done, whatever it was told to measure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How much to measure: seconds of a run, calls of a map, rounds."""

    rounds: int = 3
    seconds: float = 2.5
    calls: int = 100_000


def has_row(peer: Peer, mode: Mode) -> bool:
    """Whether a peer has a row in a mode's table."""
    return peer.one_way == mode.one_way and not peer.skips(mode)


@dataclass(slots=True)
class Runner:
    """Everything on one broker.

    Attributes:
        url: the broker's.
        broker_pid: its process, for its CPU.
        failures: peers that could not be prepared, with the reason.
    """

    url: str
    broker_pid: int
    options: Options
    failures: dict[str, str] = field(default_factory=dict)
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1), repr=False)

    def run_all(self, peers: Sequence[Peer], modes: Sequence[Mode], tell: Callable[[Run], None]) -> list[Run]:
        """Round by round, mode by mode, peer by peer; every other round backwards, so none is always behind another."""
        for peer in peers:
            try:
                peer.prepare()
            except Unavailable as reason:
                self.failures[peer.name] = str(reason)
        runs: list[Run] = []
        for round_ in range(1, self.options.rounds + 1):
            for mode in modes:
                for peer in peers if round_ % 2 else reversed(peers):
                    if has_row(peer, mode):
                        runs.append(self.run(peer, mode, round_))
                        tell(runs[-1])
        return runs

    def run(self, peer: Peer, mode: Mode, round_: int) -> Run:
        """One run. What goes wrong is in the run, not raised."""
        what: dict[str, Any] = {
            "peer": peer.name,
            "kind": peer.kind,
            "today": peer.today,
            "mode": mode.key,
            "round": round_,
        }
        reason = self.failures.get(peer.name) or peer.unable(mode)
        if reason is not None:
            return Run(**what, failure=reason)
        try:
            return Run(**what, **self._measure(peer, self._setup(mode)))
        except Unavailable as failure:
            return Run(**what, failure=str(failure))

    def _setup(self, mode: Mode) -> Setup:
        return Setup(
            mode=mode.key,
            kind=mode.kind,
            function=mode.function,
            workers=mode.workers,
            prefetch=mode.prefetch,
            in_flight=mode.in_flight,
            maps=mode.maps,
            queue_type=mode.queue_type,
            subscribers=mode.subscribers,
            queue=f"bench_{os.getpid()}_{next(self._numbers)}",
            seconds=self.options.seconds,
            calls=self.options.calls,
        )

    def _measure(self, peer: Peer, setup: Setup) -> dict[str, Any]:
        environ = {**os.environ, "RPCSVC_URL": self.url, "PYTHONWARNINGS": "ignore"}
        servers: list[Child] = []
        with ExitStack() as stack:
            environ[FOLDER] = stack.enter_context(tempfile.TemporaryDirectory(prefix="counts-"))
            stack.callback(self._delete, peer.queues(setup))

            def start() -> None:
                children = (Child(command, environ, folder=peer.folder) for command in peer.servers(setup))
                servers.extend(map(stack.enter_context, children))

            if setup.kind != "executed":  # else what they execute is to be there first
                start()
            consumers = peer.consumers(setup)
            if consumers is not None:
                self._wait_for_consumers(*consumers, servers)
            client = stack.enter_context(Child(peer.client(setup), environ, folder=peer.folder, read=True))
            return self._watch(client, servers, start)

    def _delete(self, queues: Sequence[str]) -> None:
        if not queues:
            return
        with contextlib.closing(pika.BlockingConnection(pika.URLParameters(self.url))) as connection:
            channel = connection.channel()
            for queue in queues:
                channel.queue_delete(queue)

    def _wait_for_consumers(self, queue: str, consumers: int, servers: Sequence[Child]) -> None:
        deadline = time.monotonic() + READY_TIMEOUT
        with contextlib.closing(pika.BlockingConnection(pika.URLParameters(self.url))) as connection:
            channel = connection.channel()
            while True:
                channel, found = _count_consumers(connection, channel, queue)
                if found >= consumers:
                    return
                ended = next((server for server in servers if server.ended), None)
                if ended is not None:
                    raise Unavailable(f"its server ended: {ended.last_words()}")
                if time.monotonic() > deadline:
                    raise Unavailable(f"its servers were not ready in {READY_TIMEOUT:.0f} s: {servers[0].last_words()}")
                time.sleep(0.05)

    def _watch(self, client: Child, servers: Sequence[Child], start: Callable[[], None]) -> dict[str, Any]:
        """Read the client's lines: start the servers, and take the others' CPU time, when it says so."""
        timer = threading.Timer(RUN_TIMEOUT, client.kill)
        timer.start()
        before = (0.0, 0.0)
        try:
            for line in client.lines():
                if line.startswith("@bench filled"):
                    start()
                    client.answer()
                elif line.startswith("@bench begin"):
                    before = self._cpu(client, servers)
                    client.answer()
                elif line.startswith("@bench end "):
                    after = self._cpu(client, servers)
                    client.answer()
                    result = json.loads(line.removeprefix("@bench end "))
                    break
            else:
                raise Unavailable(f"its client ended: {self._why(client, servers)}")
            client.process.wait(RUN_TIMEOUT)
            if client.process.returncode:
                raise Unavailable(f"its client failed after the measurement: {client.last_words()}")
        finally:
            timer.cancel()
        server_cpu, broker_cpu = (end - start for end, start in zip(after, before, strict=True))
        result["client_cpu"] = result.pop("cpu")
        return {**result, "server_cpu": server_cpu, "broker_cpu": broker_cpu}

    def _cpu(self, client: Child, servers: Sequence[Child]) -> tuple[float, float]:
        """Of the servers' processes and the broker. A local pool's workers are the client's children."""
        workers = client.family()[1:]
        for server in servers:
            workers += server.family()
        return cpu_of(workers), cpu_of([psutil.Process(self.broker_pid)])

    def _why(self, client: Child, servers: Sequence[Child]) -> str:
        client.process.wait()
        ended = next((server for server in servers if server.ended), None)
        return client.last_words() if ended is None else f"{client.last_words()}; its server: {ended.last_words()}"


def _count_consumers(
    connection: pika.BlockingConnection, channel: BlockingChannel, queue: str
) -> tuple[BlockingChannel, int]:
    """A channel to go on with (asking for a queue that is not there closes one), and how many consumers there are."""
    try:
        return channel, channel.queue_declare(queue, passive=True).method.consumer_count
    except ChannelClosedByBroker:
        return connection.channel(), 0
