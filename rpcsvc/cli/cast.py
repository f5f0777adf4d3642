"""`rpcsvc cast`: one-way work from a shell. Arguments are those of `rpcsvc call`; what is printed is the message_id."""

from __future__ import annotations

import argparse
import sys

from ..client.sync import RpcClient
from ..settings.client import ClientOptions
from ..settings.kinds import Kind, Seconds, Whole
from .broker_url import add_url, given_url
from .call import parse_arguments
from .exits import ExitCode
from .flags import add_flags, given, reader
from .parsing import Parser

FLAGS = ("timeout", "wait_for_server", "queue", "max_request")
"""The options of the client that matter for one cast."""


def add_parser(subparsers: argparse._SubParsersAction[Parser]) -> None:
    """Add this subcommand."""
    parser = subparsers.add_parser(
        "cast",
        help="have a function run once a worker has time for it",
        description="Have a function run once a worker has time for it; end when the broker has that safe.",
        missing="say which function is to run: rpcsvc cast METHOD [ARGUMENT ...], for instance rpcsvc cast fib 30",
        dashed=", and text that begins with '-' stands behind '--'",
        intermixed=True,
    )
    parser.add_argument("method", metavar="METHOD", help="the function's name")
    parser.add_argument("arguments", nargs="*", metavar="ARGUMENT", help="JSON, or text; NAME=VALUE for a keyword")
    _add(parser, "--delay", Seconds(zero=True), "how long it waits before it may run (0)")
    parser.add_argument("--id", metavar="ID", dest="message_id", help="its message_id (a new UUID)")
    _add(parser, "--priority", Whole(least=0, most=255), "0 to 255, where the queue knows priorities (none)")
    _add(parser, "--expires", Seconds(), "after which it is not run any more (never)")
    add_flags(parser, ClientOptions, only=FLAGS)
    add_url(parser)
    parser.set_defaults(run=run)


def _add(parser: argparse.ArgumentParser, flag: str, kind: Kind, text: str) -> None:
    parser.add_argument(flag, metavar=kind.unit, type=reader(flag, kind), help=text)


def run(options: argparse.Namespace) -> int:
    """Cast, and print its message_id."""
    args, kwargs = parse_arguments(options.arguments)
    how = {name: getattr(options, name) for name in ("delay", "message_id", "priority", "expires")}
    with RpcClient(
        given_url(options), connect_timeout=max(1.0, options.wait_for_server), **given(options, ClientOptions)
    ) as client:
        message_id = client.cast(options.method, *args, **{**how, **kwargs})
    print(message_id.encode(sys.stdout.encoding, "backslashreplace").decode(sys.stdout.encoding))
    return ExitCode.OK
