"""The flags of options: what `settings` says of each, in argparse's words.

A value is read and checked when the command line is, so what is wrong is told as the constructors tell it, under the
flag's name, and with the usage.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Collection
from typing import Any

from ..errors import ConfigurationError
from ..settings.options import Choice, Option, Patterns, Truth, options_of


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
    elif isinstance(option.kind, Patterns):
        parser.add_argument(
            option.flag,
            action="extend",
            default=[],
            type=_reader(option),
            dest=option.name,
            metavar=option.kind.unit,
            help=f"{text}; may be given several times",
        )
    else:
        parser.add_argument(
            option.flag,
            default=option.default,
            type=_reader(option),
            dest=option.name,
            choices=option.kind.words if isinstance(option.kind, Choice) else None,
            metavar=option.kind.unit,
            help=text,
        )


def _reader(option: Option) -> Callable[[str], Any]:
    def read(text: str) -> Any:
        try:
            return option.read(text)
        except ConfigurationError as error:
            # Without an argument, whose name argparse would put before the sentence: it begins with that.
            raise argparse.ArgumentError(None, str(error)) from None

    return read
