"""What a function raises that cannot do its work now."""

from __future__ import annotations

from .own import ConfigurationError
from .root import RpcError

MOST_DELAY = 2**20 - 1
"""Seconds that a message can wait: 12 days."""


class RetryLater(RpcError):
    """The function cannot do its work now: a cast, or an event, is tried again after so many seconds.

    A function raises it, and says with it that nothing was done: it is tried again also if it must not run twice. It
    counts as an attempt. In a call it is `FunctionRaised` as any other exception.

    Attributes:
        seconds: how long to wait at least; parts of a second are rounded up.

    Raises:
        ConfigurationError: that is no time, or longer than can be waited.
    """

    def __init__(self, seconds: float) -> None:
        if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds <= MOST_DELAY:
            raise ConfigurationError(f"RetryLater takes 0 to {MOST_DELAY} seconds (12 days), not {seconds!r}")
        super().__init__(seconds)
        self.seconds = seconds

    def __str__(self) -> str:
        return f"again in {self.seconds:g} s"
