"""The workers of a pool: that there are always enough of them.

    Lives ── current crew ── fork server ── worker 1 … N

What is to happen when one ends, `Supervisor` decides. The pool is told of each worker that may be given work, and of
each that has ended with work.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from typing import Protocol

from ..deadline import check_timeout
from ..dispatch import Rules
from ..supervision import GiveUp, Supervisor
from .crew import Crew
from .handle import Owner, State, Worker

log = logging.getLogger(__name__)

LOAD_TIMEOUT = 60.0
"""Seconds that the import of a registry and the start of its workers may take."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Care:
    """How the workers of a pool are looked after.

    Attributes:
        start_timeout: seconds in which a worker must be ready, and the fork server do what it is told.
        cancel_grace: seconds that a cancelled call may take to end by itself; 0 kills its worker at once.

    Raises:
        ConfigurationError: one of them makes no sense.
    """

    start_timeout: float = 10.0
    cancel_grace: float = 2.0

    def __post_init__(self) -> None:
        check_timeout(self.start_timeout)
        if self.cancel_grace != 0:
            check_timeout(self.cancel_grace)


class LivesOwner(Owner, Protocol):
    """Who is told what happens to workers."""

    def can_work(self, worker: Worker) -> None:
        """It may be given work."""
        ...

    def end_work_of(self, workers: list[Worker]) -> None:
        """They have ended; what they were given is still to be ended."""
        ...


class Lives:
    """Starts and replaces workers.

    Args:
        target: the registry, MODULE:NAME.
        size: how many workers.
        rules: what they may do.
        care: how they are looked after.
        owner: who is told.
        gave_up: called with a reason when workers cannot be kept running.
    """

    def __init__(
        self, target: str, size: int, rules: Rules, care: Care, *, owner: LivesOwner, gave_up: Callable[[str], None]
    ) -> None:
        self._target = target
        self._size = size
        self._rules = rules
        self._care = care
        self._owner = owner
        self._gave_up = gave_up
        self._current: Crew | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._full = asyncio.Event()
        self._stopping = False
        self.lost = 0

    # ---- for the pool

    @property
    def functions(self) -> dict[str, bool]:
        """What is served, and whether each is idempotent; empty before the registry is loaded."""
        return {} if self._current is None else self._current.functions

    @property
    def pids(self) -> list[int]:
        """The process ids of all workers."""
        return sorted(pid for crew in self._crews for pid in crew.pids)

    def __iter__(self) -> Iterator[Worker]:
        """All workers that have not ended."""
        for crew in self._crews:
            yield from crew.workers.values()

    async def start(self) -> None:
        """Return when every worker is ready.

        Raises:
            RegistryFailed: the registry cannot be imported.
        """
        await self._start_crew()
        await self._full.wait()

    def became_ready(self, worker: Worker) -> None:
        """A worker says that it has started."""
        worker.start_over()
        worker.was_ready = True
        worker.state = State.IDLE
        worker.crew.supervisor.became_ready()
        self._owner.can_work(worker)
        if self._ready_in(worker.crew) >= self._size:
            self._full.set()

    async def stop(self, grace: float) -> None:
        """End every worker: those that are idle at once, those that are busy after `grace` seconds."""
        self._stopping = True
        await asyncio.gather(*(crew.stop(grace) for crew in self._crews))
        for task in self._tasks:
            task.cancel()

    # ---- what a crew says

    def ended(self, crew: Crew, worker: Worker) -> None:
        """A worker has ended: see to its work, and to a replacement."""
        assert worker.exit is not None
        self._owner.end_work_of([worker])
        if self._stopping:
            return
        asked = worker.leaving and worker.was_ready
        if not asked:
            self.lost += 1
            decision = crew.supervisor.ended(worker.exit, was_ready=worker.was_ready)
            if isinstance(decision, GiveUp):
                self._gave_up(decision.reason)
                return
        self._fill(crew)

    def crew_lost(self, crew: Crew, orphans: list[Worker]) -> None:
        """The fork server has ended, and its workers with it: all begins anew."""
        log.error("the fork server has ended; it and its workers are replaced")
        self._current = None
        self._owner.end_work_of(orphans)
        self._run(self._start_crew())

    # ---- crews

    @property
    def _crews(self) -> list[Crew]:
        return [] if self._current is None else [self._current]

    def _ready_in(self, crew: Crew) -> int:
        return sum(worker.state in (State.IDLE, State.BUSY) and not worker.leaving for worker in crew.workers.values())

    async def _start_crew(self) -> None:
        crew = self._current = self._new_crew()
        await crew.load()
        self._fill(crew)

    def _new_crew(self) -> Crew:
        return Crew(
            self._target,
            self._rules,
            self._size,
            owner=self,
            worker_owner=self._owner,
            supervisor=Supervisor(),
            start_timeout=self._care.start_timeout,
        )

    def _fill(self, crew: Crew) -> None:
        """Start workers until there are enough."""

        async def fill() -> None:
            while crew.has_room and not self._stopping and not crew.retired and self._staying_in(crew) < self._size:
                await crew.spawn()

        self._run(fill())

    def _staying_in(self, crew: Crew) -> int:
        """How many workers can be counted on: those that start, those that work, without those that end."""
        return sum(worker.state is not State.ENDING and not worker.leaving for worker in crew.workers.values())

    def _run(self, coroutine: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._ran)

    def _ran(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None and not self._stopping:
            self._gave_up(f"no new worker could be started: {error}")

    def __repr__(self) -> str:
        return f"<Lives: {self._current!r}, {self.lost} lost>"
