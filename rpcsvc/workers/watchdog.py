"""What the server looks at, again and again, while calls run: has one had its time or too much memory, does a cancelled
one go on, does a worker not even begin?

It looks from outside, so it sees whatever a worker does: a loop in C, a deadlock, a stopped process.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable

from .memory import private_bytes
from .process import Worker
from .scoreboard import Slot
from .supervisor import Cause, Kill, State, Supervisor
from .work import Cancelled, MemoryUse

log = logging.getLogger(__name__)

_LOOK_EVERY = 0.05
"""Seconds."""
_TAKEN_WITHIN = 2.0
"""Seconds in which a worker that has nothing else to do takes a message. One that does not is stopped, and would keep
the message for ever; killed, it gives it back."""


class Watch:
    """Looks at busy workers.

    Args:
        workers: all of them, each time it is asked.
        supervisor: has them killed.
        interrupt: has a worker sent the signal that says: look what is cancelled.
        cancel_grace: seconds that a cancelled call may take to end by itself; 0 kills its worker at once.
        replace: has a worker replaced, which goes on until its replacement is ready and it has answered what it has.

    Attributes:
        timer: until the next look; None while nothing runs.
    """

    def __init__(
        self,
        workers: Iterable[Worker],
        supervisor: Supervisor[Worker],
        interrupt: Callable[[Worker], None],
        cancel_grace: float,
        replace: Callable[[Worker], None],
    ) -> None:
        self._workers = workers
        self._supervisor = supervisor
        self._interrupt = interrupt
        self._grace = cancel_grace
        self._replace = replace
        self.timer: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        """A worker has become busy: look as long as any is."""
        self.timer = asyncio.get_running_loop().call_later(_LOOK_EVERY, self._look)

    def stop(self) -> None:
        """Look no more."""
        if self.timer is not None:
            self.timer.cancel()

    def cancel(self, worker: Worker, message: int) -> None:
        """Have a worker stop a message that it was given, or not begin it."""
        if message in worker.cancels:
            return
        # In this order: it may be taken between the two looks, and would be neither running nor still to come.
        was_taken = message <= worker.row.taken
        runs = worker.row.slot_of(message) is not None
        if runs:
            worker.given[message].stop()
        else:
            worker.given[message].end(Cancelled())
        if runs or not was_taken:
            worker.cancels[message] = None
            worker.row.cancel(message, under_way=worker.given)
            self._stop_cancelled(worker)
            if not runs:
                self._interrupt(worker)  # it is to hear of it before it takes that message

    def _look(self) -> None:
        self.timer = None
        any_busy = False
        for worker in list(self._workers):  # one may be made meanwhile, in place of another
            if worker.state in (State.BUSY, State.FINISHING):
                any_busy = True
                self._look_at(worker)
        if any_busy:
            self.begin()

    def _look_at(self, worker: Worker) -> None:
        running = [slot for slot in worker.row.slots if slot.message in worker.given]
        if not running and time.monotonic() > worker.last_event + _TAKEN_WITHIN:
            self._supervisor.kill(worker, Kill(Cause.DEAF))  # no message is to blame, should it take one just now
        for slot in running:
            message = slot.message
            if _is_over_time(slot) and message in worker.given:
                others = frozenset(each.message for each in running if each is not slot and _is_over_time(each))
                self._supervisor.kill(worker, Kill(Cause.TIME, message, others=others))
            elif (used := _memory_over_limit(worker, slot)) is not None and message in worker.given:
                self._supervisor.kill(worker, Kill(Cause.MEMORY, message, used))
        if worker.cancels:
            self._stop_cancelled(worker)

    def _stop_cancelled(self, worker: Worker) -> None:
        """Softly: the signal may have come at a moment when nothing could be raised, so it comes again. Then hard.

        A worker that computes others besides is not killed for it. It is replaced, and has its end when those are over.
        """
        for message in [number for number in worker.cancels if number not in worker.given]:
            del worker.cancels[message]
        now = time.monotonic()
        for slot in worker.row.slots:
            message = slot.message
            if message not in worker.cancels or worker.kill is not None:
                continue
            end = worker.cancels[message]
            if end is None:
                end = worker.cancels[message] = now + self._grace
            if now < end:
                self._interrupt(worker)
            elif not _would_end_others(worker, now):
                self._supervisor.kill(worker, Kill(Cause.CANCEL, message))
            elif not worker.worn:
                log.warning("worker process %s is replaced: a call in it goes on that nobody waits for", worker.pid)
                self._replace(worker)


def _would_end_others(worker: Worker, now: float) -> bool:
    """Whether some of what a worker computes beside a message that is to end is not to end."""
    if len(worker.row.slots) == 1:
        return False
    ends = (worker.cancels.get(message) for message in worker.given)
    return any(end is None or now < end for end in ends)


def _is_over_time(slot: Slot) -> bool:
    return 0 < slot.deadline < time.monotonic_ns()


def _memory_over_limit(worker: Worker, slot: Slot) -> MemoryUse | None:
    limit = slot.memory_limit
    if limit == 0 or worker.pid is None:
        return None
    used = private_bytes(worker.pid) - worker.row.memory_at_start
    return MemoryUse(limit, used) if used > limit == slot.memory_limit else None
