"""`rpcsvc call`: one call from a shell.

An argument that is JSON is that value; any other is text. NAME=VALUE, with a Python name before the sign, is a keyword
argument; text that looks like one is quoted as JSON: '"a=b"'.
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from ..client.sync import RpcClient
from ..errors import DecodingError, FunctionRaised
from ..host import streams
from ..settings.client import ClientOptions
from ..wire import digits, values
from .broker_url import add_url, given_url
from .exits import ExitCode
from .flags import add_flags, given
from .parsing import Parser

FLAGS = ("timeout", "wait_for_server", "patience", "queue", "max_request")
"""The options of the client that matter for one call."""


def add_parser(subparsers: argparse._SubParsersAction[Parser]) -> None:
    """Add this subcommand."""
    parser = subparsers.add_parser(
        "call",
        help="call a function and print its result",
        description="Call a function and print its result: text as it is, everything else as JSON.",
        missing="say which function to call: rpcsvc call METHOD [ARGUMENT ...], for instance rpcsvc call fib 30; "
        "rpcsvc call rpc.discover tells what is served",
        dashed=", and text that begins with '-' stands behind '--'",
        intermixed=True,
    )
    parser.add_argument("method", metavar="METHOD", help="the function's name")
    parser.add_argument("arguments", nargs="*", metavar="ARGUMENT", help="JSON, or text; NAME=VALUE for a keyword")
    add_flags(parser, ClientOptions, only=FLAGS)
    add_url(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Call, and print."""
    args, kwargs = parse_arguments(options.arguments)
    kwargs.setdefault("timeout", None)
    with RpcClient(
        given_url(options),
        # Somebody sits before a shell: a broker that is not there is said at once, unless patience was asked for.
        connect_timeout=max(1.0, options.wait_for_server),
        **given(options, ClientOptions),
    ) as client:
        try:
            result = client.call(options.method, *args, **kwargs)
        except FunctionRaised as error:
            print(f"rpcsvc: {error}", file=sys.stderr)
            if error.remote_traceback:
                print(error.remote_traceback, file=sys.stderr, end="")
            return ExitCode.FAILED
    return _show(options.method, result)


def _show(method: str, result: Any) -> int:
    """Print a result exactly as it is, or say why that cannot be. The function has run, and is not called again."""
    text, is_json = _text(result)
    if is_json and not sys.stdout.encoding.lower().startswith("utf"):
        text = _as_ascii(text)
    try:
        streams.print_exactly(text)
    except UnicodeEncodeError as error:
        why = f"{sys.stdout.encoding} has no {text[error.start]!r}; set PYTHONIOENCODING=utf-8"
    else:
        failure = streams.finish()
        if failure is None:
            return ExitCode.OK
        why = f"standard output cannot be written: {failure.strerror}"
    streams.forget()
    print(f"rpcsvc: {method} has run, but its result cannot be printed: {why}", file=sys.stderr)
    return ExitCode.NOT_PRINTED


def parse_arguments(words: list[str]) -> tuple[list[Any], dict[str, Any]]:
    """Positional and keyword arguments from the words of a command line."""
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    for word in words:
        name, sign, value = word.partition("=")
        if sign and name.isidentifier():
            kwargs[name] = value_of(value)
        else:
            args.append(value_of(word))
    return args, kwargs


def value_of(word: str) -> Any:
    """The value that a word of a command line stands for: that of its JSON, or the word itself."""
    try:
        return values.decode(word.encode("utf-8", "surrogateescape"))
    except DecodingError:
        return word


def _text(result: Any) -> tuple[str, bool]:
    """A result as it is printed, and whether that is JSON, in which every letter can be written in ASCII."""
    if isinstance(result, str):
        return result, False
    if type(result) is int:
        return digits.to_decimal(result), False
    return values.encode(result).decode(), True


def _as_ascii(text: str) -> str:
    """The same JSON in ASCII: what is beside it stands in strings, where it can be escaped."""
    return "".join(letter if letter.isascii() else json.dumps(letter)[1:-1] for letter in text)
