"""Options, each written once: its name, default, unit, what it is for, and what it may be.

    a field of ClientOptions, ServerOptions or Load, made by `option`
        --> the constructors' checks: a sentence with the option that was given and its value
        --> the flags of the command line (cli.flags), with their units and defaults
        --> the docstrings of the constructors, and the tables of README.md and docs/

What an option may be is its kind (`kinds`).
"""

from __future__ import annotations

import dataclasses
import inspect
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from .kinds import Kind

T = TypeVar("T")

_KEY = "option"


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

    def check(self, value: Any) -> Any:
        """The value, if the option may have it.

        Raises:
            ConfigurationError: it may not.
        """
        return None if value is None and self.default is None else self.kind.check(self.name, value)

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
    Kind("URL"),
    "the broker's, amqp://USER:PASSWORD@HOST:PORT/VHOST; of a cluster several, in a list or with commas between",
    "RPCSVC_URL, then the running private node, then guest at this host",
    "--url",
)
SSL_CONTEXT = Option("ssl_context", None, Kind(), "for amqps, in place of what the URL can say of TLS", "none", "")


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
