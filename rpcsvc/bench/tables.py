"""The figures as tables of text, for the terminal and for the page alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .results import BenchResult, RunResult, SweepResult
from .units import bytes_text, rate_text, seconds_text

NONE = "-"
"""Where there is no figure."""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of text under headings; all but the first column are figures."""

    caption: str
    headings: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]


def tables(result: BenchResult) -> list[Table]:
    """All that is to be shown."""
    run = result.run
    found = [_latency(run), _calls(run)]
    if run.total.errors:
        found.append(_errors(run))
    if run.roles:
        found.append(_roles(run))
    return [*found, *(_sweep(sweep) for sweep in result.sweeps), _facts(result)]


def _latency(run: RunResult) -> Table:
    latency = run.latency
    named = [(f"p{percentile:g}", value) for percentile, value in latency.percentiles]
    named += [("max", latency.most), ("mean", latency.mean)]
    return Table(
        "Throughput and latency",
        ("results/s", *(name for name, _ in named)),
        [(rate_text(run.throughput), *(seconds_text(value) if latency.count else NONE for _, value in named))],
    )


def _calls(run: RunResult) -> Table:
    total = run.total
    named = {"sent": total.sent, "succeeded": total.succeeded, "failed": total.failed, "given up": total.unfinished}
    if run.load.is_open:
        named |= {"sent > 1 ms late": total.late, "never sent": total.never_sent}
    return Table("Calls", tuple(named), [tuple(f"{count:,}" for count in named.values())])


def _errors(run: RunResult) -> Table:
    sent = run.total.sent
    rows = [(name, f"{count:,}", f"{count / sent:.2%}") for name, count in run.total.errors.items()]
    return Table("Errors", ("error", "calls", "of those sent"), rows)


def _roles(run: RunResult) -> Table:
    rows = [
        (
            role,
            str(usage.processes),
            _time_or_none(run.cpu_per_call(role)),
            f"{usage.cpu / run.seconds:.2f}" if run.seconds > 0 else NONE,
            bytes_text(usage.rss),
            NONE if usage.uss is None else bytes_text(usage.uss),
        )
        for role, usage in run.roles.items()
    ]
    return Table("CPU and memory", ("role", "processes", "CPU per call", "CPUs used", "RSS", "USS"), rows)


def _sweep(sweep: SweepResult) -> Table:
    headings = [sweep.name, "results/s", "p50", "p99", "errors", "client CPU per call"]
    rows = []
    for value, run in sweep.points:
        row = [sweep.label(value), rate_text(run.throughput)]
        row += [seconds_text(run.latency.at(each)) if run.latency.count else NONE for each in (50.0, 99.0)]
        row += [f"{run.total.failed:,}", _time_or_none(run.cpu_per_call("client"))]
        if run.load.is_open:
            row.append(f"{run.total.never_sent:,}")
        rows.append(tuple(row))
    if sweep.points[0][1].load.is_open:
        headings.append("never sent")
    return Table(f"Against {sweep.noun}", tuple(headings), rows)


def _facts(result: BenchResult) -> Table:
    return Table("Where and when", tuple(result.facts), [tuple(result.facts.values())])


def _time_or_none(microseconds: float | None) -> str:
    return NONE if microseconds is None else seconds_text(microseconds)
