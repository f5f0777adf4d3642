"""A pool of worker processes, seen from the server's event loop.

`submit` hands over the body of a request; `done` is called once with the `Outcome`. Work waits here while no worker is
idle. Nothing in here blocks, whatever a worker does: what it does not read stays in its transport's buffer, and that is
bounded by what is given to a worker ahead.

A worker is given one message at a time. While messages are found to be quick and more of them wait (which takes a
prefetch count above 1), it is given a few ahead, up to some milliseconds of work: the next one is there when it has
finished one, and several share a wake-up.

A worker that has gone leaves its number to its replacement.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import time
from collections import deque
from collections.abc import Callable, Coroutine

from ..deadline import Deadline
from ..dispatch import Rules
from ..errors import PoolFailed
from ..supervision import GiveUp, Supervisor, WorkerExit
from .forking import ForkServer, ForkServerEvents, Served
from .handle import Answer, Cancelled, Done, Expired, State, Work, Worker
from .progress import Progress

log = logging.getLogger(__name__)

_LAST_WORDS = 0.25
"""Seconds that the socket of a worker that has ended is still read from."""
_MOST_AHEAD, _WORK_AHEAD = 16, 0.002
"""Messages, and seconds of work, that a worker may be given ahead."""
_LOOK_AT_LIMITS = 0.05
"""Seconds between looks at the time limits of calls that run."""
_STUCK = 0.01
"""Seconds over one message after which a worker is given no more ahead: it turned out to be a long one."""


class WorkerPool:
    """A fixed number of worker processes.

    Args:
        target: the registry, MODULE:NAME.
        size: how many workers.
        rules: what they may do.
        gave_up: called with a reason when workers cannot be kept running.
        paused: called when all answers that came together were given to their `done`: a time to flush.
    """

    def __init__(
        self,
        target: str,
        size: int,
        *,
        rules: Rules | None = None,
        gave_up: Callable[[str], None],
        paused: Callable[[], None] = lambda: None,
    ) -> None:
        self._target = target
        self._size = size
        self._rules = rules or Rules()
        self._gave_up = gave_up
        self.answered_for_now = paused
        self._supervisor = Supervisor()
        self._workers: dict[int, Worker] = {}
        self._by_pid: dict[int, Worker] = {}
        self._idle: deque[Worker] = deque()
        self._waiting: deque[Work] = deque()
        self._fork_server: ForkServer | None = None
        self._progress: Progress | None = None
        self._seconds = 1.0
        self._ahead = 1
        self._tasks: set[asyncio.Task[None]] = set()
        self._full = asyncio.Event()
        self._empty = asyncio.Event()
        self._stopping = False
        self._limit_timer: asyncio.TimerHandle | None = None
        self.functions: dict[str, Served] = {}

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
            what = "workers are not ready" if self.functions else f"the registry {self._target!r} is not imported"
            raise PoolFailed(f"{what} after {timeout:g} s; does its import wait for something?") from None

    def submit(self, body: bytes, done: Done, deadline: Deadline | None = None) -> Work:
        """Have a request computed; `done` is called once with what became of it.

        Args:
            deadline: nobody waits for the result after it; None says nothing of that.
        """
        work = Work(body, done, deadline)
        self._waiting.append(work)
        self._assign()
        return work

    def cancel(self, work: Work) -> None:
        """Give work up: what waits is dropped, what runs is stopped. Its `done` gets Cancelled, or what came first."""
        if work.is_over or work.is_cancelled:
            return
        work.is_cancelled = True
        if work in self._waiting:
            self._waiting.remove(work)
            work.end(Cancelled())
            return
        for worker in self._workers.values():
            if worker.given and worker.given[0] is work and worker.pid is not None and self._fork_server is not None:
                self._fork_server.kill(worker.pid)

    def running_item(self, work: Work) -> int | None:
        """In a message of many calls, the index of the one that runs; None if the message does not run (yet)."""
        found = (worker.running_item(work) for worker in self._workers.values())
        return next((item for item in found if item is not None), None)

    async def stop(self, grace: float = 5.0) -> None:
        """End every worker: those that are idle at once, those that are busy after `grace` seconds. Work is dropped."""
        self._stopping = True
        if self._limit_timer is not None:
            self._limit_timer.cancel()
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
        while self._waiting:
            worker = self._next_worker()
            if worker is None:
                return
            work = self._waiting.popleft()
            if work.is_cancelled or (work.deadline is not None and work.deadline.expired):
                self._put_back(worker)
                work.end(Cancelled() if work.is_cancelled else Expired())
            elif worker.is_deaf:
                worker.state = State.ENDING
                self._waiting.appendleft(work)
            else:
                worker.give(work)
                if self._limit_timer is None:
                    self._limit_timer = asyncio.get_running_loop().call_later(_LOOK_AT_LIMITS, self._kill_over_time)

    def _kill_over_time(self) -> None:
        """Kill every worker whose call has had its time; look again as long as any works."""
        self._limit_timer = None
        moment = time.monotonic_ns()
        for worker in self._workers.values():
            deadline = worker.progress.deadline
            if worker.state is State.BUSY and 0 < deadline < moment and worker.pid is not None and not worker.over_time:
                worker.over_time = True
                if self._fork_server is not None:
                    self._fork_server.kill(worker.pid)
        if self.busy:
            self._limit_timer = asyncio.get_running_loop().call_later(_LOOK_AT_LIMITS, self._kill_over_time)

    def _next_worker(self) -> Worker | None:
        """One that is idle, else the one that was given least, if messages are quick; None if work has to wait."""
        if self._idle:
            return self._idle.popleft()
        if self._ahead <= 1:
            return None
        since = time.monotonic() - _STUCK
        busy = [
            worker
            for worker in self._workers.values()
            if worker.state is State.BUSY and worker.last_event > since and not worker.is_deaf
        ]
        worker = min(busy, key=lambda each: len(each.given), default=None)
        return worker if worker is not None and len(worker.given) < self._ahead else None

    def _put_back(self, worker: Worker) -> None:
        if worker.state is State.IDLE:
            self._idle.appendleft(worker)

    def became_ready(self, worker: Worker) -> None:
        self._supervisor.became_ready()
        worker.was_ready = True
        self._make_idle(worker)
        if self.ready == self._size:
            self._full.set()

    def answered(self, worker: Worker, answer: Answer) -> None:
        now = time.monotonic()
        self._learn(now - worker.last_event)
        worker.last_event = now
        worker.answered += 1
        work = worker.given.popleft()
        if not worker.given:
            self._make_idle(worker)
        work.end(answer)

    def _learn(self, seconds: float) -> None:
        """A message took so long; how many may be given ahead follows from that."""
        if seconds > self._seconds:
            self._seconds = seconds  # slow ones are believed at once
        else:
            self._seconds += (seconds - self._seconds) / 16
        self._ahead = min(_MOST_AHEAD, int(_WORK_AHEAD / max(self._seconds, 1e-6)))

    def _make_idle(self, worker: Worker) -> None:
        worker.state = State.IDLE
        self._idle.append(worker)
        self._assign()

    # ---- lives

    async def _start_fork_server(self) -> None:
        events = ForkServerEvents(spawned=self._spawned, exited=self._exited, lost=self._fork_server_lost)
        self._fork_server = ForkServer(self._target, self._rules, events)
        self._progress, fd = Progress.create(self._size)
        self.functions = await self._fork_server.load(self._size, fd)
        for number in range(self._size):
            await self._spawn(number)

    async def _spawn(self, number: int) -> None:
        if self._stopping:
            return
        assert self._fork_server is not None
        assert self._progress is not None
        ours, theirs = socket.socketpair()
        worker = Worker(self, number, self._progress.of(number))
        worker.progress.reset()
        self._workers[number] = worker
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

    def disconnected(self, worker: Worker) -> None:
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
        self._end_work_of(worker)
        if isinstance(decision, GiveUp):
            self._gave_up(decision.reason)
        else:
            self._run(self._spawn(worker.number))

    def _end_work_of(self, worker: Worker) -> None:
        """What a lost worker was given is lost with it, but for what it had not taken: that is the next to be given."""
        back = worker.take_back()
        log.warning("%s %s", worker.exit, "during a call" if any(lost for _, lost in back) else "between calls")
        self._waiting.extendleft(work for work, lost in reversed(back) if lost is None)
        for work, lost in back:
            if lost is not None:
                work.end(Cancelled() if work.is_cancelled else lost)
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
            worker.exit = WorkerExit(worker.pid or 0, None, int(signal.SIGKILL))
            self._end_work_of(worker)
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
