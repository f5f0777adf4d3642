"""Workers by their table alone: without a process, a socket or a clock."""

from __future__ import annotations

from typing import Any

from rpcsvc.workers.generations import Generation, Generations
from rpcsvc.workers.restarts import Restarts
from rpcsvc.workers.supervisor import Event, Life, State
from rpcsvc.workers.work import WorkerExit

CRASH = WorkerExit(4711, None, 11)


class Stage:
    """Stands for the desk and the processes; what it is told it writes down."""

    def __init__(self, size: int, *, max_restarts: int = 100) -> None:
        self.now = 100.0
        self.told: list[tuple[Any, ...]] = []
        self.pid = 1000
        self._max_restarts = max_restarts
        self.generations = Generations[Life](size, self, self, clock=lambda: self.now, start_timeout=3.0)
        self.supervisor = self.generations.supervisor

    def new(self) -> Generation[Life]:
        places = 2 * self.generations._size
        generation = Generation[Life](places, Restarts(lambda: self.now, max_restarts=self._max_restarts))
        generation.kill = lambda worker: self.told.append(("kill", worker))  # type: ignore[method-assign]
        generation.destroy = lambda why: self.told.append(("destroy", why))  # type: ignore[method-assign]
        return generation

    def serving(self) -> Generation[Life]:
        generation = self.generations.current = self.new()
        self.generations.fill(generation)
        self.start(generation)
        self.told.clear()
        return generation

    def start(self, generation: Generation[Life]) -> None:
        """Have the workers become ready that are being made."""
        for worker in [each for each in generation.workers.values() if each.state is State.SPAWNING]:
            self.pid += 1
            worker.pid = self.pid
            self.supervisor.happened(worker, Event.MADE)
            self.supervisor.happened(worker, Event.READY)

    def die(self, worker: Life) -> None:
        """Have a worker end by itself."""
        self.supervisor.happened(worker, Event.DISCONNECTED)
        worker.exit = CRASH
        self.supervisor.happened(worker, Event.EXITED)

    def names(self) -> list[str]:
        return [each[0] for each in self.told]

    # what is ordered

    def answered(self, worker: Life, number: int, body: bytes | None) -> None:
        pass

    def answered_for_now(self) -> None:
        pass

    def offer(self, worker: Life) -> None:
        self.told.append(("offer", worker))

    def withdraw(self, worker: Life) -> None:
        self.told.append(("withdraw", worker))

    def end_work_of(self, workers: list[Life], *, asked: bool) -> None:
        self.told.append(("end work", workers, asked))

    def spawn(self, generation: Generation[Life], number: int) -> Life:
        self.told.append(("spawn", number))
        return Life(generation, number)

    def fill_later(self, generation: Generation[Life], seconds: float) -> None:
        self.told.append(("fill later", seconds))

    def complete(self, generation: Generation[Life]) -> None:
        self.told.append(("complete", generation))

    def empty(self, generation: Generation[Life]) -> None:
        self.told.append(("empty", generation))

    def begin_anew(self) -> None:
        self.told.append(("begin anew",))

    def give_up(self, generation: Generation[Life], reason: str) -> None:
        self.told.append(("give up", reason))


def states(generation: Generation[Life]) -> list[str]:
    return [worker.state.value for worker in generation.workers.values()]
