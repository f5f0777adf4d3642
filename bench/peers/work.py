"""The work: what every peer's server computes, with which argument, and what must come back."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from rpcsvc import Registry
from rpcsvc.functions import echo, fib

PAYLOAD_SIZE = 8 * 2**20


def busy(seconds: float) -> float:
    """Burn the CPU for some seconds, like a function that computes; unlike `sleep` it does not overshoot."""
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass
    return seconds


FUNCTIONS: dict[str, Callable[..., Any]] = {"fib": fib, "busy": busy, "echo": echo}

registry = Registry(default="fib")
for _function in FUNCTIONS.values():
    registry.function(_function)


def argument_of(function: str) -> Any:
    """The argument of every call of `function`; for `echo` the bytes that the limit sends too."""
    if function == "echo":
        return bytes(range(256)) * (PAYLOAD_SIZE // 256)
    return {"fib": 30, "busy": 0.01}[function]


def result_of(function: str) -> Any:
    """The right result for that argument."""
    return 832040 if function == "fib" else argument_of(function)
