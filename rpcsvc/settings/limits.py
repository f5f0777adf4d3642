"""What a call may take: time and memory. A function has limits of its own, or takes the server's."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import ConfigurationError
from .kinds import Seconds, Size

MIN_MEMORY_LIMIT = 2**20
"""Bytes. Less is a slip of the pen: a number of megabytes."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a call may take, in seconds, and how much memory, in bytes; None is as much as it likes.

    Attributes:
        soft: after this TimeLimitExceeded is raised inside the function.
        hard: after this its worker is killed, whatever it does.
        memory: a worker that has taken more is killed.
    """

    soft: float | None = None
    hard: float | None = None
    memory: int | None = None

    def __post_init__(self) -> None:
        for name, seconds in (("soft_time_limit", self.soft), ("time_limit", self.hard)):
            if seconds is not None:
                Seconds().check(name, seconds)
        check_order(self.soft, self.hard)
        if self.memory is not None:
            Size(least=MIN_MEMORY_LIMIT).check("memory_limit", self.memory)

    def or_else(self, other: Limits) -> Limits:
        """These, and for what is None here, the other's."""
        hard = other.hard if self.hard is None else self.hard
        soft = other.soft if self.soft is None else self.soft
        memory = other.memory if self.memory is None else self.memory
        return Limits(None if soft is not None and hard is not None and soft >= hard else soft, hard, memory)

    def __bool__(self) -> bool:
        return self != NO_LIMITS


def check_order(
    soft: float | None, hard: float | None, names: tuple[str, str] = ("soft_time_limit", "time_limit")
) -> None:
    """Check that a soft time limit is below the hard one, both in seconds, by the names that they were given by.

    Raises:
        ConfigurationError: it is not.
    """
    if soft is not None and hard is not None and soft >= hard:
        raise ConfigurationError(
            f"{names[0]} must be below the hard one, {names[1]}, or it would never come: {soft:g} is not below {hard:g}"
        )


NO_LIMITS = Limits()
