"""When work that failed is tried again: casts and events, whose publishers do not wait. Pure.

A call is not: its caller is told, and decides. Attempts are counted from 1; an attempt is one run of the function,
however it ended. What a server and a worker decide is here, so that both count alike:

    what has ended an attempt           tried again while attempts are left       waits
    RetryLater, raised by the function  of `retry`, else 20                       the seconds that it asks for
    a lost worker, a limit              of `retry`, else 3, if it is idempotent   by `retry`, else 1 s, 2 s
    any other exception                 of `retry`, if that takes its class       by `retry`
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..errors import ConfigurationError
from ..errors.later import MOST_DELAY

MAX_ATTEMPTS = 1000
LATER_ATTEMPTS = 20
"""How often a function without a `retry` of its own is tried that raises RetryLater."""


@dataclass(frozen=True, slots=True)
class Retry:
    """How a cast, or an event, is tried again whose function has raised.

        @registry.function(retry=Retry(attempts=5, on=(OSError,)))
        def resize(path: str, width: int) -> None: ...

    The second attempt comes `back_off` seconds after the first, and each further one after twice as long as the one
    before: 1, 2, 4, 8 s. Brokers count whole seconds here, so a part of one is a whole one.

    Args:
        attempts: how often it is tried, the first time included.
        back_off: seconds before the second attempt; 0 is at once.
        up_to: the most seconds that are waited.
        on: the exceptions after which it is tried again, as `except` takes them. Others end it.

    Raises:
        ConfigurationError: one of them cannot be.
    """

    attempts: int = 5
    back_off: float = 1.0
    up_to: float = 3600.0
    on: Any = (Exception,)

    def __post_init__(self) -> None:
        if type(self.attempts) is not int or not 1 <= self.attempts <= MAX_ATTEMPTS:
            raise ConfigurationError(f"Retry: attempts is 1 to {MAX_ATTEMPTS}, not {self.attempts!r}")
        for name in ("back_off", "up_to"):
            seconds = getattr(self, name)
            if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds <= MOST_DELAY:
                raise ConfigurationError(f"Retry: {name} is 0 to {MOST_DELAY} seconds (12 days), not {seconds!r}")
        on = self.on if isinstance(self.on, tuple) else (self.on,)
        for each in on:
            if not isinstance(each, type) or not issubclass(each, BaseException):
                raise ConfigurationError(
                    f"Retry: on is an exception class or a tuple of such, as (OSError,), not {self.on!r}"
                )
        object.__setattr__(self, "on", on)

    def delay(self, attempt: int) -> float:
        """Seconds from that attempt, counted from 1, to the next."""
        return min(self.up_to, self.back_off * 2.0 ** min(attempt - 1, MAX_ATTEMPTS))

    def takes(self, error: BaseException) -> bool:
        """Whether `on` names its class, or one above."""
        # As `except` sees it: what a metaclass has to say of instances is not asked.
        return any(each in type(error).__mro__ for each in self.on)

    def after(self, attempt: int) -> float | None:
        """Seconds until the next attempt; None if that attempt was the last."""
        return self.delay(attempt) if attempt < self.attempts else None


WHEN_LOST = Retry(attempts=3)
"""For a lost worker, and a limit, where a function has no `retry` of its own."""


def after_loss(retry: Retry | None, attempt: int, *, idempotent: bool) -> float | None:
    """Seconds until work is tried again whose worker was lost over it, or that went over a limit; None if it is not.

    Args:
        retry: the function's own.
        attempt: the number of the one that has failed, from 1.
        idempotent: whether the function may run twice.
    """
    return (retry or WHEN_LOST).after(attempt) if idempotent else None


def after_later(retry: Retry | None, attempt: int, seconds: float) -> float | None:
    """Likewise, for work whose function has raised RetryLater: it says itself that nothing was done.

    Args:
        seconds: what it asks for.
    """
    most = LATER_ATTEMPTS if retry is None else retry.attempts
    return seconds if attempt < most else None


def after_raise(retry: Retry | None, attempt: int, error: BaseException) -> float | None:
    """Likewise, for work whose function has raised anything else."""
    return retry.after(attempt) if retry is not None and retry.takes(error) else None
