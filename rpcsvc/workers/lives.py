"""The workers of a pool: that there are always enough of them.

    Lives ─┬─ current crew ── fork server ── worker 1 … N
           ├─ a crew to come, while the registry is reloaded: starts beside it, and takes over when all of it is ready
           └─ retired crews: finish what they were given, and end

What is to happen when a worker ends, `Supervisor` decides. The pool is told of each worker that may be given work, of
each that is to be given no more, and of each that has ended.

Nothing is counted up and down: whenever something has happened, workers are started until there are enough (`_fill`),
and when there is one more than enough, one that is worn goes.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import time
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from typing import Protocol

from ..deadline import check_timeout
from ..errors import ConfigurationError, PoolFailed, RpcError
from ..host.surroundings import Surroundings
from .crew import Crew
from .inside.dispatch import Rules
from .process import Owner, State, Worker
from .shortage import Shortage, is_passing
from .supervisor import RESTART_WINDOW, GiveUp, Supervisor, default_max_restarts
from .work import Served

log = logging.getLogger(__name__)

LOAD_TIMEOUT = 60.0
"""Seconds that the import of a registry and the start of its workers may take; more, where a worker may take long."""
DEFAULT_START_TIMEOUT = 10.0
_MAX_FAILED_CREWS = 3
"""How many fork servers in a row may go before one worker was ready."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Care:
    """How the workers of a pool are looked after.

    Attributes:
        start_timeout: seconds in which a worker must be ready. If it is less than 10, the fork server must do what it
            is told in that time as well.
        cancel_grace: seconds that a cancelled call may take to end by itself; 0 kills its worker at once.
        max_calls: how many calls a worker makes before it is replaced; None is any number.
        max_restarts, restart_window: more workers than that may not end within so many seconds, unless more messages
            are answered; None is 100, or 20 for each worker if that is more.

    Raises:
        ConfigurationError: one of them makes no sense.
    """

    start_timeout: float = DEFAULT_START_TIMEOUT
    cancel_grace: float = 2.0
    max_calls: int | None = None
    max_restarts: int | None = None
    restart_window: float = RESTART_WINDOW

    def __post_init__(self) -> None:
        check_timeout(self.start_timeout)
        if self.cancel_grace != 0:
            check_timeout(self.cancel_grace)
        check_timeout(self.restart_window)
        for name, least, value in (("max_calls", 1, self.max_calls), ("max_restarts", 0, self.max_restarts)):
            if value is not None and (type(value) is not int or value < least):
                raise ConfigurationError(f"{name} must be a whole number from {least}, not {value!r}")

    @property
    def load_timeout(self) -> float:
        """Seconds that the import of the registry and the start of all workers may take."""
        return LOAD_TIMEOUT + (self.start_timeout if self.start_timeout > DEFAULT_START_TIMEOUT else 0.0)


