"""Time limits of calls, on the worker's side.

Before a function with a limit runs, the worker writes down when its time is up; the server looks at that, and kills the
worker when the time has passed. So the hard limit holds whatever the function does: a loop in C that keeps the
interpreter's lock, a deadlock, a stopped process. The soft limit is an alarm signal that raises inside the function, as
soon as the interpreter gets to it. A function with a soft limit must leave SIGALRM alone.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

from ..dispatch import Rules
from ..raising import SoftLimit
from ..registry import Function, Limits, Registry
from .progress import WorkerProgress


def enforce(registry: Registry, rules: Rules, progress: WorkerProgress) -> Registry:
    """The registry with every function that has limits held to them."""
    defaults = Limits(rules.soft_time_limit, rules.time_limit)
    # Without soft limits SIGALRM is the functions' own.
    alarm = _Alarm() if any(function.limits.or_else(defaults).soft is not None for function in registry) else None

    def wrap(function: Function) -> Callable[..., Any]:
        limits = function.limits.or_else(defaults)
        return _limited(function.call, limits, progress, alarm) if limits else function.call

    return registry.wrapped(wrap)


class _Alarm:
    """SIGALRM as an exception in the function that runs, and nowhere else."""

    def __init__(self) -> None:
        self._seconds: float | None = None
        signal.signal(signal.SIGALRM, self._ring)

    def set(self, seconds: float) -> None:
        """Ring after so many seconds."""
        self._seconds = seconds
        signal.setitimer(signal.ITIMER_REAL, seconds)

    def unset(self) -> None:
        """Do not ring any more, even if the signal is on its way."""
        self._seconds = None
        signal.setitimer(signal.ITIMER_REAL, 0)

    def _ring(self, _signal: int, _frame: FrameType | None) -> None:
        seconds, self._seconds = self._seconds, None
        if seconds is not None:
            raise SoftLimit(f"ran longer than its soft limit of {seconds:g} s", data={"seconds": seconds, "soft": True})


def _limited(
    call: Callable[..., Any], limits: Limits, progress: WorkerProgress, alarm: _Alarm | None
) -> Callable[..., Any]:
    def limited(*args: Any, **kwargs: Any) -> Any:
        try:
            if limits.hard is not None:
                progress.deadline = time.monotonic_ns() + int(limits.hard * 1e9)
            if alarm is not None and limits.soft is not None:
                alarm.set(limits.soft)
            return call(*args, **kwargs)
        finally:
            if alarm is not None:
                alarm.unset()
            progress.deadline = 0

    return limited
