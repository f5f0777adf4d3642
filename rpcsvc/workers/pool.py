"""A pool of worker processes, seen from the server's event loop.

`submit` hands over the body of a request; `done` is called once with the `Outcome`. Work waits here while no worker is
idle. Nothing in here blocks, whatever a worker does: what it does not read stays in its transport's buffer, and that is
bounded because a worker is given one call at a time.

A worker's life: starting -> idle <-> busy -> ending -> gone; a gone one leaves its number to its replacement.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import logging
import os
import signal
import socket
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import TypeAlias, cast

from ..deadline import Deadline
from ..dispatch import Rules
from ..errors import PoolFailed
from ..supervision import GiveUp, Supervisor, WorkerExit
from .forking import ForkServer, ForkServerEvents
from .frames import CALL, HEADER, NO_RESPONSE, READY, RESULT, FrameReader, frame
from .progress import TakenCounters

log = logging.getLogger(__name__)

_LAST_WORDS = 0.25
"""Seconds that the socket of a worker that has ended is still read from."""
_JOIN_BELOW = 64 * 1024
"""Bodies up to this many bytes are copied behind their header, to be sent by one system call."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A worker answered; `body` is the response, or None where the request wants none."""

    body: bytes | None


@dataclass(frozen=True, slots=True)
class Lost:
    """The worker ended before it answered."""

    exit: WorkerExit


@dataclass(frozen=True, slots=True)
class Expired:
    """The deadline passed before a worker was free; nothing has run."""


Outcome: TypeAlias = Answer | Lost | Expired
Done: TypeAlias = Callable[[Outcome], None]


@dataclass(frozen=True, slots=True)
class Work:
    """One call for a worker, not to be started after `deadline`."""

    body: bytes
    done: Done
    deadline: Deadline | None


class State(enum.Enum):
    """Where a worker is in its life."""

    STARTING = "starting"
    IDLE = "idle"
    BUSY = "busy"
    ENDING = "ending"
    """Its socket is closed; how it ended is not known yet."""
    GONE = "gone"


