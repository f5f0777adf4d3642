"""Where a measurement takes place: the broker and the pool, found or started. What was started here is stopped here,
and ends with this process if that is killed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

from ..amqp import Connection
from ..broker import PrivateBroker, answers
from ..errors import ConnectionFailed, PoolFailed, RpcError
from ..host.keeper import keep_processes
from ..host.surroundings import interpreter_options
from ..settings import DEFAULT_CONNECT_TIMEOUT, DEFAULT_QUEUE, BrokerUrl, find_urls
from .resources import find_broker, find_servers

_READY_WITHIN = 60.0
_STOP_WITHIN = 2.0
"""Seconds that calls which nobody waits for any more have to end by themselves, and the pool to end after that."""
_LOOK_EVERY = 0.02


@dataclass(frozen=True, slots=True)
class BrokerHere:
    """A broker to measure on: its URL, its process on this machine or None, and whether it was started for this."""

    url: BrokerUrl
    pid: int | None
    is_ours: bool


@dataclass(frozen=True, slots=True)
class Pool:
    """A pool to measure: the processes of its servers on this machine, and how it was set up if it was started here."""

    queue: str
    servers: tuple[int, ...]
    workers: int | None = None
    prefetch: int | None = None


@contextlib.contextmanager
def a_broker(url: str | None, *, may_start: bool) -> Iterator[BrokerHere]:
    """The broker that a client would find; with `may_start`, a private one in a temporary folder where none answers.

    A broker that was named, by `url` or RPCSVC_URL, is the one to measure: no other is started in its place.

    Raises:
        ConnectionFailed: it does not answer.
    """
    urls = find_urls(url)
    found = next(filter(answers, urls.nodes), None)
    if found is not None:
        yield BrokerHere(found, find_broker(found), is_ours=False)
        return
    if not may_start or url or os.environ.get("RPCSVC_URL"):
        more = "" if may_start else ", and --serve N starts a pool, with a private broker where none answers"
        raise ConnectionFailed(f"no broker answers at {urls}; start one (rpcsvc broker start){more}")
    with PrivateBroker.temporary(prefix="rpcsvc-bench-") as broker:
        yield BrokerHere(BrokerUrl.parse(broker.url), broker.pid, is_ours=True)


def a_running_pool(broker: BrokerHere, queue: str | None) -> Pool:
    """The pool that serves the queue already."""
    queue = DEFAULT_QUEUE if queue is None else queue
    return Pool(queue, tuple(find_servers(broker.url, queue)))


@contextlib.contextmanager
def a_pool(broker: BrokerHere, *, workers: int, prefetch: int, registry: str, queue: str | None) -> Iterator[Pool]:
    """A pool of its own: `rpcsvc serve` as a child process. Without a `queue`, one of its own too, deleted at the end.

    Raises:
        PoolFailed: it did not come up; the sentence ends with what it printed.
    """
    name = f"rpcsvc-bench-{uuid.uuid4().hex[:8]}" if queue is None else queue
    command = [sys.executable, *interpreter_options(sys.orig_argv), "-m", "rpcsvc", "serve", registry, "--queue", name]
    command += ["--workers", str(workers), "--prefetch", str(prefetch)]
    with tempfile.TemporaryFile("w+") as printed, keep_processes() as mark:
        server = subprocess.Popen(  # noqa: S603 our own interpreter
            command,
            env={**os.environ, **mark, "RPCSVC_URL": broker.url.reveal()},
            stdin=subprocess.DEVNULL,
            stdout=printed,
            stderr=printed,
            start_new_session=True,  # Ctrl-C is for the command, which stops it in order
        )
        try:
            _wait_until_ready(server, printed)
            yield Pool(name, (server.pid,), workers, prefetch)
        finally:
            _end(server)
            if queue is None and not broker.is_ours:
                with contextlib.suppress(RpcError):  # the broker may have gone, and the queue with it
                    asyncio.run(_delete_queue(broker.url, name))


def _wait_until_ready(server: subprocess.Popen[bytes], printed: IO[str]) -> None:
    end = time.monotonic() + _READY_WITHIN
    while time.monotonic() < end:
        text = os.pread(printed.fileno(), 100_000, 0).decode(errors="replace")
        if "ready:" in text:
            return
        if server.poll() is not None:
            raise PoolFailed(f"the pool did not start:\n{text.rstrip()}")
        time.sleep(_LOOK_EVERY)
    raise PoolFailed(f"the pool was not ready within {_READY_WITHIN:g} s:\n{text.rstrip()}")


def _end(server: subprocess.Popen[bytes]) -> None:
    """Drain it; after a while, do not."""
    for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGKILL):
        if server.poll() is None:
            server.send_signal(number)
        try:
            server.wait(_STOP_WITHIN)
            return
        except subprocess.TimeoutExpired:
            continue


async def _delete_queue(url: BrokerUrl, queue: str) -> None:
    connection = await Connection.open(url, role="rpcsvc bench", timeout=DEFAULT_CONNECT_TIMEOUT)
    try:
        await (await connection.channel()).delete_queue(queue)
    finally:
        await connection.close()
