"""Signals that end a call softly, as exceptions in the function that runs, and nowhere else.

Two things call a function off while it runs: its soft time limit (SIGALRM, set by the worker itself) and a cancel
(`CANCEL_SIGNAL`, sent by the server after it has noted in the shared numbers which message it means). Both come when
the interpreter gets to them, which may be a moment too early or too late, so a handler raises only if the function's
frame is on the stack it interrupts: dispatch, the socket and the clearing up after a call are never torn apart. What
comes at a bad moment comes again: the alarm by itself, the signal from the server.

One call is interrupted once, whichever comes first, so that the clearing up it does then is left in peace.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from types import FrameType
from typing import Any

from ..scoreboard import Row
from . import casts, dispatch, stops
from .exceptions import SoftLimit, StopCall
from .own import Belongings

CANCEL_SIGNAL = signal.SIGUSR2
"""Functions must leave it alone, or a cancel kills their worker."""
_RING_AGAIN = 0.05
"""Seconds."""


def call_function(call: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Call a function from a frame of its own, in which nothing is half done at any moment."""
    return call(*args, **kwargs)


_CALLERS = dispatch.CALLERS | casts.CALLERS | {call_function.__code__, stops.wait.__code__}
_PACKAGE = __name__.partition(".")[0]


class Interrupts:
    """The signal handlers of a worker.

    Args:
        row: the worker's numbers; signals come to the thread that has its first slot.
        own: what is the worker's own; its children do not inherit the handlers.

    Attributes:
        row: as given.
        cancelled: numbers of the messages not to be computed, as far as this worker has heard.
    """

    def __init__(self, row: Row, own: Belongings) -> None:
        self.cancelled: frozenset[int] = frozenset()
        self.row = row
        self._slot = row.slots[0]
        self._seconds: float | None = None
        self._interrupted: tuple[int, int] | None = None
        self._own = own
        own.handle(CANCEL_SIGNAL, self._cancel)

    def call_off(self) -> bool:
        """Whether the message that was taken last is not to be computed. To be asked while `cancelled` holds any."""
        taken = self._slot.message
        if taken > max(self.cancelled, default=0):
            self.cancelled = frozenset()  # all of them are over
        return taken in self.cancelled

    def use_alarm(self) -> None:
        """Take SIGALRM. Without soft limits it is the functions' own."""
        self._own.handle(signal.SIGALRM, self._ring)

    def set_alarm(self, seconds: float) -> None:
        """Raise SoftLimit in the function after so many seconds."""
        self._seconds = seconds
        self._interrupted = None  # the members of a batch are calls of their own
        signal.setitimer(signal.ITIMER_REAL, seconds, _RING_AGAIN)

    def unset_alarm(self) -> None:
        """Do not ring any more, even if the signal is on its way."""
        self._seconds = None
        signal.setitimer(signal.ITIMER_REAL, 0)

    def _ring(self, _signal: int, frame: FrameType | None) -> None:
        seconds = self._seconds
        if seconds is not None and in_function(frame) and self._is_first():
            raise SoftLimit(f"ran longer than its soft limit of {seconds:g} s", data={"seconds": seconds, "soft": True})

    def _cancel(self, _signal: int, frame: FrameType | None) -> None:
        self.cancelled = self.row.cancelled
        if self._slot.message in self.cancelled and in_function(frame) and self._is_first():
            raise StopCall("the call was cancelled")

    def _is_first(self) -> bool:
        """Whether this call has not been interrupted yet; it is now."""
        call = self._slot.message, self._slot.item[0]
        if call == self._interrupted:
            return False
        self._interrupted = call
        if self._seconds is not None:
            self.unset_alarm()
        return True


def in_function(frame: FrameType | None) -> bool:
    """Whether an exception in this frame would be one in a registered function, or in the bare call of one."""
    if frame is None:
        return False
    if frame.f_code in _CALLERS:
        return True
    while (caller := frame.f_back) is not None:
        if caller.f_code in _CALLERS and not _is_ours(frame):
            return True
        frame = caller
    return False


def _is_ours(frame: FrameType) -> bool:
    """Whether it is the package's own machinery: a check of arguments, say, and no function."""
    module = str(frame.f_globals.get("__name__", ""))
    return module.startswith(_PACKAGE + ".") and not module.startswith(_PACKAGE + ".functions.builtin.")
