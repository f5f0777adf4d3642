"""How many workers there are to be, and of which registry. Pure.

A generation is the workers of one fork server: all of them have the registry as it was imported once. There is one that
serves; one to come, while the registry is reloaded, which takes over when all of its workers are ready; and retired
ones, which finish what they were given, and end.

Nothing is counted up and down: whenever something has happened, workers are made until there are enough (`fill`), and
when there is one more than enough, one that is worn goes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, Protocol

from ..deadline import Clock
from .restarts import Restarts
from .shortage import Shortage
from .supervisor import Event, Order, State, Supervisor, W

MAX_FAILED_GENERATIONS = 3
"""How many fork servers in a row may go before one worker was ready."""
_READY = (State.STANDBY, State.IDLE, State.BUSY)
_STAYING = (State.SPAWNING, State.UNTOLD, State.STARTING, *_READY)
_SERVING = (State.IDLE, State.BUSY, State.FINISHING)


class Generation(Generic[W]):
    """The workers of one fork server.

    Attributes:
        workers: those that are not gone, by number.
        places: how many numbers there are: a replacement may start before its predecessor has ended.
        restarts: counts their ends.
        has_made_workers: whether one of them has become ready.
        waits_for_room: whether one could not be made, and that is tried again later.
    """

    def __init__(self, places: int, restarts: Restarts) -> None:
        self.workers: dict[int, W] = {}
        self.places = places
        self.restarts = restarts
        self.has_made_workers = self.waits_for_room = False

    def count(self, states: tuple[State, ...], *, worn: bool = True) -> int:
        """How many of its workers are in one of these states, with or without those that are worn."""
        return sum(worker.state in states and (worn or not worker.worn) for worker in self.workers.values())

    def kill(self, worker: W) -> None:
        """Have the fork server kill a worker, if it is made; nothing happens if it has ended."""

    def destroy(self, why: str) -> None:
        """Kill the fork server, and its workers with it."""

    @property
    def free_place(self) -> int | None:
        """A number that no worker has."""
        return next((number for number in range(self.places) if number not in self.workers), None)


class Desk(Protocol[W]):
    """Gives messages to workers, and takes their answers."""

    def answered(self, worker: W, number: int, body: bytes | None) -> None:
        """Take the answer to a message that a worker was given: the response, or None where none is wanted."""

    def answered_for_now(self) -> None:
        """Note that all answers that came together have been told."""

    def offer(self, worker: W) -> None:
        """Give a worker a message when there is one: it has nothing to do."""

    def withdraw(self, worker: W) -> None:
        """Give it none."""

    def end_work_of(self, workers: list[W], *, asked: bool) -> None:
        """End what workers had that are gone, or give it to others; they ended as they were asked to, or not."""


class Processes(Protocol[W]):
    """Makes workers, and the fork servers that they come from."""

    def spawn(self, generation: Generation[W], number: int) -> W:
        """Begin to make a worker."""

    def fill_later(self, generation: Generation[W], seconds: float) -> None:
        """Call `there_may_be_room` after that time."""

    def complete(self, generation: Generation[W]) -> None:
        """Note that all workers of a generation are ready."""

    def empty(self, generation: Generation[W]) -> None:
        """End a generation: it is retired, and its last worker is gone."""

    def begin_anew(self) -> None:
        """Start a generation: none serves."""

    def give_up(self, generation: Generation[W], reason: str) -> None:
        """Stop the pool, or do without a generation to come: its workers cannot be kept running."""


class Generations(Generic[W]):
    """All workers of a pool.

    Args:
        size: how many there are to be.
        desk: gives them messages.
        processes: makes them.
        clock: in seconds.
        start_timeout: seconds in which a worker that is made must be ready.

    Attributes:
        supervisor: whoever is told what happens to them.
        current: the generation that serves.
        to_come: the one that is to take over.
        retired: those whose workers only finish what they have.
        is_over: whether no worker is made any more.
        lost: how many workers ended unasked.
        shortage: of what there is too little to make a worker.
    """

    def __init__(
        self, size: int, desk: Desk[W], processes: Processes[W], *, clock: Clock, start_timeout: float
    ) -> None:
        self.current: Generation[W] | None = None
        self.to_come: Generation[W] | None = None
        self.retired: list[Generation[W]] = []
        self.is_over = False
        self.lost = 0
        self.shortage = Shortage("no worker can be started")
        self._size = size
        self._desk = desk
        self._processes = processes
        self._clock = clock
        self._answered_by_gone = self._failed = 0
        orders = {
            Order.COUNT_IN: self._count_in,
            Order.OFFER: desk.offer,
            Order.WITHDRAW: desk.withdraw,
            Order.CLOSE: lambda worker: worker.close(),
            Order.KILL: lambda worker: worker.generation.kill(worker),
            Order.DESTROY: self._destroy,
            Order.FORGET: self._forget,
            Order.BURY: self._bury,
            Order.LOSE: self._lose,
        }
        self.supervisor = Supervisor(orders, start_timeout)

    @property
    def all(self) -> list[Generation[W]]:
        """All generations, the one to come last."""
        return [*self.retired, *(each for each in (self.current, self.to_come) if each is not None)]

    def __iter__(self) -> Iterator[W]:
        """All workers that may have been given messages."""
        for generation in self.all:
            if generation is not self.to_come:
                yield from generation.workers.values()

    @property
    def ready(self) -> int:
        """How many workers can compute, or do."""
        return sum(worker.state in _SERVING for worker in self)

    # ---- what is ordered about a worker

    def _count_in(self, worker: W) -> None:
        generation: Generation[W] = worker.generation
        worker.was_ready = generation.has_made_workers = True
        generation.restarts.became_ready()
        self.shortage.over()
        if generation is not self.to_come:
            self.supervisor.happened(worker, Event.SERVES)
        ready = generation.count(_READY)
        if ready >= self._size:
            self._processes.complete(generation)
        if ready > self._size:  # then one of them is worn: no more than enough others are ever made
            worn = [each for each in generation.workers.values() if each.worn and each.state in _READY]
            self.supervisor.happened(min(worn, key=lambda each: each.state is State.BUSY), Event.RETIRED)

    def _destroy(self, worker: W) -> None:
        what = "made" if worker.pid is None else "killed"
        within = self.supervisor.obeyed_within
        worker.generation.destroy(f"has not {what} a worker within {within:g} s")

    def _forget(self, worker: W) -> None:
        del worker.generation.workers[worker.number]
        self._is_one_less(worker.generation, worker)

    def _bury(self, worker: W) -> None:
        self._end(worker, asked=True)
        self._is_one_less(worker.generation, worker)

    def _lose(self, worker: W) -> None:
        generation: Generation[W] = worker.generation
        self._end(worker, asked=False)
        if not worker.lacks and (worker.kill is None or worker.kill.cause.is_a_loss):
            assert worker.exit is not None
            self.lost += 1
            reason = generation.restarts.ended(worker.exit, was_ready=worker.was_ready, answered=self._answered)
            if reason is not None and generation not in self.retired:
                self._give_up(generation, reason)
                return
        self._is_one_less(generation, worker)

    def _end(self, worker: W, *, asked: bool) -> None:
        del worker.generation.workers[worker.number]
        self._answered_by_gone += worker.answered
        self._desk.end_work_of([worker], asked=asked)

    @property
    def _answered(self) -> int:
        return self._answered_by_gone + sum(worker.answered for worker in self)

    def _is_one_less(self, generation: Generation[W], worker: W) -> None:
        if generation in self.retired:
            self._end_if_empty(generation)
        elif not worker.lacks:
            self.fill(generation)
        elif not generation.waits_for_room:
            generation.waits_for_room = True
            why = worker.failure.rstrip().rpartition("\n")[2]
            self._processes.fill_later(generation, self.shortage.met(why, self._clock()))

    def _give_up(self, generation: Generation[W], reason: str) -> None:
        if generation is not self.to_come:
            if self.is_over:
                return
            self.is_over = True
        self._processes.give_up(generation, reason)

    # ---- generations

    def there_may_be_room(self, generation: Generation[W]) -> None:
        """Have workers made for which there was too little of something a while ago."""
        generation.waits_for_room = False
        self.fill(generation)

    def is_worn(self, worker: W) -> None:
        """Have a worker replaced that has made all the calls it is to make: it goes on until the other one is ready."""
        worker.worn = True
        self.fill(worker.generation)

    def fill(self, generation: Generation[W]) -> None:
        """Have workers made until there are enough of them in a generation that serves, or is to."""
        if self.is_over or generation.waits_for_room or generation not in (self.current, self.to_come):
            return
        while generation.count(_STAYING, worn=False) < self._size and (number := generation.free_place) is not None:
            worker = generation.workers[number] = self._processes.spawn(generation, number)
            self.supervisor.begins(worker)

    def take_over(self) -> None:
        """Have the generation to come serve from now on; the one that did finishes what it has."""
        assert self.to_come is not None
        old, self.current, self.to_come = self.current, self.to_come, None
        if old is not None:
            self.retired.append(old)
            for worker in list(old.workers.values()):
                self.supervisor.happened(worker, Event.RETIRED)
            self._end_if_empty(old)
        for worker in list(self.current.workers.values()):
            self.supervisor.happened(worker, Event.SERVES)

    def _end_if_empty(self, generation: Generation[W]) -> None:
        if not generation.workers:
            self.retired.remove(generation)
            self._processes.empty(generation)

    def fork_server_lost(self, generation: Generation[W]) -> None:
        """Begin anew what a fork server was for that has ended unasked, and its workers with it."""
        orphans = list(generation.workers.values())
        for worker in orphans:
            self.supervisor.happened(worker, Event.ORPHANED)
        generation.workers.clear()
        self._answered_by_gone += sum(worker.answered for worker in orphans)
        if generation is self.to_come:
            self._give_up(generation, "the fork server has ended")
            return
        if generation is self.current:
            self.current = None
        else:
            self.retired.remove(generation)
        self._desk.end_work_of(orphans, asked=False)
        if self.current is None and not self.is_over:
            self._failed = 0 if generation.has_made_workers else self._failed + 1
            if self._failed < MAX_FAILED_GENERATIONS:
                self._processes.begin_anew()
            else:
                self._give_up(generation, f"{self._failed} fork servers in a row ended before one worker was ready")

    def __repr__(self) -> str:
        return f"<Generations: {self.ready} ready, {self.lost} lost>"
