"""How quick messages are, and how many may be given to a worker ahead. Pure.

A worker that is given a few ahead has the next one there when it has finished one, and several share a wake-up. What is
given ahead waits for what is before it, so it is as much as takes some milliseconds.
"""

from __future__ import annotations

from .scoreboard import MAX_GIVEN

_WORK_AHEAD = 0.002
"""Seconds of work that a worker may be given ahead."""
_KNOWN_FROM, _MEAN_OF = 16, 64
"""Messages from which a mean is told, and over which it is taken."""


class Pace:
    """What was learnt of one line of messages.

    Attributes:
        ahead: how many of them a worker may be given.
        seconds: how long they take.
    """

    __slots__ = ("ahead", "seconds")

    def __init__(self) -> None:
        self.ahead = 1
        self.seconds = 1.0

    def learn(self, seconds: float) -> None:
        """A message took so long; how many may be given ahead follows from that."""
        if seconds > self.seconds:
            self.seconds = seconds  # slow ones are believed at once
        else:
            self.seconds += (seconds - self.seconds) / 16
        self.ahead = min(MAX_GIVEN, int(_WORK_AHEAD / max(self.seconds, 1e-6)))


class Mean:
    """What messages take on the average, the last ones more than those before them.

    Any message may take long once, where a machine has other things to do. That changes little here.
    """

    __slots__ = ("_count", "_seconds")

    def __init__(self) -> None:
        self._count = 0
        self._seconds = 0.0

    def learn(self, seconds: float) -> None:
        """A message took so long."""
        if self._count < _MEAN_OF:
            self._count += 1
        self._seconds += (seconds - self._seconds) / self._count

    def within(self, seconds: float) -> int:
        """How many a worker does in that time; 0 while too few are known to tell."""
        return 0 if self._count < _KNOWN_FROM else int(seconds / max(self._seconds, 1e-6))
