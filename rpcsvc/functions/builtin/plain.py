"""Functions that compute nothing: to see a value travel, and to keep a worker busy without a load."""

from __future__ import annotations

import time
from typing import Any

from ._checks import shown

MAX_SECONDS = 3600.0
"""The longest sleep."""


def echo(value: Any) -> Any:
    """The value itself: what comes back is what the way there and back made of it."""
    return value


def sleep(seconds: float) -> float:
    """Wait, and return the seconds as a float. A worker sleeps without using its CPU.

    Args:
        seconds: 0 to MAX_SECONDS.

    Raises:
        ValueError: seconds is a bool, NaN or out of its range; there was no wait then.
    """
    if isinstance(seconds, bool) or not 0 <= seconds <= MAX_SECONDS:  # false for NaN too
        raise ValueError(f"seconds must be a number from 0 to {MAX_SECONDS:.0f}, not {shown(seconds)}")
    time.sleep(seconds)
    return float(seconds)
