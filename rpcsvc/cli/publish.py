"""`rpcsvc publish`: one event from a shell. A body that is JSON is that value, any other is text, as with `call`."""

from __future__ import annotations

import argparse

from ..client.sync import RpcClient
from ..errors import ConfigurationError
from ..settings.client import ClientOptions
from .broker_url import add_url, given_url
from .call import value_of
from .exits import ExitCode
from .flags import add_flags, given
from .parsing import Parser

FLAGS = ("timeout", "max_request")
"""The options of the client that matter for one event."""


def add_parser(subparsers: argparse._SubParsersAction[Parser]) -> None:
    """Add this subcommand."""
    parser = subparsers.add_parser(
        "publish",
        help="publish an event",
        description="Publish an event, and end when the broker has it safe. That nobody hears it is no error.",
        missing="say what happened: rpcsvc publish TOPIC BODY, for instance rpcsvc publish order.paid '{\"id\": 7}'",
        surplus="; a body of several words stands in quotes",
        dashed=", and text that begins with '-' stands behind '--'",
        intermixed=True,
    )
    parser.add_argument("topic", metavar="TOPIC", help="words with dots between")
    parser.add_argument("body", metavar="BODY", help="JSON, or text")
    parser.add_argument("--text", action="store_true", help="the body is text, whatever it looks like")
    parser.add_argument("--exchange", metavar="NAME", help="an exchange of others, in place of ours")
    parser.add_argument("--id", metavar="ID", dest="message_id", help="its message_id (a new UUID)")
    parser.add_argument(
        "--header", metavar="NAME=VALUE", action="append", default=[], help="a header; may be given several times"
    )
    add_flags(parser, ClientOptions, only=FLAGS)
    add_url(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Publish."""
    headers = dict(map(_header, options.header))
    body = options.body if options.text else value_of(options.body)
    with RpcClient(given_url(options), connect_timeout=1.0, **given(options, ClientOptions)) as client:
        client.publish(options.topic, body, exchange=options.exchange, headers=headers, message_id=options.message_id)
    return ExitCode.OK


def _header(word: str) -> tuple[str, object]:
    name, sign, text = word.partition("=")
    if not sign or not name:
        raise ConfigurationError(f"a header is given as NAME=VALUE, for instance --header source=shop, not {word!r}")
    return name, value_of(text)
