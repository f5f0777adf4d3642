"""`rpcsvc serve`: a pool of worker processes that serves a queue."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Literal

from ..broker import PrivateBroker, answers
from ..errors import ConfigurationError, RegistryFailed
from ..server.server import BUILT_IN, RpcServer
from ..settings import DEFAULT_CONNECT_TIMEOUT, DEFAULT_QUEUE, DEFAULT_QUEUE_TYPE, QUEUE_TYPES, find_urls
from ..settings.names import check_registry
from ..wire.sizes import AUTO
from ..workers.supervisor import RESTART_WINDOW
from .broker_url import add_url, given_url
from .exits import ExitCode
from .parsing import Parser

_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30}


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
    parser.add_argument(
        "--workers", type=int, metavar="N", help="worker processes; by default the CPUs this one may use"
    )
    parser.add_argument("--queue", default=DEFAULT_QUEUE, help="the queue to serve (%(default)s)")
    parser.add_argument(
        "--queue-type",
        choices=QUEUE_TYPES,
        default=DEFAULT_QUEUE_TYPE,
        help="what the queue is declared as where it is missing (%(default)s); one that is there is taken as it is",
    )
    parser.add_argument(
        "--prefetch",
        type=int,
        default=1,
        metavar="N",
        help="deliveries that a worker's consumer may hold (%(default)s)",
    )
    parser.add_argument(
        "--preload",
        choices=("yes", "no"),
        default="yes",
        help="import the registry once, in the process that workers are forked from, or in each worker: for libraries "
        "whose threads do not survive a fork (%(default)s)",
    )
    parser.add_argument(
        "--blas-threads",
        type=int,
        metavar="N",
        help="threads of a worker's libraries for linear algebra and OpenMP; OMP_NUM_THREADS and the like win where "
        "they are set (the usable CPUs, shared among the workers)",
    )
    parser.add_argument(
        "--start-timeout",
        type=float,
        metavar="SECONDS",
        help="kill a new worker that is not ready by then (10; with --preload no 60)",
    )
    add_url(parser)
    parser.add_argument(
        "--start-broker",
        action="store_true",
        help="start the private broker (rpcsvc broker) if no broker is named and none answers; it ends with the pool",
    )
    parser.add_argument(
        "--callback-queue",
        action="append",
        default=[],
        metavar="PATTERN",
        help="a pattern of callback queues that replies may go to although others may read them",
    )
    parser.add_argument(
        "--time-limit",
        type=float,
        metavar="SECONDS",
        help="kill the worker of a call that runs longer; by default never",
    )
    parser.add_argument(
        "--soft-time-limit",
        type=float,
        metavar="SECONDS",
        help="raise TimeLimitExceeded in a function that runs longer",
    )
    parser.add_argument(
        "--memory-limit",
        type=_size,
        metavar="BYTES",
        help="kill the worker of a call that takes more memory; with K, M or G for 1024 to the power of 1, 2 or 3",
    )
    for name, what, otherwise in (
        ("request", "request that is taken", "a larger one is refused unread"),
        ("result", "response that is sent", "in place of a larger one its caller gets an error"),
    ):
        parser.add_argument(
            f"--max-{name}",
            type=_size_or_auto,
            default=AUTO,
            metavar="BYTES",
            help=f"the largest {what}, with K or M as above; {otherwise}. By default a little under what brokers of "
            "this version take by default (16M from 4.0 on), at most 64M",
        )
    parser.add_argument(
        "--max-calls-per-worker",
        type=int,
        metavar="N",
        help="replace a worker when it has made so many calls; by default never",
    )
    parser.add_argument(
        "--max-restarts",
        type=int,
        metavar="N",
        help="stop when more workers than this end by themselves within the restart window, and fewer calls are "
        "answered than workers end; by default 100, or 20 for each worker if that is more",
    )
    parser.add_argument(
        "--restart-window",
        type=float,
        default=RESTART_WINDOW,
        metavar="SECONDS",
        help="see --max-restarts (%(default)g)",
    )
    parser.add_argument(
        "--connect-timeout",
        type=float,
        default=DEFAULT_CONNECT_TIMEOUT,
        metavar="SECONDS",
        help="how long a broker that is not up yet is waited for at the start (%(default)g)",
    )
    parser.add_argument(
        "--hide-tracebacks", action="store_true", help="do not send callers the traceback of a function"
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Serve until told to stop."""
    with _a_broker() if options.start_broker and not options.url else contextlib.nullcontext():
        return _serve(options)


@contextlib.contextmanager
def _a_broker() -> Iterator[None]:
    """The private broker for as long as the pool runs, and however that ends, if none is named and none answers."""
    if os.environ.get("RPCSVC_URL") or any(map(answers, find_urls().nodes)):
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
    server = RpcServer(
        options.registry,
        url=given_url(options),
        queue=options.queue,
        queue_type=options.queue_type,
        workers=options.workers,
        prefetch=options.prefetch,
        preload=options.preload == "yes",
        blas_threads=options.blas_threads,
        start_timeout=options.start_timeout,
        callback_queues=options.callback_queue,
        send_tracebacks=not options.hide_tracebacks,
        time_limit=options.time_limit,
        soft_time_limit=options.soft_time_limit,
        memory_limit=options.memory_limit,
        max_request=options.max_request,
        max_result=options.max_result,
        max_calls_per_worker=options.max_calls_per_worker,
        max_restarts=options.max_restarts,
        restart_window=options.restart_window,
        connect_timeout=options.connect_timeout,
    )
    server.run(ready=_say_ready)
    _say(f"stopped; {server.counts}")
    return ExitCode.INTERRUPTED if server.was_forced else ExitCode.OK


def _size(text: str) -> int:
    """Bytes, as `512M` or 1073741824."""
    unit = text[-1:].upper() if text[-1:].upper() in _UNITS else ""
    number = text[: len(text) - len(unit)]
    if not (number.isdecimal() and number.isascii()):
        raise argparse.ArgumentTypeError(
            f"{text!r} is no size: a whole number of bytes, or one with K, M or G behind it"
        )
    return int(number) * _UNITS[unit]


def _size_or_auto(text: str) -> int | Literal["auto"]:
    """Bytes, as for `_size`, or what fits the broker."""
    return AUTO if text == AUTO else _size(text)


def _say_ready(server: RpcServer) -> None:
    names = ", ".join(server.function_names)
    workers = "1 worker serves" if server.workers == 1 else f"{server.workers} workers serve"
    _say(f"ready: {workers} {names} on {server.queue!r} ({server.queue_found}) at {server.url}")


def _say(text: str) -> None:
    print(f"rpcsvc: {text}", file=sys.stderr, flush=True)
