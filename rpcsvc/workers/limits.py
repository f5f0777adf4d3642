"""Limits of calls, on the worker's side.

Before a function with a limit runs, the worker writes down when its time is up; the server looks at that, and kills the
worker when the time has passed. So the hard limit holds whatever the function does: a loop in C that keeps the
interpreter's lock, a deadlock, a stopped process. The soft limit is an alarm signal that raises inside the function, as
soon as the interpreter gets to it. A function with a soft limit must leave SIGALRM alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from ..dispatch import Rules
from ..registry import Function, Limits, Registry
from .interrupts import Interrupts, call_function
from .progress import WorkerProgress


def enforce(registry: Registry, rules: Rules, progress: WorkerProgress, interrupts: Interrupts) -> Registry:
    """The registry with every function that has limits held to them."""
    defaults = Limits(rules.soft_time_limit, rules.time_limit)
    if any(function.limits.or_else(defaults).soft is not None for function in registry):
        interrupts.use_alarm()

    def wrap(function: Function) -> Callable[..., Any]:
        limits = function.limits.or_else(defaults)
        return _limited(function.call, limits, progress, interrupts) if limits else function.call

    return registry.wrapped(wrap)


def _limited(
    call: Callable[..., Any], limits: Limits, progress: WorkerProgress, interrupts: Interrupts
) -> Callable[..., Any]:
    def limited(*args: Any, **kwargs: Any) -> Any:
        try:
            if limits.hard is not None:
                progress.deadline = time.monotonic_ns() + int(limits.hard * 1e9)
            if limits.soft is not None:
                interrupts.set_alarm(limits.soft)
            return call_function(call, args, kwargs)
        finally:
            if limits.soft is not None:
                interrupts.unset_alarm()
            progress.deadline = 0

    return limited
