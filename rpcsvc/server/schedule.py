"""When a server looks at its messages again: whose time has passed, and which is slow. Pure.

There is one wake-up under way at a time, for what is due next; while there is nothing to look at there is none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count
from math import inf

from ..deadline import Clock, Deadline
from .message import Message, Wake
from .register import Register

LOOK_EVERY = 0.5
"""Seconds between looks at the deadlines of what is computed."""
LATE_AFTER = 1.0
"""Seconds after its deadline when a message that runs is stopped. Its caller has mostly said so long before."""


@dataclass(slots=True, eq=False)
class Schedule:
    """What is looked at, and when.

    Attributes:
        register: the calls under way.
        wake: has `tick` called after some seconds, instead of when it was to be called before.
        clock: seconds, monotonic.
        late: called with each message whose deadline passed some time ago, again and again.
        slow: called with each message that `split_later` was told of.
    """

    register: Register
    wake: Wake
    clock: Clock
    late: Callable[[Message], None]
    slow: Callable[[Message], None]
    _to_split: list[tuple[float, int, Message]] = field(default_factory=list)  # a heap
    _numbers: Iterator[int] = field(default_factory=count)
    _looks_at: float = inf
    _wakes_at: float = inf

    def look_soon(self) -> None:
        """There is something in the register: look at it every now and then, as long as there is."""
        if self._looks_at == inf:
            self._looks_at = self.clock() + LOOK_EVERY
            self._wake_by(self._looks_at)

    def split_later(self, message: Message) -> None:
        """Look in a while whether a message is slow, if its kind is to be split then."""
        seconds = message.kind.split_after
        if seconds is not None:
            at = self.clock() + seconds
            heappush(self._to_split, (at, next(self._numbers), message))
            self._wake_by(at)

    def tick(self) -> None:
        """Look at what has become due. Too early does no harm."""
        self._wakes_at = inf
        now = self.clock()
        if self._looks_at <= now:
            self._look(now)
        while self._to_split:
            at, _, message = self._to_split[0]
            is_over = message.work is not None and message.work.is_over
            if at > now and not is_over:
                break
            heappop(self._to_split)  # one that is over needs no look, and no wake-up for it
            if not is_over:
                self.slow(message)
        self._wake_by(min(self._looks_at, self._to_split[0][0] if self._to_split else inf))

    def _look(self, now: float) -> None:
        for message in list(self.register.messages.values()):
            if _is_late(message.deadline, now):
                self.late(message)
        for call in list(self.register.calls.values()):
            if _is_late(call.deadline, now):
                call.give_up()
        self.register.sweep()
        self._looks_at = inf if self.register.is_empty else now + LOOK_EVERY

    def _wake_by(self, moment: float) -> None:
        if moment < self._wakes_at:
            self._wakes_at = moment
            self.wake(max(0.0, moment - self.clock()))

    def clear(self) -> None:
        """Forget everything."""
        self._to_split.clear()
        self._looks_at = inf


def _is_late(deadline: Deadline | None, now: float) -> bool:
    return deadline is not None and deadline.at + LATE_AFTER <= now
