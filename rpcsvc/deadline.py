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


def check_timeout(timeout: float, name: str = "timeout", *, zero: bool = False, endless: bool = False) -> float:
    """`timeout` as a float in seconds.

    Args:
        timeout: what was given.
        name: the option that it was given for.
        zero: whether 0 is taken, for none at all.
        endless: whether `math.inf` is taken, for no end at all.

    Raises:
        ConfigurationError: it is not a number, not above zero, or longer than MAX_TIMEOUT.
    """
    if isinstance(timeout, bool) or not isinstance(timeout, int | float):
        raise ConfigurationError(f"{name} must be a number of seconds, not {type(timeout).__name__}: {timeout!r}")
    if endless and timeout == math.inf:
        return math.inf
    if not 0 < timeout <= MAX_TIMEOUT and not (zero and timeout == 0):  # false for nan too
        try:
            float(timeout)
            shown = repr(timeout)
        except OverflowError:
            shown = "a number beyond all floats"
        or_zero, none = ", or 0 for none" if zero else "", "; math.inf is none" if endless else ""
        raise ConfigurationError(
            f"{name} must be above 0 and at most {MAX_TIMEOUT:.0f} seconds{or_zero}, not {shown}{none}"
        )
    return float(timeout)


def expiration_ms(seconds: float) -> str | None:
    """AMQP's `expiration` property for a duration: whole milliseconds in decimal, rounded up, at least 1.

    None, which is none, for an infinite one.
    """
    return None if seconds == math.inf else str(max(1, math.ceil(seconds * 1000)))
