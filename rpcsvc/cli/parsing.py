"""The parser of command lines: argparse, with sentences that say what was given, what is wrong, and what to type."""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Sequence
from typing import Any, NoReturn

_MISSING = "the following arguments are required"
_PLAIN = "\0"
"""Before a word that is no option, whatever it looks like. No word of a command line holds a NUL."""


class Parser(argparse.ArgumentParser):
    """The parser of the command, or of one of its subcommands.

    Args:
        missing: what to say when something that must be given is not.
        surplus: what to add when there is an argument too many.
        dashed: what to add when there is an option that is not known.
        not_a_command: what to add when a subcommand is not known.
        intermixed: whether positional arguments may stand before, between and behind options.
    """

    def __init__(
        self,
        *args: Any,
        missing: str = "",
        surplus: str = "",
        dashed: str = "",
        not_a_command: str = "",
        intermixed: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(*args, **options)
        self._missing = missing
        self._surplus = surplus
        self._dashed = dashed
        self._not_a_command = not_a_command
        self._intermixed = intermixed
        self._is_inside = False

    def parse_known_args(  # type: ignore[override] # argparse has overloads for foreign namespaces
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Parse as argparse does, but what is not known is an error at once: this parser can say what it knows."""
        if not self._intermixed or self._is_inside or args is None:
            found, extra = super().parse_known_args(args, namespace)
        else:
            self._is_inside = True  # the next line comes here again
            found, extra = self.parse_known_intermixed_args(_options_up_to_two_dashes(args), namespace)
            self._is_inside = False
            for action in self._get_positional_actions():
                setattr(found, action.dest, _as_given(getattr(found, action.dest)))
        if extra and not self._is_inside:
            self.error(self._too_many(extra))
        return found, extra

    def error(self, message: str) -> NoReturn:
        """Print the usage and the sentence, and exit with 2."""
        self._is_inside = False
        if message.startswith(_MISSING) and self._missing:
            message = self._missing
        elif message.startswith("argument COMMAND: invalid choice"):
            message += self._not_a_command
        super().error(message)

    def _too_many(self, extra: list[str]) -> str:
        known = [name for action in self._actions for name in action.option_strings]
        options = [word for word in extra if word.startswith("-") and len(word) > 1]
        if not options:
            return f"{extra[0]!r} is one argument too many{self._surplus}"
        name = options[0].partition("=")[0]
        close = difflib.get_close_matches(name, known, n=1)
        meant = f"did you mean {close[0]}? " if close else ""
        return f"there is no option {name!r}; {meant}{self.prog} --help lists them{self._dashed}"


def _options_up_to_two_dashes(words: Sequence[str]) -> list[str]:
    """The words, of which those behind `--` are marked as no options."""
    end = words.index("--") if "--" in words else len(words)
    return [*words[:end], *(_PLAIN + word for word in words[end + 1 :])]


def _as_given(value: Any) -> Any:
    if isinstance(value, list):
        return [_as_given(each) for each in value]
    return value.removeprefix(_PLAIN) if isinstance(value, str) else value
