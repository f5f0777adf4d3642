"""One fork server and the workers that it makes, seen from the server's event loop.

It carries out what the supervisor orders, and says what happens. What follows from that is decided there.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
from collections.abc import Callable, Coroutine

import psutil

from ..host.surroundings import Surroundings
from .forkserver_client import ForkServer, ForkServerEvents
from .generations import Desk, Generation, Generations
from .inside.dispatch import Rules
from .process import Worker
from .restarts import Restarts
from .scoreboard import Scoreboard
from .shortage import is_passing
from .supervisor import Cause, Event, State
from .work import Loaded, WorkerExit

log = logging.getLogger(__name__)

_LOOK_AT_ORPHANS, _LOOKS_AT_ORPHANS = 0.1, 50
"""Seconds between looks, and how many, at workers whose fork server has gone."""


class Spawner(Generation[Worker]):
    """A generation of workers, and the fork server that makes them.

    Args:
        target: the registry, MODULE:NAME.
        rules: what the workers may do.
        surroundings: what they start in.
        size: how many there are to be.
        restarts: counts their ends.
        generations: is told what happens to them.
        desk: is told their answers.
        run: runs what takes a while.

    Raises:
        OSError: the fork server cannot be started, perhaps for a shortage that passes.

    Attributes:
        loaded: what they serve; empty before that.
    """

    def __init__(
        self,
        target: str,
        rules: Rules,
        surroundings: Surroundings,
        *,
        size: int,
        restarts: Restarts,
        generations: Generations[Worker],
        desk: Desk[Worker],
        run: Callable[[Coroutine[None, None, None]], None],
    ) -> None:
        super().__init__(2 * size, restarts)
        self.loaded = Loaded()
        self._generations = generations
        self._supervisor = generations.supervisor
        self._desk = desk
        self._run = run
        self._loop = asyncio.get_running_loop()
        self._by_pid: dict[int, Worker] = {}
        self._scoreboard, self._scoreboard_fd = Scoreboard.create(self.places, rules.threads)
        self._stopping = False
        self._empty = asyncio.Event()
        events = ForkServerEvents(spawned=self._spawned, unborn=self._unborn, exited=self._exited, lost=self._lost)
        try:
            self._fork_server = ForkServer(target, rules, surroundings, events)
        except BaseException:
            os.close(self._scoreboard_fd)
            raise

    @property
    def pids(self) -> list[int]:
        """The process ids of the workers."""
        return list(self._by_pid)

    async def load(self) -> None:
        """Have the registry imported.

        Raises:
            RegistryFailed: it cannot be imported.
        """
        self.loaded = await self._fork_server.load(self.places, self._scoreboard_fd)

    async def stop(self, grace: float) -> None:
        """End every worker: those that are idle at once, those that are busy after `grace` seconds."""
        self._stopping = True
        for worker in list(self.workers.values()):
            worker.expect(None)
            worker.close()
        if self._by_pid:
            try:
                async with asyncio.timeout(grace):
                    await self._empty.wait()
            except TimeoutError:
                if grace > 0:
                    log.warning("%d workers did not end within %g s and are killed", len(self._by_pid), grace)
        await self._fork_server.stop()

    # ---- what is ordered

    def spawn(self, number: int) -> Worker:
        """A worker that is about to be made."""
        worker = Worker(self._desk, self._supervisor, self, number, self._scoreboard.row(number))
        worker.row.reset()
        self._run(self._connect(worker))
        return worker

    async def _connect(self, worker: Worker) -> None:
        why = ""
        try:
            ours, theirs = socket.socketpair()
            # The transport first: a worker that dies at once must be noticed.
            await self._loop.create_unix_connection(lambda: worker, sock=ours)
            if worker.state is State.SPAWNING and not self._stopping:
                self._fork_server.spawn(worker.number, theirs)
                return
            theirs.close()  # nobody wants it any more
            worker.close()
        except OSError as error:
            if not is_passing(error):
                raise
            why = str(error)
        self._unborn(worker.number, why)

    def kill(self, worker: Worker) -> None:
        if worker.kill is not None and worker.kill.cause is Cause.START:
            within = self._supervisor.start_timeout
            log.error("worker process %s was not ready within %g s and is killed", worker.pid, within)
        if worker.pid is not None and not self._stopping:
            self._fork_server.kill(worker.pid)

    def interrupt(self, worker: Worker) -> None:
        """Have a worker sent the signal that says: look what is cancelled."""
        if worker.pid is not None and not self._stopping:
            self._fork_server.interrupt(worker.pid)

    def destroy(self, why: str) -> None:
        if not self._stopping:
            log.error("the fork server %s: it hangs", why)
            self._fork_server.destroy()

    # ---- what the fork server says

    def _spawned(self, number: int, pid: int) -> None:
        worker = self._by_pid[pid] = self.workers[number]
        worker.pid = pid
        self._supervisor.happened(worker, Event.MADE)

    def _unborn(self, number: int, why: str) -> None:
        worker = self.workers.get(number)
        if worker is not None and not self._stopping:
            worker.failure, worker.lacks = why, bool(why)
            self._supervisor.happened(worker, Event.UNBORN)

    def _exited(self, exit_: WorkerExit) -> None:
        worker = self._by_pid.pop(exit_.pid, None)
        if self._stopping and not self._by_pid:
            self._empty.set()
        if worker is not None and not self._stopping:
            worker.exit = exit_
            self._supervisor.happened(worker, Event.EXITED)

    def _lost(self) -> None:
        self._stopping = True
        self._by_pid.clear()
        orphans = list(self.workers.values())
        for worker in orphans:
            worker.exit = worker.exit or WorkerExit(worker.pid or 0, None, int(signal.SIGKILL))
        self._clearing_up = self._loop.create_task(self._clear_up([worker.pid for worker in orphans if worker.pid]))
        log.error("the fork server has ended, and its workers with it")
        self._generations.fork_server_lost(self)

    async def _clear_up(self, pids: list[int]) -> None:
        self._reap(pids)
        self._reap(list(await self._fork_server.end_what_is_left()))

    def _reap(self, pids: list[int], looks: int = _LOOKS_AT_ORPHANS) -> None:
        """Orphans are children of process 1, which in a container is this one: then nobody else reaps them."""
        left = [pid for pid in pids if is_to_be_reaped(pid)]
        if left and looks:
            self._loop.call_later(_LOOK_AT_ORPHANS, self._reap, left, looks - 1)

    def __repr__(self) -> str:
        return f"<Spawner of {len(self.workers)}: {self._fork_server!r}>"


def is_to_be_reaped(pid: int) -> bool:
    """Whether that process is still there; one that has ended and is a child of this one is reaped.

    One whose parent is just ending becomes a child of this one a moment later, where that is process 1.
    """
    try:
        return os.waitpid(pid, os.WNOHANG) == (0, 0)
    except ChildProcessError:
        return psutil.pid_exists(pid)
