"""`rpcsvc events`: what happens, a line for each event, until Ctrl-C."""

from __future__ import annotations

import argparse
import sys

from ..client.sync import RpcClient
from ..errors import ConfigurationError
from ..host import streams
from ..host.logs import one_line
from ..settings.kinds import Seconds, Whole
from ..wire import values
from ..wire.events import Event
from .broker_url import add_url, given_url
from .exits import ExitCode
from .flags import reader
from .parsing import Parser


def add_parser(subparsers: argparse._SubParsersAction[Parser]) -> None:
    """Add this subcommand."""
    parser = subparsers.add_parser(
        "events",
        help="print events as they happen",
        description="Print events as they happen, a line for each, until Ctrl-C. A pattern is a topic in which '*' "
        "stands for one word and '#' for any number of them; quote it. What servers tell of themselves is 'rpcsvc.#'.",
    )
    parser.add_argument("patterns", nargs="*", metavar="PATTERN", help="of the topics (all events of users)")
    parser.add_argument("--json", action="store_true", help="each event as a line of JSON")
    parser.add_argument("--name", metavar="NAME", help="of a durable subscription, which goes on while nobody is here")
    parser.add_argument("--delete", action="store_true", help="delete the subscription of that name, and its events")
    parser.add_argument("--exchange", metavar="NAME", help="an exchange of others, in place of ours")
    for flag, kind, text in (
        ("--limit", Whole(), "how many events may wait; the oldest go first (10000; with a name: any number)"),
        ("--expires", Seconds(), "how long a subscription with a name stays without anybody (for ever)"),
        ("--count", Whole(), "end after so many events"),
        ("--timeout", Seconds(), "end when no event came for so long"),
    ):
        parser.add_argument(flag, metavar=kind.unit, type=reader(flag, kind), help=text)
    add_url(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print, or delete."""
    if options.delete and options.name is None:
        raise ConfigurationError("--delete deletes a subscription that has a name; say which: --name NAME")
    with RpcClient(given_url(options), connect_timeout=1.0) as client:
        if options.delete:
            client.unsubscribe(options.name)
            return ExitCode.OK
        return _print(client, options)


def _print(client: RpcClient, options: argparse.Namespace) -> int:
    line_of = _as_json if options.json else _as_line
    with client.subscribe(
        *options.patterns,
        name=options.name,
        limit=options.limit,
        exchange=options.exchange,
        expires=options.expires,
    ) as events:
        _tell(f"hearing {', '.join(options.patterns) or '#'}")
        printed = 0
        while options.count is None or printed < options.count:
            try:
                event = events.get(options.timeout)
            except TimeoutError:
                return ExitCode.TIMED_OUT
            if event.missed and not options.json:
                _tell(f"{event.missed} events were dropped before the next one: they came faster than they are printed")
            print(line_of(event))
            printed += 1
            if streams.finish() is not None:
                events.close()  # first: what could not be printed is not acked
                break
    return ExitCode.OK


def _tell(sentence: str) -> None:
    print(f"rpcsvc: {sentence}", file=sys.stderr, flush=True)


def _as_line(event: Event) -> str:
    """For people: the local time, the topic, and the body in one line."""
    moment = "-" if event.time is None else event.time.astimezone().replace(tzinfo=None).isoformat(" ", "milliseconds")
    body = event.body if isinstance(event.body, str) else values.encode(event.body).decode()
    again = " (again)" if event.redelivered else ""
    return one_line(f"{moment} {event.topic}{again} {body}", most=None)


def _as_json(event: Event) -> str:
    """For programs."""
    shown = {
        "topic": event.topic,
        "time": None if event.time is None else event.time.isoformat(timespec="milliseconds"),
        "body": event.body,
        "message_id": event.message_id,
        "headers": dict(event.headers),
        "missed": event.missed,
        "redelivered": event.redelivered,
    }
    return values.encode(shown).decode()
