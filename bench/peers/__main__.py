"""`scripts/bench peers`: measure, and print one table for each mode."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any

from rpcsvc.broker import PrivateBroker
from rpcsvc.host.keeper import keep_all_processes

from .earlier import Earlier
from .everyone import PEERS
from .modes import MODES, Mode
from .peer import Peer
from .processes import end_all
from .runner import Options, Runner, has_row
from .table import Run, rows_of, table_of

VERSIONS = (
    "rpcsvc",
    "pika",
    "aio-pika",
    "celery",
    "kombu",
    "dramatiq",
    "nameko",
    "faststream",
    "oslo.messaging",
    "uvloop",
)
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code: 0, or 1 when ours has a mode without a measurement, or 130 after Ctrl-C."""
    options = _parse(arguments)
    for number in _SIGNALS:
        signal.signal(number, _interrupt)
    runs: list[Run] = []
    try:
        with _broker() as broker, tempfile.TemporaryDirectory(prefix="rpcsvc-earlier-") as folder:
            if options.earlier is not None:
                options.only = _with_earlier(options.only, options.earlier, Path(folder))
            runner = Runner(broker.url, broker.pid, Options(**_amounts(options)))
            runs = runner.run_all(options.only, options.mode, _Progress(options))
    except KeyboardInterrupt:
        print("\ninterrupted; everything is stopped", file=sys.stderr)
        return 130
    finally:
        end_all()
    print(_report(options, runs))
    if options.json is not None:
        options.json.write_text(json.dumps(_record(options, runs), indent=1) + "\n")
    failed = [run for run in runs if run.kind == "ours" and run.failure is not None]
    return 1 if failed else 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/bench peers",
        description="The same work through this library, its peers and the limit, on one private RabbitMQ.",
        epilog="peers: " + ", ".join(_names()) + ". modes: " + "; ".join(f"{m.key} {m.title}" for m in MODES.values()),
    )
    parser.add_argument("--only", type=_peers, default=PEERS, metavar="PEER,...", help="parts of their names")
    parser.add_argument("--mode", type=_modes, default=list(MODES.values()), metavar="a,b,...", help="see below")
    parser.add_argument("--earlier", metavar="REVISION", help="beside each of ours, the same at that revision")
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="runs of each, interleaved (%(default)s)")
    parser.add_argument("--seconds", type=float, default=2.5, metavar="S", help="of each run (%(default)s)")
    parser.add_argument("--calls", type=int, default=100_000, metavar="N", help="of a map (%(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every run to a file too")
    options = parser.parse_args(arguments)
    if options.rounds < 1 or options.seconds <= 0 or options.calls < 1000:
        parser.error("--rounds is from 1, --seconds above 0, --calls from 1000")
    return options


def _peers(text: str) -> list[Peer]:
    """Peers by the beginnings of their names, without regard to case: `ours,limit,celery`."""
    chosen: set[str] = set()
    for word in text.split(","):
        wanted = word.strip().lower()
        found = {name for name in _names() if wanted in name.lower()}
        exact = {name for name in found if name.lower() == wanted}
        if not wanted or not found:
            raise argparse.ArgumentTypeError(f"no peer is named {word!r}; there are: {', '.join(_names())}")
        chosen |= exact or found
    return [peer for peer in PEERS if peer.name in chosen]


def _names() -> list[str]:
    return list(dict.fromkeys(peer.name for peer in PEERS))


def _with_earlier(peers: Sequence[Peer], revision: str, folder: Path) -> list[Peer]:
    """Each of ours, and behind it the same as it was."""
    chosen: list[Peer] = []
    for peer in peers:
        chosen += [peer, Earlier(peer, revision, folder)] if peer.kind == "ours" else [peer]
    return chosen


def _modes(text: str) -> list[Mode]:
    letters = [letter.strip() for letter in text.split(",")]
    unknown = [letter for letter in letters if letter not in MODES]
    if unknown:
        raise argparse.ArgumentTypeError(f"no mode is named {unknown[0]!r}; there are: {', '.join(MODES)}")
    return [mode for key, mode in MODES.items() if key in letters]


def _interrupt(_number: int, _frame: object) -> None:
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)  # a second one must not interrupt the clearing up
    raise KeyboardInterrupt


@contextlib.contextmanager
def _broker() -> Iterator[PrivateBroker]:
    prefix = "rpcsvc-bench-"
    with keep_all_processes(), PrivateBroker.temporary(prefix=prefix) as broker:
        # Some peers leave folders of their own behind; they shall leave them in here.
        folder = broker.folder / "peers"
        folder.mkdir()
        os.environ["TMPDIR"] = str(folder)
        yield broker


class _Progress:
    """A line on standard error for each run; for what a peer cannot do at all, one line in all."""

    def __init__(self, options: argparse.Namespace) -> None:
        pairs = [(peer, mode) for mode in options.mode for peer in options.only if has_row(peer, mode)]
        self._never = {(peer.name, mode.key): False for peer, mode in pairs if peer.unable(mode) is not None}
        self._total = (len(pairs) - len(self._never)) * options.rounds
        self._done = 0

    def __call__(self, run: Run) -> None:
        what = (run.peer, run.mode)
        outcome = f"{run.rate:12,.1f} a second" if run.failure is None else f"not measured: {run.failure}"
        if self._never.get(what):
            return
        if what in self._never:
            self._never[what] = True
        else:
            self._done += 1
        print(f"[{self._done}/{self._total}] {run.mode} {run.peer:22} {outcome}", file=sys.stderr, flush=True)


def _amounts(options: argparse.Namespace) -> dict[str, Any]:
    return {"rounds": options.rounds, "seconds": options.seconds, "calls": options.calls}


def _machine() -> dict[str, Any]:
    versions = {}
    for name in VERSIONS:
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    return {
        "cpus": os.cpu_count(),
        "machine": platform.machine(),
        "system": platform.system(),
        "python": platform.python_version(),
        "versions": versions,
    }


def _report(options: argparse.Namespace, runs: Sequence[Run]) -> str:
    machine = _machine()
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    amounts = f"{options.rounds} interleaved rounds of {options.seconds} s (a map: {options.calls:,} calls)"
    parts = [
        f"{amounts}; {machine['cpus']} CPUs, Python {machine['python']}; {versions}.",
        "Medians; client, server and broker are CPU in µs for each; ratios are of the same round, with their spread.",
        "",
    ]
    parts += [table_of(mode, rows_of(mode, runs)) for mode in options.mode]
    parts += [f"{peer.name}: {peer.note}" for peer in options.only if peer.note]
    return "\n".join(parts)


def _record(options: argparse.Namespace, runs: Sequence[Run]) -> dict[str, Any]:
    when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    return {"when": when, **_amounts(options), **_machine(), "runs": [asdict(run) for run in runs]}


if __name__ == "__main__":
    sys.exit(main())