class Worker(asyncio.Protocol):
    """One worker process: its socket, its state, and what it is working on."""

    def __init__(self, pool: WorkerPool, number: int) -> None:
        self._pool = pool
        self._frames = FrameReader()
        self._transport: asyncio.Transport | None = None
        self.number = number
        self.pid: int | None = None
        self.state = State.STARTING
        self.work: Work | None = None
        self.sent = 0
        self.was_ready = False
        self.exit: WorkerExit | None = None

    def start_work(self, work: Work) -> None:
        """Send a call to this idle worker."""
        assert self.state is State.IDLE
        assert self._transport is not None
        self.state = State.BUSY
        self.work = work
        self.sent += 1
        if len(work.body) <= _JOIN_BELOW:
            self._transport.write(frame(CALL, work.body))
        else:
            self._transport.writelines((HEADER.pack(CALL, len(work.body)), work.body))

    def finish_work(self) -> Work | None:
        """Take back what it was working on."""
        work, self.work = self.work, None
        return work

    def close(self) -> None:
        """Close its socket, which ends the process once it has nothing to do."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        for kind, payload in self._frames.feed(data):
            if kind == READY:
                self._pool._ready(self)
            else:
                assert kind in (RESULT, NO_RESPONSE)
                self._pool._answered(self, Answer(payload if kind == RESULT else None))

    def connection_lost(self, exc: Exception | None) -> None:
        self._pool._disconnected(self)

    @property
    def is_deaf(self) -> bool:
        """Whether its socket is known to be closed, even if the event loop has not said so yet."""
        return self._transport is None or self._transport.is_closing()

    def __repr__(self) -> str:
        return f"<Worker {self.number} pid={self.pid} {self.state.value}>"


class WorkerPool:
    """A fixed number of worker processes.

    Args:
        target: the registry, MODULE:NAME.
        size: how many workers.
        rules: what they may do.
        gave_up: called with a reason when workers cannot be kept running.
    """

    def __init__(self, target: str, size: int, *, rules: Rules | None = None, gave_up: Callable[[str], None]) -> None:
        self._target = target
        self._size = size
        self._rules = rules or Rules()
        self._gave_up = gave_up
        self._supervisor = Supervisor()
        self._workers: dict[int, Worker] = {}
        self._by_pid: dict[int, Worker] = {}
        self._idle: deque[Worker] = deque()
        self._waiting: deque[Work] = deque()
        self._fork_server: ForkServer | None = None
        self._taken: TakenCounters | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._full = asyncio.Event()
        self._empty = asyncio.Event()
        self._stopping = False
        self.names: list[str] = []

    # ---- for the server

    async def start(self, timeout: float = 60.0) -> None:
        """Load the registry and start every worker.

        Raises:
            RegistryFailed: the registry cannot be imported.
            PoolFailed: the workers were not ready after `timeout` seconds.
        """
        try:
            async with asyncio.timeout(timeout):
                await self._start_fork_server()
                await self._full.wait()
        except TimeoutError:
            what = "workers are not ready" if self.names else f"the registry {self._target!r} is not imported"
            raise PoolFailed(f"{what} after {timeout:g} s; does its import wait for something?") from None

    def submit(self, body: bytes, done: Done, deadline: Deadline | None = None) -> None:
        """Have a request computed; `done` is called once with what became of it.

        Args:
            deadline: nobody waits for the result after it; None says nothing of that.
        """
        self._waiting.append(Work(body, done, deadline))
        self._assign()

    async def stop(self, grace: float = 5.0) -> None:
        """End every worker: those that are idle at once, those that are busy after `grace` seconds. Work is dropped."""
        self._stopping = True
        self._waiting.clear()
        self._empty.clear()
        for worker in self._workers.values():
            worker.close()
        if self._workers:
            try:
                async with asyncio.timeout(grace):
                    await self._empty.wait()
            except TimeoutError:
                log.warning("%d workers did not end within %g s and are killed", len(self._workers), grace)
        if self._fork_server is not None:
            await self._fork_server.stop()
        for task in self._tasks:
            task.cancel()

    @property
    def ready(self) -> int:
        """How many workers can compute or do."""
        return sum(worker.state in (State.IDLE, State.BUSY) for worker in self._workers.values())

    @property
    def busy(self) -> int:
        """How many workers compute."""
        return sum(worker.state is State.BUSY for worker in self._workers.values())

    @property
    def waiting(self) -> int:
        """How many calls wait for a worker."""
        return len(self._waiting)

    @property
    def lost(self) -> int:
        """How many workers ended unasked since the start."""
        return self._supervisor.lost

    @property
    def pids(self) -> list[int]:
        """The process ids of the workers."""
        return sorted(self._by_pid)

    # ---- work

    def _assign(self) -> None:
        while self._waiting and self._idle:
            work = self._waiting.popleft()
            if work.deadline is not None and work.deadline.expired:
                work.done(Expired())
                continue
            worker = self._idle.popleft()
            if worker.is_deaf:
                worker.state = State.ENDING
                self._waiting.appendleft(work)
            else:
                worker.start_work(work)

    def _ready(self, worker: Worker) -> None:
        self._supervisor.became_ready()
        worker.was_ready = True
        self._make_idle(worker)
        if self.ready == self._size:
            self._full.set()

    def _answered(self, worker: Worker, answer: Answer) -> None:
        work = worker.finish_work()
        self._make_idle(worker)
        if work is not None:
            work.done(answer)

    def _make_idle(self, worker: Worker) -> None:
        worker.state = State.IDLE
        self._idle.append(worker)
        self._assign()

    # ---- lives

    async def _start_fork_server(self) -> None:
        events = ForkServerEvents(spawned=self._spawned, exited=self._exited, lost=self._fork_server_lost)
        self._fork_server = ForkServer(self._target, self._rules, events)
        self._taken, fd = TakenCounters.create(self._size)
        self.names = await self._fork_server.load(self._size, fd)
        for number in range(self._size):
            await self._spawn(number)

    async def _spawn(self, number: int) -> None:
        if self._stopping:
            return
        assert self._fork_server is not None
        assert self._taken is not None
        ours, theirs = socket.socketpair()
        worker = Worker(self, number)
        self._workers[number] = worker
        self._taken[number] = 0
        # The transport first: a worker that dies at once must be noticed.
        await asyncio.get_running_loop().create_unix_connection(lambda: worker, sock=ours)
        self._fork_server.spawn(number, theirs)

    def _spawned(self, number: int, pid: int) -> None:
        worker = self._workers[number]
        worker.pid = pid
        self._by_pid[pid] = worker

    def _exited(self, exit_: WorkerExit) -> None:
        worker = self._by_pid.get(exit_.pid)
        if worker is None:
            return
        worker.exit = exit_
        if worker.state is State.ENDING:
            self._gone(worker)
        else:
            # What it wrote before it ended is still to be read; but a process that it started may hold its socket open.
            asyncio.get_running_loop().call_later(_LAST_WORDS, worker.close)

    def _disconnected(self, worker: Worker) -> None:
        if worker.state is State.GONE:
            return
        if worker.state is State.IDLE:
            self._idle.remove(worker)
        worker.state = State.ENDING
        if worker.exit is not None:
            self._gone(worker)
        elif worker.pid is not None and self._fork_server is not None and not self._stopping:
            # A worker without its socket is of no use. If it is ending already, this changes nothing.
            self._fork_server.kill(worker.pid)

    def _gone(self, worker: Worker) -> None:
        assert worker.exit is not None
        worker.state = State.GONE
        self._by_pid.pop(worker.exit.pid, None)
        del self._workers[worker.number]
        if self._stopping:
            if not self._workers:
                self._empty.set()
            return
        decision = self._supervisor.ended(worker.exit, was_ready=worker.was_ready)
        self._end_work_of(worker, worker.exit)
        if isinstance(decision, GiveUp):
            self._gave_up(decision.reason)
        else:
            self._run(self._spawn(worker.number))

    def _end_work_of(self, worker: Worker, exit_: WorkerExit) -> None:
        """A lost worker's call is lost with it, unless it was not taken yet: then it is the next to be assigned."""
        work = worker.finish_work()
        running = self._taken is not None and self._taken[worker.number] == worker.sent
        log.warning("%s %s", exit_, "during a call" if work and running else "between calls")
        if work is not None and running:
            work.done(Lost(exit_))
        elif work is not None:
            self._waiting.appendleft(work)
            self._assign()

    def _fork_server_lost(self) -> None:
        """Its workers are orphans (Linux kills them, elsewhere we do): every one is lost, and all begins anew."""
        log.error("the fork server has ended; it and its workers are replaced")
        orphans = list(self._workers.values())
        self._workers.clear()
        self._by_pid.clear()
        self._idle.clear()
        for worker in orphans:
            worker.state = State.GONE
            worker.close()
            if worker.pid is not None:
                _kill_quietly(worker.pid)
            self._end_work_of(worker, WorkerExit(worker.pid or 0, None, int(signal.SIGKILL)))
        self._run(self._start_fork_server())

    def _run(self, coroutine: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._ran)

    def _ran(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None and not self._stopping:
            self._gave_up(f"no new worker could be started: {error}")

    def __repr__(self) -> str:
        return (
            f"<WorkerPool of {self._target}: {self.ready}/{self._size} ready, {self.busy} busy, {self.waiting} waiting>"
        )


def _kill_quietly(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
