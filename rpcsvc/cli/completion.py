"""`rpcsvc completion bash | zsh`: what a shell needs to complete the words of this command. shtab writes it.

It is imported when this runs: an extra, which nothing else here needs.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from ..errors import ConfigurationError
from ..settings.kinds import Truth
from .exits import ExitCode
from .parsing import Parser

SHELLS = ("bash", "zsh")


def add_parser(subparsers: argparse._SubParsersAction[Parser], whole: argparse.ArgumentParser) -> None:
    """Add this subcommand; `whole` is the parser of the whole command."""
    parser = subparsers.add_parser(
        "completion",
        help="print what a shell completes this command by",
        description="Print what a shell completes this command by: for bash into a file rpcsvc in "
        "~/.local/share/bash-completion/completions, for zsh into a file _rpcsvc in a folder of $fpath.",
        missing="say for which shell: rpcsvc completion bash or rpcsvc completion zsh",
    )
    parser.add_argument("shell", choices=SHELLS, help="the shell")
    parser.set_defaults(run=partial(run, whole))


def run(whole: argparse.ArgumentParser, options: argparse.Namespace) -> int:
    """Print it."""
    try:
        import shtab  # noqa: PLC0415 the extra may be missing
    except ModuleNotFoundError:
        raise ConfigurationError("this needs shtab, which is not here: pip install 'rpcsvc[cli]'") from None
    for action in _actions(whole):
        if action.type is Path:
            action.complete = shtab.FILE  # type: ignore[attr-defined] # shtab looks for it there
        elif action.metavar == Truth().unit:
            action.choices = Truth().unit.split("|")
    print(shtab.complete(whole, options.shell))
    return ExitCode.OK


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    for action in parser._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for below in action.choices.values():
                yield from _actions(below)
