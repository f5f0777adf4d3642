"""Limits of calls, on the worker's side.

Before a function with a limit runs, the worker writes down when its time is up; the server looks at that, and kills the
worker when the time has passed. So the hard limit holds whatever the function does: a loop in C that keeps the
interpreter's lock, a deadlock, a stopped process. The soft limit is an alarm signal that raises inside the function, as
soon as the interpreter gets to it. A function with a soft limit must leave SIGALRM alone.

The memory limit is written down in the same way, and the server looks how much the worker has taken. A function may
take memory faster than anybody looks, so the kernel holds it to a second limit, somewhat above; what it asks for beyond
that is a MemoryError inside the function.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from ...functions.function import Function
from ...functions.registration import Registry
from ...settings.limits import Limits
from ..memory import Ceiling, private_bytes
from ..scoreboard import Row, Slot
from .dispatch import Rules
from .exceptions import NoMemory
from .interrupts import Interrupts, call_function
from .stops import Ticket


def enforce(registry: Registry, rules: Rules, row: Row, interrupts: Interrupts) -> Registry:
    """The registry with every function that has limits held to them."""
    defaults = Limits(rules.soft_time_limit, rules.time_limit, rules.memory_limit)
    functions = (*registry, *(handler.function for handler in registry.handlers.values()))
    every = [function.limits.or_else(defaults) for function in functions]
    tasks = new_tasks(functions)
    if any(limits.soft is not None for limits in every):
        interrupts.use_alarm()
    ceiling = Ceiling() if any(limits.memory is not None for limits in every) else None
    if ceiling is not None:
        row.memory_at_start = ceiling.at_start

    def wrap(function: Function) -> Callable[..., Any]:
        call, limits = function.call, function.limits.or_else(defaults)
        if function.is_async:
            call = _in_task(call, tasks)
        if limits.memory is not None:
            assert ceiling is not None
            call = _limited_in_memory(call, limits.memory, row.slots[0], ceiling)
        if limits.soft is not None or limits.hard is not None:
            call = _limited_in_time(call, limits, row.slots[0], interrupts)
        return call

    return registry.wrapped(wrap)


def new_tasks(functions: Iterable[Function]) -> Callable[[], Ticket]:
    """What makes the ticket of each call of a coroutine function; a loop runs for them, if there is such a function."""
    if not any(function.is_async for function in functions):
        return Ticket
    from .coroutines import Loop, Task  # noqa: PLC0415 asyncio, where it is needed

    return partial(Task, Loop())


def _in_task(call: Callable[..., Any], tasks: Callable[[], Ticket]) -> Callable[..., Any]:
    return lambda *args, **kwargs: tasks().run(partial(call, *args, **kwargs))


def _limited_in_time(
    call: Callable[..., Any], limits: Limits, slot: Slot, interrupts: Interrupts
) -> Callable[..., Any]:
    def limited(*args: Any, **kwargs: Any) -> Any:
        try:
            if limits.hard is not None:
                slot.deadline = time.monotonic_ns() + int(limits.hard * 1e9)
            if limits.soft is not None:
                interrupts.set_alarm(limits.soft)
            return call_function(call, args, kwargs)
        finally:
            if limits.soft is not None:
                interrupts.unset_alarm()
            slot.deadline = 0

    return limited


def _limited_in_memory(call: Callable[..., Any], limit: int, slot: Slot, ceiling: Ceiling) -> Callable[..., Any]:
    def limited(*args: Any, **kwargs: Any) -> Any:
        try:
            slot.memory_limit = limit
            ceiling.put_up(limit)
            return call_function(call, args, kwargs)
        except MemoryError:
            ceiling.take_down()
            data = {
                "limit": limit,
                "used": private_bytes(os.getpid()) - ceiling.at_start,
            }  # of which the traceback holds what the function had
            raise NoMemory(f"asked for more memory than its limit of {limit} bytes leaves", data=data) from None
        finally:
            ceiling.take_down()
            slot.memory_limit = 0

    return limited
