"""What a call may take: time and memory. A function has limits of its own, or takes the server's."""

from __future__ import annotations

from dataclasses import dataclass

from ..deadline import check_timeout
from ..errors import ConfigurationError

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
        for name, seconds in (("the soft time limit", self.soft), ("the time limit", self.hard)):
            if seconds is not None:
                check_timeout(seconds, name)
        if self.soft is not None and self.hard is not None and self.soft >= self.hard:
            raise ConfigurationError("a soft time limit must be below the hard one, or it would never come")
        if self.memory is not None and (type(self.memory) is not int or self.memory < MIN_MEMORY_LIMIT):
            raise ConfigurationError(
                f"a memory limit is a whole number of bytes, at least {MIN_MEMORY_LIMIT}, not {self.memory!r}"
            )

    def or_else(self, other: Limits) -> Limits:
        """These, and for what is None here, the other's."""
        hard = other.hard if self.hard is None else self.hard
        soft = other.soft if self.soft is None else self.soft
        memory = other.memory if self.memory is None else self.memory
        return Limits(None if soft is not None and hard is not None and soft >= hard else soft, hard, memory)

    def __bool__(self) -> bool:
        return self != NO_LIMITS


NO_LIMITS = Limits()
