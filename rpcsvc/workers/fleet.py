"""The processes of a pool: fork servers and workers, started, renewed with another version of the registry, and ended.

It carries out what is decided in `supervisor` and `generations`.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import time
from collections.abc import Callable, Coroutine
from typing import cast

from ..errors import PoolFailed, RpcError
from ..host.surroundings import Surroundings
from .care import Care
from .generations import Desk, Generation, Generations
from .inside.dispatch import Rules
from .process import Worker
from .restarts import Restarts, default_max_restarts
from .shortage import is_passing
from .spawner import Spawner
from .work import Loaded

log = logging.getLogger(__name__)


class Fleet:
    """Fork servers and workers.

    Args:
        target: the registry, MODULE:NAME.
        size: how many workers.
        rules: what they may do.
        surroundings: what they start in.
        care: how they are looked after.
        desk: gives them messages.
        gave_up: called with a reason when workers cannot be kept running.
        reloaded: called when the workers of a reload have taken over.

    Attributes:
        generations: decides how many workers there are.
        loaded: what is served; empty before the registry is loaded.
    """

    def __init__(
        self,
        target: str,
        size: int,
        rules: Rules,
        surroundings: Surroundings,
        care: Care,
        *,
        desk: Desk[Worker],
        gave_up: Callable[[str], None],
        reloaded: Callable[[], None] = lambda: None,
    ) -> None:
        self._target = target
        self._size = size
        self._rules = rules
        self._surroundings = surroundings
        self._care = care
        self._desk = desk
        self._gave_up = gave_up
        self._reloaded = reloaded
        self.generations = Generations[Worker](size, desk, self, clock=time.monotonic, start_timeout=care.start_timeout)
        self.loaded = Loaded()
        self._tasks: set[asyncio.Task[None]] = set()
        self._full = asyncio.Event()
        self._taking_over: asyncio.Future[None] | None = None
        self._reload_again = False

    @property
    def pids(self) -> list[int]:
        """The process ids of all workers."""
        return sorted(pid for generation in self.generations.all for pid in _spawner(generation).pids)

    async def start(self) -> None:
        """Return when every worker is ready.

        Raises:
            RegistryFailed: the registry cannot be imported.
        """
        await self._start()
        await self._full.wait()

    async def stop(self, grace: float) -> None:
        """End every worker: those that are idle at once, those that are busy after `grace` seconds."""
        self.generations.is_over = True
        await asyncio.gather(*(_spawner(generation).stop(grace) for generation in self.generations.all))
        for task in self._tasks:
            task.cancel()

    def reload(self) -> None:
        """Import the registry anew, and have new workers take over; the old ones go on if that fails."""
        if self.generations.is_over or not self.loaded:
            return
        if self._taking_over is not None:
            self._reload_again = True
            return
        self._taking_over = asyncio.get_running_loop().create_future()
        self._run(self._reload(self._taking_over))

    def interrupt(self, worker: Worker) -> None:
        """Have a worker sent the signal that says: look what is cancelled."""
        _spawner(worker.generation).interrupt(worker)

    # ---- generations, one after the other

    async def _start(self) -> None:
        async with asyncio.timeout(self._care.load_timeout):
            spawner = self.generations.current = await self._spawner()
            await spawner.load()
        self.loaded = spawner.loaded
        self.generations.fill(spawner)

    async def _spawner(self) -> Spawner:
        """A fork server; where there is too little of something for one, as soon as there is enough.

        Raises:
            PoolFailed: it cannot be started, and never will be.
        """
        most = self._care.max_restarts
        restarts = Restarts(
            time.monotonic,
            max_restarts=default_max_restarts(self._size) if most is None else most,
            restart_window=self._care.restart_window,
        )
        while True:
            try:
                return Spawner(
                    self._target,
                    self._rules,
                    self._surroundings,
                    size=self._size,
                    restarts=restarts,
                    generations=self.generations,
                    desk=self._desk,
                    run=self._run,
                )
            except OSError as error:
                if not is_passing(error):
                    raise PoolFailed(f"the process that makes the workers cannot be started: {error}") from error
                await asyncio.sleep(self.generations.shortage.met(str(error), time.monotonic()))

    async def _reload(self, taking_over: asyncio.Future[None]) -> None:
        try:
            await self._replace(taking_over)
        finally:
            self._taking_over = None
            if self._reload_again:
                self._reload_again = False
                self.reload()

    async def _replace(self, taking_over: asyncio.Future[None]) -> None:
        """New workers first, all of them; then, in one step, they take over."""
        spawner = None
        try:
            async with asyncio.timeout(self._care.load_timeout):
                spawner = self.generations.to_come = await self._spawner()
                await spawner.load()
                self.generations.fill(spawner)
                await taking_over
        except (RpcError, OSError) as error:  # a TimeoutError is an OSError
            if spawner is not None and spawner is self.generations.current:
                return  # in the last moment
            why = str(error) or self.generations.shortage.why or f"it took more than {self._care.load_timeout:g} s"
            log.error("the registry is not reloaded, and the old one goes on: %s", why)
            self.generations.to_come = None
            if spawner is not None:
                await spawner.stop(0)

    async def _end(self, spawner: Spawner) -> None:
        await spawner.stop(0)
        del spawner
        gc.collect()  # its workers and it know each other; its memory and a file descriptor would stay for a while

    def _run(self, coroutine: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._ran)

    def _ran(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None and not self.generations.is_over:
            self.generations.is_over = True
            self._gave_up(f"no new worker could be started: {error or type(error).__name__}")

    # ---- what is ordered

    def spawn(self, generation: Generation[Worker], number: int) -> Worker:
        """Begin to make a worker."""
        return _spawner(generation).spawn(number)

    def fill_later(self, generation: Generation[Worker], seconds: float) -> None:
        """Have workers made for which there is too little of something just now."""
        asyncio.get_running_loop().call_later(seconds, self.generations.there_may_be_room, generation)

    def complete(self, generation: Generation[Worker]) -> None:
        """Go on with what waits for all workers of a generation: the start, or a generation to come to take over."""
        if generation is not self.generations.to_come:
            self._full.set()
            return
        self.loaded = _spawner(generation).loaded
        self.generations.take_over()
        self._reloaded()
        log.info("the registry is reloaded: %s", ", ".join((*self.loaded.functions, *self.loaded.handlers)))
        if self._taking_over is not None and not self._taking_over.done():
            self._taking_over.set_result(None)

    def empty(self, generation: Generation[Worker]) -> None:
        """End a fork server that has no workers any more."""
        self._run(self._end(_spawner(generation)))

    def begin_anew(self) -> None:
        """Start a fork server: there is none."""
        self._run(self._start())

    def give_up(self, generation: Generation[Worker], reason: str) -> None:
        """Stop the pool, or do without a generation to come."""
        if generation is not self.generations.to_come:
            self._gave_up(reason)
        elif self._taking_over is not None and not self._taking_over.done():
            self._taking_over.set_exception(PoolFailed(reason))

    def __repr__(self) -> str:
        return f"<Fleet of {self._target}: {self.generations!r}>"


def _spawner(generation: Generation[Worker]) -> Spawner:
    return cast(Spawner, generation)
