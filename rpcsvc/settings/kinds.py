"""What an option may be: seconds, a whole number, a size, one of some words …

A kind checks a value, and refuses it under the name that it was given by, a constructor's parameter or a flag. It reads
the words of a command line too, and leaves as text what it cannot read, for its check to refuse.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from ..deadline import check_timeout
from ..errors import ConfigurationError
from ..wire.sizes import AUTO, MAX_BODY, MIN_LIMIT
from .names import check_patterns, check_queue, check_registry

T = TypeVar("T")

_SIZES = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30}
_DIGITS = re.compile(r"[0-9]{1,18}")


@dataclass(frozen=True, slots=True)
class Kind:
    """The root of all kinds: any text.

    Attributes:
        unit: what it counts, or is, in the word behind its flag.
        example: how it is written on a command line; empty where everything is right.
    """

    unit: str = ""
    example: str = field(default="", kw_only=True)

    def check(self, _name: str, value: Any) -> Any:
        """The value, if it is one.

        Raises:
            ConfigurationError: it is none; the sentence begins with the name, and shows the value.
        """
        return value

    def read(self, text: str) -> Any:
        """The value that a word of a command line stands for; the word itself, where it stands for none."""
        return text


@dataclass(frozen=True, slots=True)
class Seconds(Kind):
    """A duration in seconds: above 0, or also 0 (for none), or also infinite (for no end)."""

    unit: str = "SECONDS"
    zero: bool = False
    endless: bool = False
    example: str = field(default="2.5", kw_only=True)

    def check(self, name: str, value: Any) -> float:
        return check_timeout(value, name, zero=self.zero, endless=self.endless)

    def read(self, text: str) -> float | str:
        return _as(float, text)


@dataclass(frozen=True, slots=True)
class Whole(Kind):
    """A whole number between two bounds, both included; where the upper one is None, there is none."""

    unit: str = "N"
    least: int = 1
    most: int | None = None
    example: str = field(default="4", kw_only=True)

    def check(self, name: str, value: Any) -> int:
        if type(value) is not int or value < self.least or (self.most is not None and value > self.most):
            bounds = f"of at least {self.least}" if self.most is None else f"from {self.least} to {self.most}"
            raise ConfigurationError(f"{name} must be a whole number {bounds}, not {value!r}")
        return value

    def read(self, text: str) -> int | str:
        return _as(int, text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Number(Kind):
    """A number between two bounds, both included."""

    least: float
    most: float
    example: str = field(default="2.5", kw_only=True)

    def check(self, name: str, value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not self.least <= value <= self.most:
            raise ConfigurationError(f"{name} must be a number from {self.least:g} to {self.most:.0f}, not {value!r}")
        return value

    def read(self, text: str) -> float | str:
        return _as(float, text)


@dataclass(frozen=True, slots=True)
class Size(Kind):
    """A size in bytes, of at least so many. A command line may put K, M or G behind it (1024, and its powers)."""

    unit: str = "BYTES"
    least: int = 0
    example: str = field(default="512M", kw_only=True)

    def check(self, name: str, value: Any) -> Any:
        if type(value) is not int or value < self.least:
            raise ConfigurationError(f"{name} must be a whole number of bytes, of at least {self.least}, not {value!r}")
        return value

    def read(self, text: str) -> int | str:
        unit = text[-1:].upper() if text[-1:].upper() in _SIZES else ""
        number = text[: len(text) - len(unit)]
        return int(number) * _SIZES[unit] if _DIGITS.fullmatch(number) else text


class MessageSize(Size):
    """The size in bytes that a message may have, or "auto" for what suits the broker."""

    def check(self, name: str, value: Any) -> Any:
        if value != AUTO and (type(value) is not int or not MIN_LIMIT <= value <= MAX_BODY):
            bounds = f'"{AUTO}" or a whole number of bytes from {MIN_LIMIT} to {MAX_BODY}'
            raise ConfigurationError(f"{name} must be {bounds}, not {value!r}")
        return value

    def read(self, text: str) -> int | str:
        return text if text == AUTO else super().read(text)


class Choice(Kind):
    """One of some words."""

    def __init__(self, *words: str) -> None:
        super().__init__("|".join(words))

    @property
    def words(self) -> tuple[str, ...]:
        """The words."""
        return tuple(self.unit.split("|"))

    def check(self, name: str, value: Any) -> str:
        if not isinstance(value, str) or value not in self.words:
            raise ConfigurationError(f"{name} must be {' or '.join(map(repr, self.words))}, not {value!r}")
        return value


@dataclass(frozen=True, slots=True)
class Truth(Kind):
    """True or False; what an option is for holds where it is True.

    Attributes:
        off: the flag that makes it False, where it has one in place of a yes or no.
    """

    unit: str = "yes|no"
    off: str = ""
    example: str = field(default="no", kw_only=True)

    def check(self, name: str, value: Any) -> bool:
        if type(value) is not bool:
            words = "yes or no" if name.startswith("-") else "True or False"
            raise ConfigurationError(f"{name} must be {words}, not {value!r}")
        return value

    def read(self, text: str) -> bool | str:
        return {"yes": True, "no": False}.get(text, text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Named(Kind):
    """A name that a function checks (settings.names)."""

    checked: Callable[[Any], Any]

    def check(self, name: str, value: Any) -> Any:
        try:
            return self.checked(value)
        except ConfigurationError as error:
            raise ConfigurationError(f"{name}: {error}") from None


@dataclass(frozen=True, slots=True)
class Patterns(Kind):
    """Patterns of names, in a list; their flag may be given several times."""

    unit: str = "PATTERN"

    def check(self, name: str, value: Any) -> tuple[str, ...]:
        return check_patterns(name, value)

    def read(self, text: str) -> tuple[str, ...]:
        return (text,)


@dataclass(frozen=True, slots=True)
class QueueNames(Kind):
    """Names of queues that are there, in a list; their flag may be given several times."""

    unit: str = "QUEUE"

    def check(self, name: str, value: Any) -> tuple[str, ...]:
        if isinstance(value, str | bytes) or not isinstance(value, Iterable):
            raise ConfigurationError(f"{name} is a list of names of queues, for instance ['task_queue'], not {value!r}")
        return tuple(dict.fromkeys(CALLED_QUEUE.check(name, each) for each in value))

    def read(self, text: str) -> tuple[str, ...]:
        return (text,)


SERVED_QUEUE = Named("QUEUE", checked=lambda value: check_queue(value, declared=True))
CALLED_QUEUE = Named("QUEUE", checked=lambda value: check_queue(value, declared=False))
PORT = Whole("PORT", most=65_535, example="5672")
REGISTRY = Named("MODULE:REGISTRY", checked=check_registry)


def _as(read: Callable[[str], T], text: str) -> T | str:
    try:
        return read(text)
    except ValueError:
        return text
