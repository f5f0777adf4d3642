"""The flags of options: what `settings` says of each, in argparse's words.

A value is read and checked when the command line is, so what is wrong is told as the constructors tell it, under the
flag's name, and with the usage.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Collection
from typing import Any

from ..errors import ConfigurationError
from ..settings.kinds import Choice, Kind, Patterns, QueueNames, Truth
from ..settings.options import Option, options_of


def add_flags(
    parser: argparse._ActionsContainer, options: type, *, only: Collection[str] = (), without: Collection[str] = ()
) -> None:
    """Add the flags of a class's options, of those that are named only, or of all but some."""
    for option in options_of(options):
        if option.name not in without and (not only or option.name in only):
            _add(parser, option)


def given(namespace: argparse.Namespace, options: type) -> dict[str, Any]:
    """The values of a class's options, as far as there are flags for them, by the constructor's names."""
    return {each.name: getattr(namespace, each.name) for each in options_of(options) if hasattr(namespace, each.name)}


def _add(parser: argparse._ActionsContainer, option: Option) -> None:
    text = f"{option.help} ({option.shown_default})".replace("%", "%%")
    if isinstance(option.kind, Truth) and option.kind.off:
        parser.add_argument(
            option.kind.off, action="store_false", dest=option.name, help=f"without this, {option.help}"
        )
    elif isinstance(option.kind, Patterns | QueueNames):
        parser.add_argument(
            option.flag,
            action="extend",
            default=[],
            type=reader(option.flag, option.kind),
            dest=option.name,
            metavar=option.kind.unit,
            help=f"{text}; may be given several times",
        )
    else:
        parser.add_argument(
            option.flag,
            default=option.default,
            type=reader(option.flag, option.kind),
            dest=option.name,
            choices=option.kind.words if isinstance(option.kind, Choice) else None,
            metavar=option.kind.unit,
            help=text,
        )


def reader(flag: str, kind: Kind) -> Callable[[str], Any]:
    """What argparse calls to read and check the word behind a flag."""

    def read(text: str) -> Any:
        value = kind.read(text)
        try:
            return kind.check(flag, value)
        except ConfigurationError as error:
            example = f"; for instance {flag} {kind.example}" if value is text and kind.example else ""
            # Without an argument, whose name argparse would put before the sentence: it begins with that.
            raise argparse.ArgumentError(None, f"{error}{example}") from None

    return read
