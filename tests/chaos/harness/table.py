"""What the user sees: progress while it runs, one table at the end, and a file for other programs."""

from __future__ import annotations

import dataclasses
import json
import math
import platform
import shutil
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, TextIO

from .runner import Result

_COLUMNS = (
    "lost",
    "hung",
    "wrong",
    "double",
    "late",
    "after",
    "often",
    "unexpected",
    "for_nobody",
    "given",
    "undone",
    "early",
    "twice",
)


class Progress:
    """One line that changes, on a terminal; elsewhere a line for each step."""

    def __init__(self, scenarios: int, stream: TextIO = sys.stderr) -> None:
        self._stream = stream
        self._live = stream.isatty()
        self._scenarios = scenarios
        self._number = 0
        self._name = ""
        self._started = time.monotonic()

    def begin(self, name: str) -> None:
        """The next scenario."""
        self._number += 1
        self._name = name

    def __call__(self, step: str) -> None:
        """What it is doing now."""
        elapsed = time.monotonic() - self._started
        line = f"[{self._number}/{self._scenarios}] {elapsed:5.0f} s  {self._name}: {step}"
        if self._live:
            width = shutil.get_terminal_size().columns - 1
            self._stream.write(f"\r\x1b[K{line[:width]}")
        else:
            self._stream.write(line + "\n")
        self._stream.flush()

    def end(self, result: Result) -> None:
        """The scenario has ended: one line that stays."""
        if self._live:
            self._stream.write("\r\x1b[K")
        verdict = result.verdict
        said = "passed" if result.passed else "FAILED: " + "; ".join(result.broken)
        self._stream.write(f"{result.scenario}: {said} ({verdict.calls} calls, {verdict.ok} ok{_owed(result)})\n")
        if not result.passed:
            for heading, examples in verdict.examples.items():
                self._stream.writelines(f"    {heading}: {example}\n" for example in examples)
            if result.folder is not None:
                self._stream.write(f"    its history and logs: {result.folder}\n")
        self._stream.flush()


def _owed(result: Result) -> str:
    verdict = result.verdict
    return f"; {verdict.given} casts or events confirmed, {verdict.twice} done twice" if verdict.given else ""


def table(results: Sequence[Result]) -> str:
    """The results, a line each, in columns."""
    head = (
        "scenario",
        "calls",
        "ok",
        "errors",
        *(name.replace("_", " ") for name in _COLUMNS),
        "recovery",
        "refill",
        "orphans",
        "result",
    )
    rows = [head, *(_row(result) for result in results)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    left = {0, 3, len(head) - 1}
    lines = [
        "  ".join(
            cell.ljust(width) if column in left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    return "\n".join([lines[0], "-" * max(map(len, lines)), *lines[1:]])


def _row(result: Result) -> tuple[str, ...]:
    verdict = result.verdict
    errors = ", ".join(f"{count} {kind}" for kind, count in sorted(verdict.outcomes.items()) if kind != "ok") or "none"
    return (
        result.scenario,
        str(verdict.calls),
        str(verdict.ok),
        errors,
        *(str(getattr(verdict, column)) for column in _COLUMNS),
        _seconds(verdict.recovery),
        _seconds(verdict.refill),
        str(verdict.orphans),
        "passed" if result.passed else "FAILED: " + "; ".join(result.broken),
    )


def _seconds(value: float | None) -> str:
    return "-" if value is None else "never" if math.isinf(value) else f"{value:.2f} s"


def write_json(path: Path, results: Sequence[Result], arguments: Sequence[str]) -> None:
    """Everything that was found, with what it was found on. Times are in seconds; one that never came is null."""
    document = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "arguments": list(arguments),
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in ("rpcsvc", "pika", "orjson")},
            "system": platform.platform(),
        },
        "passed": all(result.passed for result in results),
        "scenarios": [_members(result) for result in results],
    }
    path.write_text(json.dumps(document, indent=1) + "\n")


def _members(result: Result) -> dict[str, Any]:
    values = ((field.name, getattr(result.verdict, field.name)) for field in dataclasses.fields(result.verdict))
    verdict = {name: None if isinstance(value, float) and math.isinf(value) else value for name, value in values}
    return {
        "scenario": result.scenario,
        "seconds": result.seconds,
        "passed": result.passed,
        "broken": result.broken,
        "verdict": verdict,
    }
