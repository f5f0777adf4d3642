"""A deadline: a point in time on a monotonic clock, made once from a time-out and asked for the time left.

Only durations travel between hosts (their clocks differ), so a Deadline never leaves its process.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from .errors import ConfigurationError

Clock = Callable[[], float]

MAX_TIMEOUT = (2**32 - 1) / 1000.0
"""The longest time-out in seconds (49.7 days): RabbitMQ refuses an `expiration` above 2^32 - 1 milliseconds."""


@dataclass(frozen=True, slots=True)
class Deadline:
    """A point in time in seconds on `clock`."""

    at: float
    clock: Clock

    @classmethod
    def after(cls, timeout: float, clock: Clock = time.monotonic) -> Deadline:
        """The deadline `timeout` seconds from now."""
        return cls(clock() + timeout, clock)

    @property
    def remaining(self) -> float:
        """Seconds left, never below zero."""
        return max(0.0, self.at - self.clock())

    @property
    def expired(self) -> bool:
        """Whether the deadline has passed."""
        return self.clock() >= self.at


def check_timeout(timeout: float) -> float:
    """`timeout` as a float in seconds.

    Raises:
        ConfigurationError: it is not a number, not above zero, or longer than MAX_TIMEOUT.
    """
    if isinstance(timeout, bool) or not isinstance(timeout, int | float):
        raise ConfigurationError(f"timeout must be a number of seconds, not {type(timeout).__name__}")
    if not 0 < timeout <= MAX_TIMEOUT:  # false for nan too
        try:
            shown = f"{timeout:g}"
        except OverflowError:
            shown = "a number beyond all floats"
        raise ConfigurationError(f"timeout must be above 0 and at most {MAX_TIMEOUT:.0f} seconds, not {shown}")
    return float(timeout)


def expiration_ms(seconds: float) -> str:
    """AMQP's `expiration` property for a duration: whole milliseconds in decimal, rounded up, at least 1."""
    return str(max(1, math.ceil(seconds * 1000)))
