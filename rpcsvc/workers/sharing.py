"""A pool whose workers compute several messages at a time, each in a thread.

A worker is given as many as it has slots, and none ahead: each message goes to the worker that has fewest. Calls go
first. Casts may have all slots of the pool but some, so that a call finds one however long casts take. Which workers
they are in makes no difference, since nothing waits behind them.

A suspect runs alone. Of what was running in a worker that died nobody knows which message has taken it down, so those
that may run again do so one at a time, each in a worker that has nothing else. Such a worker is kept: one that is idle,
or the one with fewest messages, which is given no more until it is. No more than half of the workers, and one at least,
are kept at a time, and the others go on.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

from ..deadline import Deadline
from ..host.surroundings import Surroundings
from .care import Care
from .inside.dispatch import Rules
from .pool import WorkerPool
from .process import Worker
from .supervisor import Event, State
from .work import Answer, Done, Expired, Suspect, Work, WorkerExit, refuse_parts

_TAKING = (State.IDLE, State.BUSY)


class SharingPool(WorkerPool):
    """A fixed number of worker processes with several threads each.

    Args:
        rules: what the workers may do; `threads` says how many messages each computes at a time.
        cast_slots: how many casts may be computed at a time in all of them.
        target, size, care, surroundings, gave_up, paused, reloaded, lost: as of a `WorkerPool`.
    """

    def __init__(
        self,
        target: str,
        size: int,
        *,
        rules: Rules,
        cast_slots: int,
        care: Care | None = None,
        surroundings: Surroundings | None = None,
        gave_up: Callable[[str], None],
        paused: Callable[[], None] = lambda: None,
        reloaded: Callable[[], None] = lambda: None,
        lost: Callable[[WorkerExit, str], None] = lambda *_: None,
    ) -> None:
        super().__init__(
            target,
            size,
            rules=rules,
            care=care,
            surroundings=surroundings,
            gave_up=gave_up,
            paused=paused,
            reloaded=reloaded,
            lost=lost,
        )
        self._slots = rules.threads
        self._cast_slots = cast_slots
        self._casts_given = 0
        self._suspects: deque[Work] = deque()
        self._kept: set[Worker] = set()  # those that have a suspect, and the one that is emptied for the next
        self._emptied: Worker | None = None
        self._most_kept = max(1, size // 2)

    def submit_alone(
        self,
        body: bytes,
        done: Done,
        deadline: Deadline | None = None,
        *,
        context: bytes | None = None,
        cast: bool = False,
    ) -> Work:
        """Have a request computed, likewise, by a worker that computes no other meanwhile."""
        work = Suspect(body, done, deadline, refuse_parts, context, cast)
        self._suspects.append(work)
        self._assign()
        return work

    @property
    def waiting(self) -> int:
        """How many messages wait for a worker."""
        return super().waiting + len(self._suspects)

    async def stop(self, grace: float = 5.0) -> None:
        """End every worker: those that are idle at once, those that are busy after `grace` seconds. Work is dropped."""
        self._suspects.clear()
        await super().stop(grace)

    def _line(self, work: Work) -> deque[Work]:
        return self._suspects if work.is_suspect else super()._line(work)

    # ---- who is given what

    def _assign(self) -> None:
        self._assign_suspects()
        while line := self._waiting or self._casts:
            work = line[0]
            worker = None if work.is_cast and self._casts_given >= self._cast_slots else self._next_worker(work)
            if worker is None:
                return
            self._give_next(line, worker)

    def _give_next(self, line: deque[Work], worker: Worker) -> None:
        """Give a worker the first of a line, if that may start, and the worker is there."""
        if worker.is_cut:
            self._supervisor.happened(worker, Event.DISCONNECTED)
            return
        work = line.popleft()
        if not work.may_start:
            work.end(Expired())
            return
        self._casts_given += work.is_cast
        worker.give(work)
        worker.began[next(reversed(worker.given))] = time.monotonic()
        if self._watch.timer is None:
            self._watch.begin()

    def _taking(self) -> list[Worker]:
        """The workers that may be given messages."""
        current = self._workers.current
        return [] if current is None else [each for each in current.workers.values() if each.state in _TAKING]

    def _next_worker(self, work: Work) -> Worker | None:
        """The one that has fewest messages; of several it is the one that was heard of first.

        Work that a worker did not take goes to the one that was heard of last: where one is stopped others may be too.
        """
        free = [each for each in self._taking() if len(each.given) < self._slots and each not in self._kept]
        sign = -1 if work.was_taken_back else 1
        return min(free, key=lambda each: (len(each.given), sign * each.last_event), default=None)

    def _assign_suspects(self) -> None:
        """Give suspects to workers that have nothing else, and have one come to that where there is none."""
        if not self._suspects and not self._kept:
            return
        while self._suspects and (idle := self._idle_for_suspect()) is not None:
            self._give_next(self._suspects, idle)
        taking = self._taking()
        self._kept = {each for each in taking if _has_suspect(each)}
        if not self._suspects or len(self._kept) == self._most_kept:
            self._emptied = None
        elif self._emptied not in taking or self._emptied in self._kept:
            others = (each for each in taking if each not in self._kept)
            self._emptied = min(others, key=lambda each: len(each.given), default=None)
        if self._emptied is not None:
            self._kept.add(self._emptied)

    def _idle_for_suspect(self) -> Worker | None:
        taking = self._taking()
        if sum(map(_has_suspect, taking)) >= self._most_kept:
            return None
        return next((each for each in taking if not each.given), None)

    # ---- what workers say

    def offer(self, worker: Worker) -> None:
        """Give a worker a message when there is one: it has nothing to do."""
        self._assign()

    def withdraw(self, worker: Worker) -> None:
        """Give an idle worker none: its state says so."""

    def answered(self, worker: Worker, number: int, body: bytes | None) -> None:
        """Take the answer to a message that a worker was given."""
        now = worker.last_event = time.monotonic()
        worker.answered += 1
        work = worker.given.pop(number)
        seconds = now - worker.began.pop(number, now)
        if work.is_cast:
            self._mean_of_casts.learn(seconds)
        self._casts_given -= work.is_cast
        calls = worker.calls_in(number)
        if self._max_calls is not None:
            worker.calls += calls or 1
            if worker.calls >= self._max_calls and not worker.worn:
                self._workers.is_worn(worker)
        if worker.given:
            self._assign()
        else:
            self._supervisor.happened(worker, Event.ANSWERED)
        work.end(Answer(body, calls, work.has_failed))

    def end_work_of(self, workers: list[Worker], *, asked: bool) -> None:
        """What a worker was given that is gone is lost with it, but for what it had not taken: that goes next."""
        for worker in workers:
            self._casts_given -= sum(work.is_cast for work in worker.given.values())
        super().end_work_of(workers, asked=asked)


def _has_suspect(worker: Worker) -> bool:
    return any(work.is_suspect for work in worker.given.values())
