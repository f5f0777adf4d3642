"""One fork server and the workers it has made, from their start to their end.

A crew carries out: it starts workers, has them signalled and killed, and tells its owner when one has ended. What
follows from that is decided elsewhere (`lives`).

A fork server that does not do what it is told in time hangs, and is destroyed with its workers; a worker that is not
ready in time is killed.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
from typing import Protocol

from ..host.surroundings import Surroundings
from .forkserver_client import ForkServer, ForkServerEvents
from .inside.dispatch import Rules
from .process import Cause, Kill, State, Worker
from .process import Owner as WorkerOwner
from .scoreboard import Progress
from .shortage import is_passing
from .supervisor import Supervisor
from .work import Served, WorkerExit

log = logging.getLogger(__name__)

_LAST_WORDS = 0.25
"""Seconds that the socket of a worker that has ended is still read from."""
_TO_END = 5.0
"""Seconds that a worker may take to end when it has been let go."""
_OBEYED_WITHIN = 10.0
"""Seconds in which a fork server does what it is told, or a worker's `start_timeout` if that is less."""
_LOOK_AT_ORPHANS, _LOOKS_AT_ORPHANS = 0.1, 50
"""Seconds between looks, and how many, at workers whose fork server has gone."""


class CrewOwner(Protocol):
    """Who is told what happens to a crew."""

    def ended(self, crew: Crew, worker: Worker) -> None:
        """A worker has ended, and `worker.exit` says how; it is of the crew no more."""
        ...

    def short(self, crew: Crew, why: str) -> None:
        """A worker could not be started for want of something that may be there later."""
        ...

    def crew_lost(self, crew: Crew, orphans: list[Worker]) -> None:
        """The fork server has ended unasked, and its workers with it."""
        ...


