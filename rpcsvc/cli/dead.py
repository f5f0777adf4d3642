"""`rpcsvc dead list | show | requeue | drop`: the casts that were given up, from a shell.

What others wrote is shown so that it cannot speak to a terminal; `--json` gives it as it is, a line for each letter.
"""

from __future__ import annotations

import argparse
import base64
import sys
from collections.abc import Sequence
from datetime import datetime

from ..client.dead_letters import DeadLetters
from ..client.sync import RpcClient
from ..errors import ConfigurationError
from ..host.logs import one_line
from ..settings.client import ClientOptions
from ..wire import values
from ..wire.letters import Letter
from .broker_url import add_url, given_url
from .exits import ExitCode
from .flags import add_flags, given
from .parsing import Parser

FLAGS = ("queue", "timeout")
"""The options of the client that matter for letters."""
HEADS = ("ID", "METHOD", "ATTEMPTS", "DIED", "HOST", "ERROR")


def add_parser(subparsers: argparse._SubParsersAction[Parser]) -> None:
    """Add `dead` with its four commands."""
    dead = subparsers.add_parser(
        "dead",
        help="look at casts that were given up, and requeue or drop them",
        missing="say what to do with dead letters: rpcsvc dead list, show ID, requeue ID or drop ID",
    )
    commands = dead.add_subparsers(dest="dead_command", metavar="COMMAND", required=True)
    for name, what, command in (
        ("list", "list the letters", _list),
        ("show", "show one letter, with its traceback and its body", _show),
        ("requeue", "put letters into the queue again that they came from, as new casts", _requeue),
        ("drop", "throw letters away", _drop),
    ):
        missing = f"say which letter: rpcsvc dead {name} ID; rpcsvc dead list shows the ids"
        parser = commands.add_parser(name, help=what, description=f"{what[0].upper()}{what[1:]}.", missing=missing)
        if name == "show":
            parser.add_argument("letter_id", metavar="ID", help="the letter's")
        elif name != "list":
            parser.add_argument("letter_id", metavar="ID", nargs="?", help="the letter's")
            parser.add_argument("--all", action="store_true", help="all letters")
        if name in ("list", "show"):
            parser.add_argument("--json", action="store_true", help="each letter as a line of JSON")
        add_flags(parser, ClientOptions, only=FLAGS)
        add_url(parser)
        parser.set_defaults(run=run, command=command)


def run(options: argparse.Namespace) -> int:
    """Do it, for the letters of a queue."""
    with RpcClient(given_url(options), connect_timeout=1.0, **given(options, ClientOptions)) as client:
        options.command(client.dead_letters(), options)
    return ExitCode.OK


def _list(dead: DeadLetters, options: argparse.Namespace) -> None:
    letters = dead.list()
    if options.json:
        for letter in letters:
            print(_as_json(letter))
    elif letters:
        print("\n".join(table([HEADS, *map(_row, letters)])))
    else:
        print(f"rpcsvc: no dead letters of {dead.queue!r}", file=sys.stderr)


def _show(dead: DeadLetters, options: argparse.Namespace) -> None:
    letter = dead.get(options.letter_id)
    print(_as_json(letter) if options.json else as_text(letter))


def _requeue(dead: DeadLetters, options: argparse.Namespace) -> None:
    if _is_for_all(options):
        print(f"{dead.requeue_all()} requeued")
    else:
        dead.requeue(options.letter_id)


def _drop(dead: DeadLetters, options: argparse.Namespace) -> None:
    if _is_for_all(options):
        print(f"{dead.drop_all()} dropped")
    else:
        dead.drop(options.letter_id)


def _is_for_all(options: argparse.Namespace) -> bool:
    if options.all == (options.letter_id is not None):
        what = f"rpcsvc dead {options.dead_command}"
        raise ConfigurationError(f"say which letters: {what} ID, or {what} --all")
    return bool(options.all)


# ---- as it is shown


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows as lines with their columns below each other; the last one is as long as it is."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)][:-1]
    return [
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]]) for row in rows
    ]


def _row(letter: Letter) -> tuple[str, ...]:
    error = f"{letter.error_type}: {letter.error}" if letter.error_type else letter.error
    method = "-" if letter.method is None else letter.method
    shown = (letter.letter_id, method, str(letter.attempts), _moment(letter.died), letter.host or "-", error)
    return tuple(map(one_line, shown))


def as_text(letter: Letter) -> str:
    """One letter for people."""
    body = letter.body.decode("utf-8", "backslashreplace")
    told = {
        "id": letter.letter_id,
        "method": letter.method,
        "error": letter.error,
        "type": letter.error_type,
        "attempts": letter.attempts,
        "first published": _moment(letter.first_published),
        "died": _moment(letter.died),
        "host": letter.host,
        "came from": letter.came_from,
        "headers": dict(letter.headers) or None,
    }
    lines = [
        f"{name + ':':17}{one_line(str(value), None)}" for name, value in told.items() if value not in (None, "", "-")
    ]
    lines += ["body:", *_indented(body)]
    if letter.traceback:
        lines += ["traceback:", *_indented(letter.traceback)]
    return "\n".join(lines)


def _indented(text: str) -> list[str]:
    return [f"  {one_line(line, None)}" for line in text.rstrip("\n").split("\n")]


def _moment(milliseconds: int | None) -> str:
    if milliseconds is None:
        return "-"
    try:
        return datetime.fromtimestamp(milliseconds / 1000).isoformat(" ", "seconds")
    except (OverflowError, OSError, ValueError):  # whoever wrote it
        return "?"


def _as_json(letter: Letter) -> str:
    """One letter for programs: times in milliseconds since 1970, and the body as text, or else in base64."""
    shown = {
        "id": letter.letter_id,
        "message_id": letter.message_id,
        "method": letter.method,
        "error": letter.error,
        "error_type": letter.error_type,
        "traceback": letter.traceback,
        "attempts": letter.attempts,
        "first_published": letter.first_published,
        "died": letter.died,
        "host": letter.host,
        "came_from": letter.came_from,
        "headers": {name: _plain(value) for name, value in letter.headers.items()},
    }
    try:
        shown["body"] = letter.body.decode()
    except UnicodeDecodeError:
        shown["body_base64"] = base64.b64encode(letter.body).decode()
    return values.encode(shown).decode()


def _plain(value: object) -> object:
    return value if value is None or isinstance(value, bool | int | str) else repr(value)
