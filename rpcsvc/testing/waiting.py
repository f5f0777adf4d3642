"""Waiting in tests: for conditions, with a bound, and in one unit of time that a slow machine can stretch."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

TIME_FACTOR = float(os.environ.get("RPCSVC_TEST_TIME_FACTOR", "1"))
"""How much longer than on a quiet machine anything may take."""


def scaled(seconds: float) -> float:
    """`seconds` of a quiet machine, as many as they may be on this one (RPCSVC_TEST_TIME_FACTOR times as many)."""
    return seconds * TIME_FACTOR


def wait_until(condition: Callable[[], T], *, within: float = 10.0, every: float = 0.01) -> T:
    """The first true value of `condition`, which is asked again and again.

    Args:
        within: seconds of a quiet machine, after which it has failed.
        every: seconds between two looks.

    Raises:
        AssertionError: the condition did not come true in time.
    """
    end = time.monotonic() + scaled(within)
    while not (value := condition()):
        if time.monotonic() >= end:
            raise AssertionError(f"still not so after {scaled(within):g} s")
        time.sleep(every)
    return value
