"""A pool of worker processes, seen from the server's event loop.

`submit` hands over the body of a request; `done` is called once with the `Outcome`. Work waits here while no worker is
idle. Nothing in here blocks, whatever a worker does: what it does not read stays in its transport's buffer, and that is
bounded by what is given to a worker ahead.

A worker is given one message at a time. While messages are found to be quick and more of them wait (which takes a
prefetch count above 1), it is given a few ahead, up to some milliseconds of work (`pace`).

There are two lines. Calls go first: casts, for which nobody waits, are given out while no call waits, and only so many
workers have casts at a time. A worker has calls or casts, never both, so that no call lies behind a cast that may take
long.

A worker that has gone leaves its number to its replacement.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Callable, Iterable

from ..deadline import Deadline
from ..errors import PoolFailed
from ..host.surroundings import Surroundings
from .care import Care
from .fleet import Fleet
from .inside.dispatch import Rules
from .pace import Mean, Pace
from .process import Worker
from .supervisor import Event, State
from .watchdog import Watch
from .work import Answer, Cancelled, Done, Expired, Handled, Part, Served, Work, WorkerExit, WorkState, refuse_parts

log = logging.getLogger(__name__)

_ANSWERED, _BUSY = Event.ANSWERED, State.BUSY  # looked up once: each message asks for them
_STUCK = 0.01
"""Seconds over one message after which a worker is given no more ahead: it turned out to be a long one."""


class WorkerPool:
    """A fixed number of worker processes.

    Args:
        target: the registry, MODULE:NAME.
        size: how many workers.
        rules: what they may do.
        care: how they are looked after.
        surroundings: what they start in; by default what this process is in now.
        gave_up: called with a reason when workers cannot be kept running.
        reloaded: called when the workers of a reload have taken over.
        lost: called when a worker has ended that was not to, with how, and why.
        paused: called when all answers that came together were given to their `done`: a time to flush.
    """

    def __init__(
        self,
        target: str,
        size: int,
        *,
        rules: Rules | None = None,
        care: Care | None = None,
        surroundings: Surroundings | None = None,
        gave_up: Callable[[str], None],
        paused: Callable[[], None] = lambda: None,
        reloaded: Callable[[], None] = lambda: None,
        lost: Callable[[WorkerExit, str], None] = lambda *_: None,
    ) -> None:
        care = care or Care()
        self._target = target
        self._size = size
        self.answered_for_now = paused
        self._tell_lost = lost
        self._fleet = Fleet(
            target,
            size,
            rules or Rules(),
            surroundings or Surroundings.here(),
            care,
            desk=self,
            gave_up=gave_up,
            reloaded=reloaded,
        )
        self._workers = self._fleet.generations
        self._supervisor = self._workers.supervisor
        self._load_timeout = care.load_timeout
        self._max_calls = care.max_calls
        self._watch = Watch(
            self._workers, self._supervisor, self._fleet.interrupt, care.cancel_grace, self._workers.is_worn
        )
        self._idle: deque[Worker] = deque()
        self._waiting: deque[Work] = deque()
        self._pace = Pace()
        self._casts: deque[Work] = deque()
        self._pace_of_casts = Pace()
        self._mean_of_casts = Mean()
        self._casting: set[Worker] = set()  # those that have casts
        self._most_casting = max(1, size - 1) if care.cast_workers is None else min(size, care.cast_workers)

    # ---- for the server

    async def start(self, timeout: float | None = None) -> None:
        """Load the registry and start every worker.

        Args:
            timeout: seconds for all of it; None is what `care` makes of it.

        Raises:
            RegistryFailed: the registry cannot be imported.
            PoolFailed: the workers were not ready in time.
        """
        seconds = self._load_timeout if timeout is None else timeout
        try:
            async with asyncio.timeout(seconds):
                await self._fleet.start()
        except TimeoutError:
            what = "workers are not ready" if self.is_loaded else f"the registry {self._target!r} is not imported"
            why = self._workers.shortage.why or "does its import wait for something?"
            raise PoolFailed(f"{what} after {seconds:g} s; {why}") from None

    def submit(
        self,
        body: bytes,
        done: Done,
        deadline: Deadline | None = None,
        *,
        part: Part = refuse_parts,
        context: bytes | None = None,
        cast: bool = False,
    ) -> Work:
        """Have a request computed; `done` is called once with what became of it.

        Args:
            body: the request.
            done: who is told. It may be called before this returns.
            deadline: nobody waits for the result after it; None says nothing of that.
            part: who is told each partial result, before `done`. By default none is wanted: a worker that gives one is
                broken.
            context: what the worker is told besides (`job.Context`).
            cast: whether it is work for which nobody waits: calls go first.
        """
        work = Work(body, done, deadline, part, context, cast)
        (self._casts if cast else self._waiting).append(work)
        self._assign()
        return work

    def submit_alone(
        self,
        body: bytes,
        done: Done,
        deadline: Deadline | None = None,
        *,
        context: bytes | None = None,
        cast: bool = False,
    ) -> Work:
        """Have a request computed, likewise, by a worker that computes no other meanwhile, as all do here."""
        return self.submit(body, done, deadline, context=context, cast=cast)

    def cancel(self, work: Work) -> None:
        """Have a request not computed, or no longer; nothing happens if it is over.

        What waits for a worker ends at once. What runs gets `CallCancelled` raised inside the function; if it is not
        over after `cancel_grace` seconds, its worker is killed. `done` is called once all the same, with `Cancelled`.
        """
        if work.is_over:
            return
        for worker in self._workers if work.state is not WorkState.WAITING else ():
            if (message := worker.number_of(work)) is not None:
                self._watch.cancel(worker, message)
                return
        with contextlib.suppress(ValueError):
            self._line(work).remove(work)
        work.end(Cancelled())

    def reload(self) -> None:
        """Import the registry anew; when new workers are ready, they take over, and `functions` changes.

        The old workers finish what they were given. If it fails, they go on, and the log says why. It may be asked for
        again meanwhile.
        """
        self._fleet.reload()

    def running_item(self, work: Work) -> int | None:
        """In a message of many calls, the index of the one that runs; None if the message does not run (yet)."""
        found = (worker.running_item(work) for worker in self._workers)
        return next((item for item in found if item is not None), None)

    async def stop(self, grace: float = 5.0) -> None:
        """End every worker: those that are idle at once, those that are busy after `grace` seconds. Work is dropped."""
        self._watch.stop()
        self._waiting.clear()
        self._casts.clear()
        await self._fleet.stop(grace)

    @property
    def functions(self) -> dict[str, Served]:
        """What is served, by name; empty before the registry is loaded."""
        return self._fleet.loaded.functions

    @property
    def handlers(self) -> dict[str, Handled]:
        """What is called with events, likewise."""
        return self._fleet.loaded.handlers

    @property
    def is_loaded(self) -> bool:
        """Whether the registry was imported."""
        return bool(self._fleet.loaded)

    @property
    def ready(self) -> int:
        """How many workers can compute or do."""
        return self._workers.ready

    @property
    def busy(self) -> int:
        """How many workers compute."""
        return sum(bool(worker.given) for worker in self._workers)

    @property
    def under_way(self) -> int:
        """How many messages workers have that they have not answered."""
        return sum(len(worker.given) for worker in self._workers)

    @property
    def waiting(self) -> int:
        """How many messages wait for a worker."""
        return len(self._waiting) + len(self._casts)

    def casts_within(self, seconds: float) -> int:
        """How many casts a worker does in that time, as far as was learnt."""
        return self._mean_of_casts.within(seconds)

    @property
    def lost(self) -> int:
        """How many workers ended unasked since the start."""
        return self._workers.lost

    @property
    def pids(self) -> list[int]:
        """The process ids of the workers."""
        return self._fleet.pids

    # ---- messages for workers

    def _line(self, work: Work) -> deque[Work]:
        """Where a work waits for a worker."""
        return self._casts if work.is_cast else self._waiting

    def _assign(self) -> None:
        while line := self._waiting or self._casts:
            work = line[0]
            worker = self._next_for_cast(work) if work.is_cast else self._next_worker(work)
            if worker is None:
                return
            if worker.is_cut:
                self._supervisor.happened(worker, Event.DISCONNECTED)
                continue
            line.popleft()
            if not work.may_start:
                work.end(Expired())
                continue
            if not worker.given:
                self._idle.remove(worker)
            if work.is_cast:
                self._casting.add(worker)
            worker.give(work)
            if self._watch.timer is None:
                self._watch.begin()

    def _next_worker(self, work: Work) -> Worker | None:
        """One that is idle, else the one that was given least, if messages are quick; None if work has to wait.

        Of the idle ones it is that which is so for longest. Work that a worker did not take goes to the one that was
        heard of last: where one is stopped others may be too.
        """
        if self._idle:
            return self._idle[-1 if work.was_taken_back else 0]
        if self._pace.ahead <= 1 or self._workers.current is None:
            return None
        every, casting = self._workers.current.workers.values(), self._casting
        return _least_busy([each for each in every if each not in casting] if casting else every, self._pace)

    def _next_for_cast(self, cast: Work) -> Worker | None:
        """Likewise, among the workers that may have casts."""
        if self._idle and len(self._casting) < self._most_casting:
            return self._idle[-1 if cast.was_taken_back else 0]
        return _least_busy(self._casting, self._pace_of_casts) if self._pace_of_casts.ahead > 1 else None

    def offer(self, worker: Worker) -> None:
        """Give a worker a message when there is one: it has nothing to do."""
        self._idle.append(worker)
        self._assign()

    def withdraw(self, worker: Worker) -> None:
        """Give an idle worker none."""
        self._idle.remove(worker)

    def answered(self, worker: Worker, number: int, body: bytes | None) -> None:
        """Take the answer to a message that a worker was given."""
        now = time.monotonic()
        work = worker.given.pop(number)
        if work.is_cast:
            spent = worker.spent()  # on all that it answers now, if this is the first of them
            self._pace_of_casts.learn(spent)
            self._mean_of_casts.learn(spent)
        else:
            self._pace.learn(now - worker.last_event)
        worker.last_event = now
        worker.answered += 1
        if self._max_calls is not None:
            worker.calls += worker.calls_in(number) or 1  # if it is over the next message already, nobody knows
            if worker.calls >= self._max_calls and not worker.worn:
                self._workers.is_worn(worker)
        answer = Answer(body)
        if work.has_failed:
            answer.failed = True
        if not worker.given:
            if work.is_cast:
                self._casting.discard(worker)
            answer.calls = worker.calls_in(number)
            self._supervisor.happened(worker, _ANSWERED)
        work.end(answer)

    def end_work_of(self, workers: list[Worker], *, asked: bool) -> None:
        """What a worker was given that is gone is lost with it, but for what it had not taken: that goes next."""
        for worker in workers:
            self._casting.discard(worker)
            back = worker.take_back()
            self._log_end(worker, asked=asked, during_a_call=any(lost for _, lost in back))
            for work, lost in reversed(back):
                if lost is None and not work.is_over:
                    work.taken_back()
                    self._line(work).appendleft(work)
            for work, lost in back:
                if lost is not None:
                    work.end(lost)
        self._assign()

    def _log_end(self, worker: Worker, *, asked: bool, during_a_call: bool) -> None:
        why = ""
        if worker.kill is not None:
            why = worker.kill.cause.value
            log.warning("%s: %s", worker.exit, why)
        elif worker.failure:
            if not worker.lacks:
                why = "it could not start"
                log.error("%s: %s\n%s", worker.exit, why, worker.failure.rstrip())
        elif not asked:
            why = "during a call" if during_a_call else "between calls"
            log.warning("%s %s", worker.exit, why)
        if why and worker.exit is not None:
            self._tell_lost(worker.exit, why)

    def __repr__(self) -> str:
        return (
            f"<WorkerPool of {self._target}: {self.ready}/{self._size} ready, {self.busy} busy, {self.waiting} waiting>"
        )


def _least_busy(workers: Iterable[Worker], pace: Pace) -> Worker | None:
    """The one that was given least and may be given more ahead."""
    since = time.monotonic() - _STUCK
    busy = [each for each in workers if each.state is _BUSY and each.last_event > since and not each.is_cut]
    worker = min(busy, key=lambda each: len(each.given), default=None)
    return worker if worker is not None and len(worker.given) < pace.ahead else None
