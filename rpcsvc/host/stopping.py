"""What a signal asks of a program that drains when it is told to stop: to begin, to stop at once, or nothing new.

Some supervisors say one thing twice: GNU `timeout` signals its child and then the group that the child is in; on Ctrl-C
the terminal interrupts everything in its foreground, and a runner of many processes terminates each of them besides.
So a SIGTERM soon after the signal that began the stop is taken for its echo. A person who presses Ctrl-C a second time
means it, at any distance.

    first \\ second        SIGTERM within ECHO    SIGTERM later    SIGINT
    SIGTERM or SIGINT     nothing new            at once          at once
"""

from __future__ import annotations

import enum

from ..deadline import Clock

ECHO = 1.0
"""Seconds from the signal that began the stop, in which SIGTERM says nothing new. A third one counts from there too."""


class Ask(enum.Enum):
    """What is asked."""

    DRAIN = "finish what runs, and end"
    AT_ONCE = "end at once"
    NOTHING = "nothing that was not asked before"


class StopRequests:
    """Tells what each signal asks. `clock` gives seconds and never goes back."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._began: float | None = None

    def told(self, *, may_be_an_echo: bool) -> Ask:
        """A signal has come; what it asks. A SIGTERM may be an echo, a SIGINT is meant."""
        now = self._clock()
        if self._began is None:
            self._began = now
            return Ask.DRAIN
        if may_be_an_echo and now - self._began < ECHO:
            return Ask.NOTHING
        return Ask.AT_ONCE
