"""The command `rpcsvc`: one module for each of its subcommands.

Results go to standard output, everything else to standard error. An error is one sentence, without a traceback of ours.
Neither stream ends the command by what is behind it (see `host.streams`); a result that cannot be printed is told
when all is done, and has an exit code of its own. What a subcommand does not need is not imported for it.
"""

from __future__ import annotations

import argparse
import importlib
import logging
import sys
from collections.abc import Sequence

from .._version import __version__
from ..errors import RpcError
from ..host import streams
from . import completion
from .advice import advice
from .exits import ExitCode, exit_code
from .parsing import Parser

__all__ = ["ExitCode", "main"]

COMMANDS = ("serve", "call", "cast", "dead", "publish", "events", "bench", "broker")
LOG_FORM = "%(asctime)s %(levelname)s rpcsvc: %(message)s"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; the exit code.

    Raises:
        SystemExit: with the exit code, where argparse ends the command: --help, --version, a wrong command line.
    """
    streams.prepare()
    try:
        return _with_output_told(_run(argv))
    except SystemExit as end:
        raise SystemExit(_with_output_told(end.code if isinstance(end.code, int) else 0)) from None


def _run(argv: Sequence[str] | None) -> int:
    words = sys.argv[1:] if argv is None else argv
    options = _parser(words).parse_args(words)
    _log(options.verbose)
    try:
        return int(options.run(options))
    except RpcError as error:
        print(f"rpcsvc: {error}{advice(error, options)}", file=sys.stderr)
        return exit_code(error)
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED


def _with_output_told(code: int) -> int:
    """Say if something that was printed could not be written; the exit code, with that in it if all else is well."""
    error = streams.finish()
    if error is None:
        return code
    print(f"rpcsvc: standard output cannot be written, and what was printed is lost: {error.strerror}", file=sys.stderr)
    return code or ExitCode.NOT_PRINTED


def _log(verbosity: int) -> None:
    """Ours from INFO, with `-v` all of ours; from libraries what is a warning, with `-vv` all."""
    logging.basicConfig(format=LOG_FORM, level=logging.DEBUG if verbosity > 1 else logging.WARNING)
    logging.getLogger("rpcsvc").setLevel(logging.DEBUG if verbosity else logging.INFO)
    # What pika has to say about a failing connection, we say in a sentence.
    logging.getLogger("pika").setLevel(logging.DEBUG if verbosity > 1 else logging.CRITICAL)


def _parser(argv: Sequence[str] = ()) -> argparse.ArgumentParser:
    """The parser of the whole command, or of what these words need of it: they name one subcommand."""
    parser = Parser(
        prog="rpcsvc",
        description="Call CPU-heavy Python functions on a pool of processes through RabbitMQ.",
        not_a_command="; a function is called by rpcsvc call METHOD",
        missing="say what to do: rpcsvc serve, call, cast, dead, publish, events, bench or broker; "
        "rpcsvc --help tells more",
    )
    parser.add_argument("--version", action="version", version=f"rpcsvc {__version__}")
    parser.add_argument(
        "-v", "--verbose", action="count", default=0, help="say more on standard error; twice: of libraries too"
    )
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND")
    named = next((word for word in argv if not word.startswith("-")), "")
    for name in (named,) if named in COMMANDS else COMMANDS:
        importlib.import_module(f".{name}", __package__).add_parser(subparsers)
    if named not in COMMANDS:
        completion.add_parser(subparsers, parser)
    return parser
