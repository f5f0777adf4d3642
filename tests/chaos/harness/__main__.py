"""The command: run scenarios one after the other on a private broker, and say what came of it.

Exit codes: 0 every figure was kept, 1 one was not, 2 the command line is wrong, 130 interrupted.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from rpcsvc.host.keeper import keep_all_processes

from .runner import Result, private_broker, run
from .scenario import Scenario, all_scenarios
from .table import Progress, table, write_json


def main(arguments: Sequence[str]) -> int:
    """Run what the arguments say; the exit code."""
    scenarios = all_scenarios()
    options = _parser().parse_args(arguments)
    if "all" in options.scenarios:
        options.scenarios = []
    for name in options.scenarios:
        if name not in scenarios:
            print(f"there is no scenario {name!r}; there are: all, {', '.join(scenarios)}", file=sys.stderr)
            return 2
    if options.list:
        width = max(map(len, scenarios))
        for each in scenarios.values():
            print(f"{each.name:{width}}  {each.says}")
        return 0
    chosen = [scenarios[name] for name in options.scenarios or scenarios]
    signal.signal(signal.SIGTERM, _interrupt)
    results: list[Result] = []
    try:
        _run_all(chosen, options.seconds, results)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    finally:
        if results:
            print(table(results))
        if options.json is not None:
            write_json(options.json, results, arguments)
    return 0 if all(result.passed for result in results) else 1


def _run_all(chosen: Sequence[Scenario], seconds: float, results: list[Result]) -> None:
    progress = Progress(len(chosen))
    with keep_all_processes(), private_broker() as broker:
        for each in chosen:
            progress.begin(each.name)
            results.append(run(each, seconds, broker, keep=True, progress=progress))
            progress.end(results[-1])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/chaos", description="Break things on purpose under load, and check that every promise was kept."
    )
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help="by default all; see --list")
    parser.add_argument("--seconds", type=_positive, default=60.0, help="of faults in each scenario (%(default)g)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything that was found there")
    parser.add_argument("--list", action="store_true", help="name the scenarios, and end")
    return parser


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value < 1e6:
        raise argparse.ArgumentTypeError("seconds must be above 0")
    return value


def _interrupt(number: int, _frame: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
