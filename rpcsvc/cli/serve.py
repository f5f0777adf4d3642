"""`rpcsvc serve`: a pool of worker processes that serves a queue."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Iterator

from ..broker import PrivateBroker, lets_in
from ..errors import ConfigurationError, RegistryFailed
from ..server.server import RpcServer
from ..settings import find_urls
from ..settings.limits import check_order
from ..settings.names import check_registry
from ..settings.server import BUILT_IN, ServerOptions
from .broker_url import add_url, given_url
from .exits import ExitCode
from .flags import add_flags, given
from .parsing import Parser


def add_parser(subparsers: argparse._SubParsersAction[Parser]) -> None:
    """Add this subcommand."""
    parser = subparsers.add_parser(
        "serve",
        help="run a pool of worker processes that serves a queue",
        description="Serve the functions of a registry until SIGTERM or SIGINT; then finish what runs, and end. "
        "A second signal ends at once. SIGHUP reloads the registry.",
        surplus="; a pool serves one registry: rpcsvc serve [MODULE:REGISTRY]",
    )
    parser.add_argument(
        "registry",
        nargs="?",
        default=BUILT_IN,
        metavar="MODULE:REGISTRY",
        help="the functions to serve; by default the built-in ones",
    )
    add_flags(parser, ServerOptions, without=("registry",))
    add_url(parser)
    parser.add_argument(
        "--start-broker",
        action="store_true",
        help="start the private broker (rpcsvc broker) if none is named and none lets us in; it ends with the pool",
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Serve until told to stop."""
    with _a_broker() if options.start_broker and not options.url else contextlib.nullcontext():
        return _serve(options)


@contextlib.contextmanager
def _a_broker() -> Iterator[None]:
    """The private broker for as long as the pool runs, and however that ends, if none is named and none lets us in.

    One that answers and refuses the user that everybody begins with is somebody else's own.
    """
    if os.environ.get("RPCSVC_URL") or any(map(lets_in, find_urls().nodes)):
        yield
        return
    _say("starting a private broker, which ends with this pool")
    with PrivateBroker():
        yield


def _serve(options: argparse.Namespace) -> int:
    if "" not in sys.path and os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())  # as `python -m` does: the registry is often a module beside the user
    try:
        check_registry(options.registry)
    except ConfigurationError as error:
        raise RegistryFailed(options.registry, str(error)) from None  # it has an exit code of its own
    check_order(options.soft_time_limit, options.time_limit, ("--soft-time-limit", "--time-limit"))
    server = RpcServer(url=given_url(options), **given(options, ServerOptions))
    server.run(ready=_say_ready)
    _say(f"stopped; {server.counts}")
    return ExitCode.INTERRUPTED if server.was_forced else ExitCode.OK


def _say_ready(server: RpcServer) -> None:
    names = ", ".join(server.function_names) or "no functions"
    threads = f" of {server.threads} threads" if server.threads > 1 else ""
    workers = f"1 worker{threads} serves" if server.workers == 1 else f"{server.workers} workers{threads} serve"
    casts = f", casts from {server.casts_found}" if server.casts_found else ""
    events = f", events for {', '.join(server.handlers_found)}" if server.handlers_found else ""
    _say(f"ready: {workers} {names} on {server.queue!r} ({server.queue_found}) at {server.url}{casts}{events}")


def _say(text: str) -> None:
    print(f"rpcsvc: {text}", file=sys.stderr, flush=True)
