"""What ends a call softly that runs in one of several threads: an exception that another thread has raised in it.

    main thread ──CANCEL_SIGNAL──> which messages are cancelled? ──> Ticket.stop ──┐
    clock ──a soft limit is over─────────────────────────────────> Ticket.stop ──┴──> raised in the call's thread

Python raises such an exception (`PyThreadState_SetAsyncExc`) at whatever place the thread has come to, once it runs
Python code: not in a function in C, a `sleep` or a `recv`, before that returns. It must hit the function and nothing of
ours, so each call has a ticket, which is there while its function runs. Whoever takes the ticket may stop it, once. The
thread takes it itself when the function has ended; where that was too late it waits for what comes, so nothing is left
over for the next call. Taking is one step of the interpreter: there is no lock that such an exception could leave held.
"""

from __future__ import annotations

import ctypes
import math
import threading
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any

from .exceptions import SoftLimit, StopCall

_LOOK_EVERY = 0.05
"""Seconds: a soft limit comes at most that much late, where one that is longer was looked at before it."""


class Stopped(StopCall):
    """What a cancel raises inside a function, in whatever thread."""

    def __init__(self) -> None:
        super().__init__("the call was cancelled")


def soft_limit(seconds: float) -> type[SoftLimit]:
    """What a soft limit of so many seconds raises: a class, since that is what a thread can be told to raise."""

    class OverSoftLimit(SoftLimit):
        def __init__(self) -> None:
            super().__init__(
                f"ran longer than its soft limit of {seconds:g} s", data={"seconds": seconds, "soft": True}
            )

    return OverSoftLimit


class Ticket:
    """One call of a function in this thread, which another thread may stop, once."""

    __slots__ = ("_free", "_is_sent", "_thread")

    def __init__(self) -> None:
        self._thread = threading.get_ident()
        self._free = [True]
        self._is_sent = False

    def run(self, call: Callable[[], Any]) -> Any:
        """Call the function."""
        try:
            return call()
        finally:
            self.close()

    def stop(self, error: type[BaseException]) -> bool:
        """Have an exception raised in the function; whether that is so, or it has ended or was stopped before."""
        if not self._take():
            return False
        _raise_in(self._thread, error)
        self._is_sent = True
        return True

    def close(self) -> None:
        """The function has ended: see to it that nothing is raised any more when this has returned, or raised."""
        if not self._take():
            while not self._is_sent:
                time.sleep(0)
            _catch_what_comes(self._thread)

    def _take(self) -> bool:
        try:
            self._free.pop()
        except IndexError:
            return False
        return True


class _Nothing(BaseException):
    """Raised in place of what was not raised yet, and caught."""


def _raise_in(thread: int, error: type[BaseException]) -> None:
    """Have an exception raised in a thread as soon as it runs Python code, in place of one that was not yet."""
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(error))


def _catch_what_comes(thread: int) -> None:
    """See to it that nothing is to be raised any more in this thread.

    It could be taken back, too (raise NULL). But Python 3.11 would keep the mark that something is to be raised in some
    thread, and goes round in circles at it in each that is traced, by a debugger or for coverage.
    """
    try:
        _raise_in(thread, _Nothing)
        while True:
            pass  # it comes at once
    except _Nothing:
        pass


def wait(ended: threading.Lock) -> BaseException | None:
    """Wait for a lock. An exception that a signal raises meanwhile is given back: it is a reason to stop waiting."""
    try:
        ended.acquire()
    except BaseException as reason:
        return reason
    return None


class Clock:
    """Stops calls whose soft limit is over, from a thread of its own, which begins with the first of them."""

    def __init__(self) -> None:
        self._ends: dict[Ticket, tuple[float, type[SoftLimit]]] = {}
        self._wake: SimpleQueue[None] = SimpleQueue()
        self._sleeps = False

    def start(self) -> None:
        """Begin to look."""
        threading.Thread(target=self._run, name="rpcsvc-clock", daemon=True).start()

    def set(self, ticket: Ticket, seconds: float, error: type[SoftLimit]) -> None:
        """Stop a call after so many seconds, if it is not over by then."""
        self._ends[ticket] = time.monotonic() + seconds, error
        if self._sleeps:
            self._wake.put(None)

    def unset(self, ticket: Ticket) -> None:
        """It is over."""
        self._ends.pop(ticket, None)

    def _run(self) -> None:
        while True:
            self._sleeps = True  # before the look: whoever comes after it wakes this thread
            wait = self._look()
            try:
                self._sleeps = wait is None
                self._wake.get(timeout=wait)
            except Empty:
                pass

    def _look(self) -> float | None:
        """Stop what is over; seconds until the next look, None where nothing is to be looked at."""
        now, soonest = time.monotonic(), math.inf
        for ticket, (end, error) in list(self._ends.copy().items()):
            if end > now:
                soonest = min(soonest, end - now)
            else:
                self.unset(ticket)
                ticket.stop(error)
        return None if soonest == math.inf else min(soonest, _LOOK_EVERY)
