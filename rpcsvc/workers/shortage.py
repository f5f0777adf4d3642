"""Shortages that pass: of processes, descriptors, memory, buffers. What failed for one is tried again, after a while.

They are told in the log once when they begin, again each minute while they last, and once when they are over.
"""

from __future__ import annotations

import errno
import logging

log = logging.getLogger(__name__)

PASSING = frozenset(
    {errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOSPC, errno.ETOOMANYREFS}
)
"""What the system says when there is too little of something just now."""
_FROM, _UP_TO = 0.1, 2.0
"""Seconds until the next attempt, which double."""
_TELL_EVERY = 60.0


def is_passing(error: BaseException | None) -> bool:
    """Whether an error, or what it was raised from, is a shortage that may pass."""
    while error is not None:
        if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno in PASSING):
            return True
        error = error.__cause__ or error.__context__
    return False


class Shortage:
    """One thing that is short again and again, or is not.

    Args:
        what: what cannot be done for want of it, "no worker can be started" for instance.

    Attributes:
        why: what the system says; empty while nothing is short.
    """

    def __init__(self, what: str) -> None:
        self.why = ""
        self._what = what
        self._pause = _FROM
        self._told_at: float | None = None

    def met(self, why: str, now: float) -> float:
        """It was short once more: seconds until the next attempt is worth while.

        Args:
            now: of a monotonic clock, in seconds.
        """
        self.why = why
        if self._told_at is None or now >= self._told_at + _TELL_EVERY:
            log.warning("%s for now: %s; tried again until there is room", self._what, why)
            self._told_at = now
        pause, self._pause = self._pause, min(2 * self._pause, _UP_TO)
        return pause

    def over(self) -> None:
        """It was there."""
        if self._told_at is not None:
            log.warning("there is room again: %s", self.why)
        self.why, self._pause, self._told_at = "", _FROM, None

    def __repr__(self) -> str:
        return f"<Shortage: {self.why or 'none'}>"
