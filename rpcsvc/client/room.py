"""`max_in_flight`: room for so many calls at once, so that a slow broker slows its callers down.

Whoever enters holds a place, and gives it back when the call has ended. There is no lock in it: a signal handler or a
finalizer that calls in the middle of this would wait for one that its own thread holds. What is here is taken and given
in single steps of the interpreter.
"""

from __future__ import annotations

import itertools
import threading
from _queue import Empty, SimpleQueue  # the real one, also where `queue` has been patched

from . import own_thread
from .calls import now


class Room:
    """Places for calls that wait for their outcome."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._made = itertools.count(1)  # places that were ever made; they are made when none is free, up to the limit
        self._free: SimpleQueue[None] = SimpleQueue()
        self._owed: list[None] = []  # places that were taken beyond the limit, and are given back to nobody
        self._closed = False

    def is_closed(self) -> bool:
        """Whether nobody is to wait any more."""
        return self._closed

    def enter(self, deadline: float) -> bool:
        """Take a place, waiting for one until `deadline` on the monotonic clock; whether there was one."""
        if not self._free.empty():
            try:
                self._free.get_nowait()
            except Empty:
                pass  # another thread was quicker
            else:
                return True
        if next(self._made) <= self._limit:
            return True
        if own_thread.is_here():  # it makes the room, and must not wait for it
            self._owed.append(None)
            return True
        return self._wait(deadline)

    def _wait(self, deadline: float) -> bool:
        while not self.is_closed():
            remaining = deadline - now()
            if remaining <= 0:
                return False
            try:
                self._free.get(timeout=min(remaining, threading.TIMEOUT_MAX))
            except Empty:
                continue
            if not self.is_closed():
                return True
            self._free.put(None)  # for the next one who waits, to see it too
        return False

    def leave(self) -> None:
        """Give the place back."""
        if self._owed:
            try:
                self._owed.pop()
            except IndexError:
                pass  # another thread was quicker
            else:
                return
        self._free.put(None)

    def close(self) -> None:
        """Send everybody away who waits for a place."""
        self._closed = True
        self._free.put(None)