class Crew:
    """A fork server and its workers.

    Raises:
        OSError: it cannot be started, perhaps for a shortage that passes.

    Attributes:
        workers: those that have not ended, by number.
        functions: what they serve, and whether each is idempotent; empty before it is loaded.
        supervisor: counts what happens to them.
        retired: whether its workers only finish what they have; none is replaced.
        has_made_workers: whether one of them has become ready.
    """

    def __init__(
        self,
        target: str,
        rules: Rules,
        size: int,
        surroundings: Surroundings,
        *,
        owner: CrewOwner,
        worker_owner: WorkerOwner,
        supervisor: Supervisor,
        start_timeout: float,
    ) -> None:
        self.workers: dict[int, Worker] = {}
        self.functions: dict[str, Served] = {}
        self.supervisor = supervisor
        self.retired = False
        self.has_made_workers = False
        self._owner = owner
        self._worker_owner = worker_owner
        self._start_timeout = start_timeout
        self._until_made = min(start_timeout, _OBEYED_WITHIN)
        self._loop = asyncio.get_running_loop()
        self._by_pid: dict[int, Worker] = {}
        # A replacement may start before its predecessor has ended.
        self._places = 2 * size
        self._progress, self._progress_fd = Progress.create(self._places)
        self._stopping = False
        self._empty = asyncio.Event()
        events = ForkServerEvents(spawned=self._spawned, unborn=self._unborn, exited=self._exited, lost=self._lost)
        try:
            self._fork_server = ForkServer(target, rules, surroundings, events)
        except BaseException:
            os.close(self._progress_fd)
            raise

    @property
    def pids(self) -> list[int]:
        """The process ids of the workers."""
        return list(self._by_pid)

    @property
    def has_room(self) -> bool:
        """Whether one more worker has a place."""
        return len(self.workers) < self._places

    async def load(self) -> None:
        """Have the registry imported.

        Raises:
            RegistryFailed: it cannot be imported.
        """
        self.functions = await self._fork_server.load(self._places, self._progress_fd)

    async def spawn(self) -> bool:
        """Start one more worker; the owner hears when it is ready, or that there was too little of something.

        Returns:
            Whether it is worth while to start another one now.
        """
        number = next(number for number in range(self._places) if number not in self.workers)
        worker = Worker(self._worker_owner, self, number, self._progress.of(number))
        worker.progress.reset()
        self.workers[number] = worker
        try:
            ours, theirs = socket.socketpair()
            # The transport first: a worker that dies at once must be noticed.
            await self._loop.create_unix_connection(lambda: worker, sock=ours)
            if self._stopping:
                theirs.close()
                worker.close()
                return False
            worker.start_timer = self._loop.call_later(
                self._until_made, self._is_late, worker, self._start_timeout - self._until_made
            )
            self._fork_server.spawn(number, theirs)
        except OSError as error:
            if not is_passing(error):
                raise
            self._unborn(number, str(error))
            return False
        return True

    def has_started(self, worker: Worker) -> None:
        """A worker is ready, if the fork server has said too that it has made it: it may be hanging."""
        if worker.was_ready and worker.pid is not None:
            worker.start_over()
            self.has_made_workers = True

    def kill(self, worker: Worker, kill: Kill) -> None:
        """Have a worker killed; nothing happens if it has ended."""
        worker.kill = worker.kill or kill
        worker.leaving = True
        self._have_killed(worker)

    def _have_killed(self, worker: Worker) -> None:
        if worker.pid is not None and not self._stopping:
            self._fork_server.kill(worker.pid)
            self._loop.call_later(self._until_made, self._should_be_dead, worker)

    def interrupt(self, worker: Worker) -> None:
        """Have a worker sent the signal that says: look what is cancelled."""
        if worker.pid is not None and not self._stopping:
            self._fork_server.interrupt(worker.pid)

    def let_go(self, worker: Worker) -> None:
        """End a worker that has nothing to do; one that does not end by itself is killed."""
        worker.leaving = True
        worker.state = State.ENDING
        worker.close()
        self._loop.call_later(_TO_END, self._should_have_ended, worker)

    def disconnected(self, worker: Worker) -> None:
        """A worker's socket is closed."""
        was_let_go = worker.leaving and worker.kill is None
        worker.state = State.ENDING
        if worker.exit is not None:
            self._gone(worker)
        elif not was_let_go:
            # A worker without its socket is of no use. If it is ending already, this changes nothing.
            self._have_killed(worker)

    async def stop(self, grace: float) -> None:
        """End every worker: those that are idle at once, those that are busy after `grace` seconds."""
        self._stopping = True
        for worker in list(self.workers.values()):
            worker.start_over()
            worker.close()
        if self._by_pid:
            try:
                async with asyncio.timeout(grace):
                    await self._empty.wait()
            except TimeoutError:
                if grace > 0:
                    log.warning("%d workers did not end within %g s and are killed", len(self._by_pid), grace)
        await self._fork_server.stop()

    # ---- what the fork server says

    def _spawned(self, number: int, pid: int) -> None:
        worker = self.workers[number]
        worker.pid = pid
        self._by_pid[pid] = worker
        self.has_started(worker)
        if worker.kill is not None:
            self._have_killed(worker)

    def _unborn(self, number: int, why: str) -> None:
        worker = self.workers.pop(number, None)
        if worker is None:
            return
        worker.state = State.GONE
        worker.start_over()
        worker.close()
        if not self._stopping:
            self._owner.short(self, why)

    def _exited(self, exit_: WorkerExit) -> None:
        worker = self._by_pid.pop(exit_.pid, None)
        if worker is None:
            return
        worker.exit = exit_
        if self._stopping and not self._by_pid:
            self._empty.set()
        if worker.state is State.ENDING:
            self._gone(worker)
        else:
            # What it wrote before it ended is still to be read; but a process that it started may hold its socket open.
            self._loop.call_later(_LAST_WORDS, worker.close)

    def _gone(self, worker: Worker) -> None:
        worker.state = State.GONE
        worker.start_over()
        del self.workers[worker.number]
        if not self._stopping:
            self._owner.ended(self, worker)

    def _lost(self) -> None:
        orphans = list(self.workers.values())
        self._stopping = True
        self.workers.clear()
        self._by_pid.clear()
        for worker in orphans:
            worker.state = State.GONE
            worker.start_over()
            worker.close()
            worker.exit = worker.exit or WorkerExit(worker.pid or 0, None, int(signal.SIGKILL))
        self._clearing_up = self._loop.create_task(self._clear_up([worker.pid for worker in orphans if worker.pid]))
        self._owner.crew_lost(self, orphans)

    async def _clear_up(self, pids: list[int]) -> None:
        self._reap(pids)
        self._reap(list(await self._fork_server.end_what_is_left()))

    def _reap(self, pids: list[int], looks: int = _LOOKS_AT_ORPHANS) -> None:
        """Orphans are children of process 1, which in a container is this one: then nobody else reaps them."""
        left = [pid for pid in pids if _is_a_living_child(pid)]
        if left and looks:
            self._loop.call_later(_LOOK_AT_ORPHANS, self._reap, left, looks - 1)

    # ---- what does not happen in time

    def _is_late(self, worker: Worker, left: float = 0.0) -> None:
        """It is not ready; if the fork server has made it, it may have some seconds more."""
        if worker.pid is None:
            self._hangs(f"has not made a worker within {self._until_made:g} s")
        elif left > 0:
            worker.start_timer = self._loop.call_later(left, self._is_late, worker)
        else:
            log.error("worker process %d was not ready within %g s and is killed", worker.pid, self._start_timeout)
            self.kill(worker, Kill(Cause.START, 0))

    def _should_have_ended(self, worker: Worker) -> None:
        if worker.state is not State.GONE:
            self._have_killed(worker)

    def _should_be_dead(self, worker: Worker) -> None:
        if worker.exit is None and not self._stopping:
            self._hangs(f"has not killed a worker within {self._until_made:g} s")

    def _hangs(self, what: str) -> None:
        if not self._stopping:
            log.error("the fork server %s: it hangs", what)
            self._fork_server.destroy()

    def __repr__(self) -> str:
        return f"<Crew of {len(self.workers)}: {self._fork_server!r}>"


def _is_a_living_child(pid: int) -> bool:
    """Whether that process is a child of this one and has not ended; one that has is reaped."""
    try:
        return os.waitpid(pid, os.WNOHANG) == (0, 0)
    except ChildProcessError:
        return False