class LivesOwner(Owner, Protocol):
    """Who is told what happens to workers."""

    def can_work(self, worker: Worker) -> None:
        """It may be given work."""
        ...

    def retire(self, worker: Worker) -> None:
        """It is to be given no more, and to end when it has answered what it has."""
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
        surroundings: what they start in.
        care: how they are looked after.
        owner: who is told.
        gave_up: called with a reason when workers cannot be kept running.
    """

    def __init__(
        self,
        target: str,
        size: int,
        rules: Rules,
        surroundings: Surroundings,
        care: Care,
        *,
        owner: LivesOwner,
        gave_up: Callable[[str], None],
    ) -> None:
        self._target = target
        self._size = size
        self._rules = rules
        self._surroundings = surroundings
        self._care = care
        self._owner = owner
        self._gave_up = gave_up
        self._current: Crew | None = None
        self._to_come: Crew | None = None
        self._taking_over: asyncio.Future[None] | None = None
        self._retired: list[Crew] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._full = asyncio.Event()
        self._is_over = False
        self._reloading = self._reload_again = False
        self._shortage = Shortage("no worker can be started")
        self._failed_crews = 0
        self._answered_by_gone = 0
        self.functions: dict[str, Served] = {}
        self.lost = 0

    # ---- for the pool

    @property
    def pids(self) -> list[int]:
        """The process ids of all workers."""
        return sorted(pid for crew in self._crews for pid in crew.pids)

    def __iter__(self) -> Iterator[Worker]:
        """All workers that may have work."""
        for crew in self._crews:
            if crew is not self._to_come:
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
        worker.was_ready = True
        worker.state = State.IDLE
        self._shortage.over()
        crew = worker.crew
        crew.has_started(worker)
        crew.supervisor.became_ready()
        is_full = self._ready_in(crew) >= self._size
        if crew is self._to_come:
            if is_full and self._taking_over is not None and not self._taking_over.done():
                self._taking_over.set_result(None)
            return
        self._owner.can_work(worker)
        if is_full:
            self._full.set()
        if self._ready_in(crew) > self._size:
            self._retire_a_worn_one(crew)

    def is_worn(self, worker: Worker) -> None:
        """A worker has made all the calls it is to make: it goes on until its replacement is ready."""
        worker.worn = True
        self._fill(worker.crew)

    def reload(self) -> None:
        """Import the registry anew, and have new workers take over; the old ones go on if that fails."""
        if self._is_over or not self.functions:
            return
        if self._reloading:
            self._reload_again = True
            return
        self._reloading = True
        self._run(self._reload())

    async def stop(self, grace: float) -> None:
        """End every worker: those that are idle at once, those that are busy after `grace` seconds."""
        self._is_over = True
        await asyncio.gather(*(crew.stop(grace) for crew in self._crews))
        for task in self._tasks:
            task.cancel()

    # ---- what a crew says

    def ended(self, crew: Crew, worker: Worker) -> None:
        """A worker has ended: see to its work, and to a replacement."""
        assert worker.exit is not None
        self._owner.end_work_of([worker])
        self._answered_by_gone += worker.answered
        if worker.lacks:
            self.short(crew, worker.failure.rstrip().rpartition("\n")[2])
        elif not (worker.leaving and worker.was_ready):
            self.lost += 1
            decision = crew.supervisor.ended(worker.exit, was_ready=worker.was_ready, answered=self._answered)
            if isinstance(decision, GiveUp):
                self._give_up(crew, decision.reason)
                return
        if crew.retired and not crew.workers:
            self._run(self._end_crew(crew))
        if not worker.lacks:
            self._fill(crew)

    def short(self, crew: Crew, why: str) -> None:
        """A worker could not be started for want of something that may be there later: then again."""
        pause = self._shortage.met(why, time.monotonic())
        asyncio.get_running_loop().call_later(pause, self._fill, crew)

    @property
    def shortage(self) -> str:
        """What keeps workers from starting just now; empty where nothing does."""
        return self._shortage.why

    def crew_lost(self, crew: Crew, orphans: list[Worker]) -> None:
        """The fork server has ended, and its workers with it: all begins anew."""
        log.error("the fork server has ended, and its workers with it")
        self._answered_by_gone += sum(worker.answered for worker in orphans)
        if crew is self._current:
            self._current = None
        elif crew is self._to_come:
            self._give_up(crew, "the fork server has ended")
            return
        else:
            self._retired.remove(crew)
        self._owner.end_work_of(orphans)
        if self._current is None and not self._is_over:
            self._failed_crews = 0 if crew.has_made_workers else self._failed_crews + 1
            if self._failed_crews >= _MAX_FAILED_CREWS:
                self._give_up(crew, f"{self._failed_crews} fork servers in a row ended before one worker was ready")
            else:
                self._run(self._start_crew())

    def _give_up(self, crew: Crew, reason: str) -> None:
        if crew is self._to_come:
            if self._taking_over is not None and not self._taking_over.done():
                self._taking_over.set_exception(PoolFailed(reason))
        elif not self._is_over:
            self._is_over = True
            self._gave_up(reason)

    @property
    def _answered(self) -> int:
        return self._answered_by_gone + sum(worker.answered for crew in self._crews for worker in crew.workers.values())

    # ---- crews

    @property
    def _crews(self) -> list[Crew]:
        return [*self._retired, *(crew for crew in (self._current, self._to_come) if crew is not None)]

    def _ready_in(self, crew: Crew) -> int:
        return sum(worker.state in (State.IDLE, State.BUSY) and not worker.leaving for worker in crew.workers.values())

    async def _start_crew(self) -> None:
        async with asyncio.timeout(self._care.load_timeout):
            crew = self._current = await self._new_crew()
            await crew.load()
        self.functions = crew.functions
        self._fill(crew)

    async def _end_crew(self, crew: Crew) -> None:
        self._retired.remove(crew)
        await crew.stop(0)
        del crew
        gc.collect()  # its workers and it know each other; its memory and a file descriptor would stay for a while

    async def _new_crew(self) -> Crew:
        """A crew; where there is too little of something for one, as soon as there is enough.

        Raises:
            PoolFailed: it cannot be started, and never will be.
        """
        while True:
            try:
                return self._crew()
            except OSError as error:
                if not is_passing(error):
                    raise PoolFailed(f"the process that makes the workers cannot be started: {error}") from error
                await asyncio.sleep(self._shortage.met(str(error), time.monotonic()))

    def _crew(self) -> Crew:
        max_restarts = self._care.max_restarts
        supervisor = Supervisor(
            time.monotonic,
            max_restarts=default_max_restarts(self._size) if max_restarts is None else max_restarts,
            restart_window=self._care.restart_window,
        )
        return Crew(
            self._target,
            self._rules,
            self._size,
            self._surroundings,
            owner=self,
            worker_owner=self._owner,
            supervisor=supervisor,
            start_timeout=self._care.start_timeout,
        )

    def _fill(self, crew: Crew) -> None:
        """Start workers until there are enough."""

        async def fill() -> None:
            while crew.has_room and not self._is_over and not crew.retired and self._staying_in(crew) < self._size:
                if not await crew.spawn():
                    return

        self._run(fill())

    def _staying_in(self, crew: Crew) -> int:
        """How many workers can be counted on: those that start, those that work, without those that end soon."""
        return sum(
            worker.state is not State.ENDING and not worker.leaving and not worker.worn
            for worker in crew.workers.values()
        )

    def _retire_a_worn_one(self, crew: Crew) -> None:
        worn = [worker for worker in crew.workers.values() if worker.worn and not worker.leaving]
        if worn:
            self._owner.retire(min(worn, key=lambda worker: worker.state is State.BUSY))

    # ---- the registry anew

    async def _reload(self) -> None:
        try:
            await self._replace_the_crew()
        finally:
            self._reloading = False
            if self._reload_again:
                self._reload_again = False
                self.reload()

    async def _replace_the_crew(self) -> None:
        """New workers first, all of them; then, in one step, they take over."""
        self._taking_over = asyncio.get_running_loop().create_future()
        crew = None
        try:
            async with asyncio.timeout(self._care.load_timeout):
                crew = self._to_come = await self._new_crew()
                await crew.load()
                self._fill(crew)
                await self._taking_over
        except (RpcError, OSError) as error:  # a TimeoutError is an OSError
            why = str(error) or self._shortage.why or f"it took more than {self._care.load_timeout:g} s"
            log.error("the registry is not reloaded, and the old one goes on: %s", why)
            self._to_come = None
            if crew is not None:
                await crew.stop(0)
            return
        old, self._current, self._to_come = self._current, crew, None
        self.functions = crew.functions
        if old is not None:
            old.retired = True
            self._retired.append(old)
            for worker in list(old.workers.values()):
                self._owner.retire(worker)
            if not old.workers:
                self._run(self._end_crew(old))
        for worker in list(crew.workers.values()):
            if worker.state is State.IDLE:
                self._owner.can_work(worker)
        log.info("the registry is reloaded: %s", ", ".join(self.functions))

    def _run(self, coroutine: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._ran)

    def _ran(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None and not self._is_over:
            self._is_over = True
            self._gave_up(f"no new worker could be started: {error or type(error).__name__}")

    def __repr__(self) -> str:
        return f"<Lives: {self._current!r}, {self.lost} lost>"
