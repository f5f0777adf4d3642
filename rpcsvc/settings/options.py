"""Options, each written once: its name, default, unit, what it is for, and what it may be.

    a field of ClientOptions, ServerOptions or Load, made by `option`
        --> the constructors' checks: a sentence with the option that was given and its value
        --> the flags of the command line (cli.flags), with their units and defaults
        --> the docstrings of the constructors, and the tables of README.md and docs/

A kind says what an option may be: `check` takes a value or refuses it under the name that it was given by, `read` makes
a value of the words of a command line, and leaves as text what is none, for `check` to refuse.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, TypeVar

from ..deadline import check_timeout
from ..errors import ConfigurationError
from ..wire.sizes import AUTO, check_setting
from .names import check_patterns, check_queue, check_registry

T = TypeVar("T")

_SIZES = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30}
_DIGITS = re.compile(r"[0-9]{1,18}")
_KEY = "option"


class Kind(Protocol):
    """What an option may be.

    Attributes:
        unit: what it counts, or is: the word behind its flag.
        example: how it is written on a command line; empty where everything is right.
    """

    @property
    def unit(self) -> str: ...
    @property
    def example(self) -> str: ...

    def check(self, name: str, value: Any) -> Any:
        """The value, if it is one.

        Raises:
            ConfigurationError: it is none; the sentence begins with `name`, and shows it.
        """
        ...

    def read(self, text: str) -> Any:
        """What a word of a command line stands for; the word itself, where it stands for nothing."""
        ...


@dataclass(frozen=True, slots=True)
class Seconds:
    """A duration in seconds: above 0, or also 0 (for none), or also infinite (for no end)."""

    zero: bool = False
    endless: bool = False
    unit: ClassVar[str] = "SECONDS"
    example: ClassVar[str] = "2.5"

    def check(self, name: str, value: Any) -> float:
        """As `Kind.check`."""
        return check_timeout(value, name, zero=self.zero, endless=self.endless)

    def read(self, text: str) -> float | str:
        """As `Kind.read`."""
        return _as(float, text)


@dataclass(frozen=True, slots=True)
class Whole:
    """A whole number between two bounds, both included; without the upper one there is none."""

    least: int = 1
    most: int | None = None
    unit: str = "N"
    example: ClassVar[str] = "4"

    def check(self, name: str, value: Any) -> int:
        """As `Kind.check`."""
        if type(value) is not int or value < self.least or (self.most is not None and value > self.most):
            bounds = f"of at least {self.least}" if self.most is None else f"from {self.least} to {self.most}"
            raise ConfigurationError(f"{name} must be a whole number {bounds}, not {value!r}")
        return value

    def read(self, text: str) -> int | str:
        """As `Kind.read`."""
        return _as(int, text)


@dataclass(frozen=True, slots=True)
class Number:
    """A number between two bounds, both included."""

    least: float
    most: float
    unit: str
    example: ClassVar[str] = "2.5"

    def check(self, name: str, value: Any) -> float:
        """As `Kind.check`."""
        if isinstance(value, bool) or not isinstance(value, int | float) or not self.least <= value <= self.most:
            raise ConfigurationError(f"{name} must be a number from {self.least:g} to {self.most:.0f}, not {value!r}")
        return value

    def read(self, text: str) -> float | str:
        """As `Kind.read`."""
        return _as(float, text)


@dataclass(frozen=True, slots=True)
class Size:
    """A size in bytes, of at least so many."""

    least: int
    unit: ClassVar[str] = "BYTES"
    example: ClassVar[str] = "512M"

    def check(self, name: str, value: Any) -> int:
        """As `Kind.check`."""
        if type(value) is not int or value < self.least:
            raise ConfigurationError(f"{name} must be a whole number of bytes, of at least {self.least}, not {value!r}")
        return value

    def read(self, text: str) -> int | str:
        """Bytes, as `1048576`, or with K, M or G behind the number for 1024 to the power of 1, 2 or 3."""
        unit = text[-1:].upper() if text[-1:].upper() in _SIZES else ""
        number = text[: len(text) - len(unit)]
        return int(number) * _SIZES[unit] if _DIGITS.fullmatch(number) else text


@dataclass(frozen=True, slots=True)
class MessageSize(Size):
    """The size in bytes that a message may have, or "auto" for what suits the broker."""

    least: int = 0

    def check(self, name: str, value: Any) -> Any:
        """As `Kind.check`."""
        return check_setting(name, value)

    def read(self, text: str) -> int | str:
        """As `Size.read`; "auto" is itself."""
        return text if text == AUTO else Size.read(self, text)


@dataclass(frozen=True, slots=True)
class Choice:
    """One of some words."""

    words: tuple[str, ...]
    example: ClassVar[str] = ""

    @property
    def unit(self) -> str:
        """The words, for a usage line."""
        return "|".join(self.words)

    def check(self, name: str, value: Any) -> str:
        """As `Kind.check`."""
        if not isinstance(value, str) or value not in self.words:
            raise ConfigurationError(f"{name} must be {' or '.join(map(repr, self.words))}, not {value!r}")
        return value

    def read(self, text: str) -> str:
        """As `Kind.read`."""
        return text


@dataclass(frozen=True, slots=True)
class Truth:
    """True or False; what an option is for holds where it is True.

    Attributes:
        off: the flag that makes it False, where it has one in place of a yes or no.
    """

    off: str = ""
    unit: ClassVar[str] = "yes|no"
    example: ClassVar[str] = "no"

    def check(self, name: str, value: Any) -> bool:
        """As `Kind.check`."""
        if type(value) is not bool:
            words = "yes or no" if name.startswith("-") else "True or False"
            raise ConfigurationError(f"{name} must be {words}, not {value!r}")
        return value

    def read(self, text: str) -> bool | str:
        """As `Kind.read`."""
        return {"yes": True, "no": False}.get(text, text)


@dataclass(frozen=True, slots=True)
class Named:
    """A name, or several, that a function checks (settings.names)."""

    unit: str
    checked: Callable[[Any], Any]
    example: ClassVar[str] = ""

    def check(self, name: str, value: Any) -> Any:
        """As `Kind.check`."""
        try:
            return self.checked(value)
        except ConfigurationError as error:
            raise ConfigurationError(f"{name}: {error}") from None

    def read(self, text: str) -> str:
        """As `Kind.read`."""
        return text


SERVED_QUEUE = Named("QUEUE", lambda value: check_queue(value, declared=True))
CALLED_QUEUE = Named("QUEUE", lambda value: check_queue(value, declared=False))
REGISTRY = Named("MODULE:REGISTRY", check_registry)


@dataclass(frozen=True, slots=True)
class Patterns:
    """Patterns of names, in a list; their flag may be given several times."""

    unit: ClassVar[str] = "PATTERN"
    example: ClassVar[str] = ""

    def check(self, name: str, value: Any) -> tuple[str, ...]:
        """As `Kind.check`."""
        return check_patterns(name, value)

    def read(self, text: str) -> tuple[str, ...]:
        """As `Kind.read`: a list of one."""
        return (text,)


@dataclass(frozen=True, slots=True)
class Option:
    """One option.

    Attributes:
        name: of the constructor's parameter.
        default: what holds where it is not given; None, which may be given too, is what `otherwise` says.
        kind: what it may be.
        help: what it is for, in a clause that begins in lower case and ends without a full stop.
        otherwise: what a default of None, or of nothing, stands for.
        flag: on the command line.
    """

    name: str
    default: Any
    kind: Kind
    help: str
    otherwise: str
    flag: str

    def check(self, value: Any, name: str | None = None) -> Any:
        """The value, if it is one, as the kind has it.

        Args:
            value: what was given.
            name: what it was given by; None is the constructor's parameter.

        Raises:
            ConfigurationError: it is none.
        """
        if value is None and self.default is None:
            return None
        return self.kind.check(name or self.name, value)

    def read(self, text: str) -> Any:
        """The value that stands behind the flag.

        Raises:
            ConfigurationError: it is none; the sentence begins with the flag.
        """
        value = self.kind.read(text)
        try:
            return self.check(value, self.flag)
        except ConfigurationError as error:
            example = f"; for instance {self.flag} {self.kind.example}" if value is text and self.kind.example else ""
            raise ConfigurationError(f"{error}{example}") from None

    @property
    def shown_default(self) -> str:
        """The default in words; empty where there is nothing to say."""
        if self.default is None or self.default == ():
            return self.otherwise
        if isinstance(self.default, bool):
            return "yes" if self.default else "no"
        return f"{self.default:g}" if isinstance(self.default, float) else str(self.default)


# These two are checked where URLs are read (settings.urls): no table of options may hold a password.
URL = Option(
    "url",
    None,
    Named("URL", str),
    "the broker's, amqp://USER:PASSWORD@HOST:PORT/VHOST; of a cluster several, in a list or with commas between",
    "RPCSVC_URL, then the running private node, then guest at this host",
    "--url",
)
SSL_CONTEXT = Option(
    "ssl_context", None, Named("", str), "for amqps, in place of what the URL can say of TLS", "none", ""
)


def option(default: Any, kind: Kind, help: str, *, otherwise: str = "", flag: str = "") -> Any:  # noqa: A002
    """A field of a frozen dataclass that is an option; see `Option` for the arguments."""
    return dataclasses.field(default=default, metadata={_KEY: (kind, " ".join(help.split()), otherwise, flag)})


def options_of(cls: type) -> Iterator[Option]:
    """The options of a class, in their order."""
    for field in dataclasses.fields(cls):
        if _KEY in field.metadata:
            kind, text, otherwise, flag = field.metadata[_KEY]
            flag = flag or "--" + field.name.replace("_", "-")
            yield Option(field.name, field.default, kind, text, otherwise, flag)


def check_options(options: Any) -> None:
    """Check each option of a frozen dataclass, in its `__post_init__`, and put in its place what the kind makes of it.

    Raises:
        ConfigurationError: one is wrong.
    """
    for each in options_of(type(options)):
        object.__setattr__(options, each.name, each.check(getattr(options, each.name)))


def documented(*options: Option) -> Callable[[type[T]], type[T]]:
    """Write what each option is for into the docstring of a class whose constructor takes them, at its `{options}`."""

    def write(cls: type[T]) -> type[T]:
        if cls.__doc__ is not None:  # python -OO
            entries = "\n".join(map(_entry, options)).lstrip()
            cls.__doc__ = inspect.cleandoc(cls.__doc__).replace("{options}", entries)
        return cls

    return write


def _entry(option: Option) -> str:
    unit = option.kind.unit.lower() if option.kind.unit in ("SECONDS", "BYTES") else ""
    facts = "; ".join(filter(None, (unit, option.shown_default)))
    return textwrap.fill(
        f"{option.name} ({facts}): {option.help}.", 116, initial_indent="    ", subsequent_indent="        "
    )


def _as(read: Callable[[str], T], text: str) -> T | str:
    try:
        return read(text)
    except ValueError:
        return text
