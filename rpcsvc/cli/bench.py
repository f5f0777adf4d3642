"""`rpcsvc bench`: load on a pool, measured.

What it needs besides the library is imported when it runs, so that the other subcommands do without.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

from ..bench.load import Load, encode_arguments, parse_sweep
from ..errors import ConfigurationError
from ..host.signals import stop_signals
from ..host.stopping import Ask, StopRequests
from ..settings import DEFAULT_QUEUE
from ..settings.kinds import Whole
from ..settings.server import BUILT_IN, ServerOptions
from .broker_url import add_url, given_url
from .call import parse_arguments
from .exits import ExitCode
from .flags import add_flags, given, reader
from .parsing import Parser

_EXTRA = {"hdrh", "pyhdrh", "rich", "matplotlib"}


def add_parser(subparsers: argparse._SubParsersAction[Parser]) -> None:
    """Add this subcommand."""
    parser = subparsers.add_parser(
        "bench",
        help="put load on a pool and measure it",
        description="Call a function again and again, and measure throughput, latency, CPU and memory. A closed loop "
        "keeps calls under way (--in-flight); an open loop starts them at a rate (--rate), and counts each latency "
        "from when the call was meant to start.",
        dashed=", and text that begins with '-' stands behind '--'",
        intermixed=True,
    )
    parser.add_argument("method", nargs="?", metavar="METHOD", help="the function's name (fib, with the argument 30)")
    parser.add_argument("arguments", nargs="*", metavar="ARGUMENT", help="JSON, or text; NAME=VALUE for a keyword")
    add_flags(parser.add_argument_group("the load"), Load, without=("payload",))
    _add_pool(parser.add_argument_group("the pool"))
    results = parser.add_argument_group("the results")
    results.add_argument("--json", type=Path, metavar="FILE", help="write everything that was measured")
    results.add_argument("--report", type=Path, metavar="FILE.html", help="write a page with plots")
    results.add_argument(
        "--sweep",
        action="append",
        default=[],
        metavar="NAME=V,V,…",
        help="measure also with these values, in turn: workers=1,2,4 (with --serve), in-flight=1,10,100, or "
        "payload=0,1k,64k,1M (bytes to echo and back); may be given several times",
    )
    parser.set_defaults(run=run)


def _add_pool(group: argparse._ArgumentGroup) -> None:
    add_url(group)
    group.add_argument("--queue", help=f"the queue that is served ({DEFAULT_QUEUE}; with --serve one of its own)")
    group.add_argument(
        "--serve",
        type=reader("--serve", Whole(most=10_000)),
        metavar="N",
        help="start a pool of N workers for this, and a private broker if none answers; both are stopped at the end",
    )
    add_flags(group, ServerOptions, only=("prefetch",))
    group.add_argument(
        "--registry",
        default=BUILT_IN,
        metavar="MODULE:REGISTRY",
        help="with --serve: the functions (the built-in ones)",
    )


def run(options: argparse.Namespace) -> int:
    """Measure, show, write."""
    try:
        from ..bench import command, terminal  # noqa: PLC0415 the extra may be missing

        if options.report is not None:
            from ..bench import report  # noqa: PLC0415 so may it be, and it takes a second to load
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _EXTRA:
            raise
        raise ConfigurationError(f"this needs {error.name}, which is not here: pip install 'rpcsvc[bench]'") from None
    load, sweeps = _load(options), [parse_sweep(text) for text in options.sweep]
    for path in (options.json, options.report):
        _check_writable(path)
    with _signals_end_it():
        stage = command.Stage(
            url=given_url(options),
            queue=options.queue,
            serve=options.serve,
            prefetch=options.prefetch,
            registry=options.registry,
        )
        result = command.bench(load, sweeps, stage)
        terminal.show(result)
        written = []
        if options.json is not None:
            written.append(_write(options.json, command.as_json(result), terminal.say))
        if options.report is not None:
            written.append(_write(options.report, report.page(result), terminal.say))
    if result.interrupted:
        return ExitCode.INTERRUPTED
    if result.failures or not result.run.total.succeeded:
        return ExitCode.FAILED
    return ExitCode.OK if all(written) else ExitCode.NOT_PRINTED


def _write(path: Path, text: str, say: Callable[[str], None]) -> bool:
    """Write a file, and say so; whether it could be written. One that cannot be does not keep the other from it."""
    try:
        path.write_text(text, "utf-8")
    except OSError as error:
        say(f"{path} cannot be written: {error.strerror}")
        return False
    say(f"written: {path}")
    return True


def _load(options: argparse.Namespace) -> Load:
    words = options.arguments if options.method is not None else ["30"]
    args, kwargs = parse_arguments(words)
    return Load(
        method=options.method or "fib",
        arguments=encode_arguments(args, {name: value for name, value in kwargs.items() if name != "timeout"}),
        # The time-out may stand among the arguments, as in `rpcsvc call`.
        **{**given(options, Load), "timeout": kwargs.get("timeout", options.timeout)},
    )


def _check_writable(path: Path | None) -> None:
    """Refuse a file that cannot be written before the measurement, rather than after it."""
    if path is not None and (path.is_dir() or not os.access(path if path.exists() else path.parent, os.W_OK)):
        raise ConfigurationError(f"{str(path)!r} cannot be written")


@contextlib.contextmanager
def _signals_end_it() -> Iterator[None]:
    """SIGTERM and SIGHUP do what Ctrl-C does: what was started is stopped, what was measured is shown."""
    requests = StopRequests(time.monotonic)

    def interrupt(number: int, _frame: FrameType | None) -> None:
        if requests.told(may_be_an_echo=number != signal.SIGINT) is not Ask.NOTHING:
            raise KeyboardInterrupt

    heard = list(stop_signals())
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup
        heard.append(signal.SIGHUP)
    before = {number: signal.signal(number, interrupt) for number in heard}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
