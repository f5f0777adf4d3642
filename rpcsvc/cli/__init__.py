"""The command `rpcsvc`: one module for each of its subcommands.

Results go to standard output, everything else to standard error. An error is one sentence, without a traceback of ours.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence

from .._version import __version__
from ..errors import RpcError
from . import bench, broker, call, serve
from .exits import ExitCode, exit_code

__all__ = ["ExitCode", "main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; the exit code."""
    options = _parser().parse_args(argv)
    logging.basicConfig(format="rpcsvc: %(message)s", level=logging.DEBUG if options.verbose else logging.INFO)
    # What pika has to say about a failing connection, we say in a sentence.
    logging.getLogger("pika").setLevel(logging.DEBUG if options.verbose else logging.CRITICAL)
    try:
        return int(options.run(options))
    except RpcError as error:
        print(f"rpcsvc: {error}", file=sys.stderr)
        return exit_code(error)
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="rpcsvc", description="Call CPU-heavy Python functions on a pool of processes through RabbitMQ."
    )
    parser.add_argument("--version", action="version", version=f"rpcsvc {__version__}")
    parser.add_argument("-v", "--verbose", action="store_true", help="say more on standard error")
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND")
    for module in (serve, call, bench, broker):
        module.add_parser(subparsers)
    return parser
