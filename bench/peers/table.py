"""Runs to medians, spread, ratios and text. Pure.

A run is one measurement of one peer in one round. A ratio is taken within a round, where both runs had the same
machine; what is shown is the median of the ratios, and their spread.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from .modes import Mode

OURS = "ours"
_ONE_MINUS_CONFIDENCE = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What one run gave.

    Attributes:
        peer, kind, mode: what ran; `mode` is its letter.
        round: its number, from 1.
        today: the peer of ours that it is compared with.
        calls, seconds: what was counted.
        client_cpu, server_cpu, broker_cpu: seconds of CPU in that time; the server's is that of all its processes.
        failure: why there is no measurement; then the numbers are 0.
    """

    peer: str
    kind: str
    mode: str
    round: int
    today: str = OURS
    calls: int = 0
    seconds: float = 0.0
    client_cpu: float = 0.0
    server_cpu: float = 0.0
    broker_cpu: float = 0.0
    failure: str | None = None

    @property
    def rate(self) -> float:
        """Calls per second."""
        return self.calls / self.seconds

    def __repr__(self) -> str:
        outcome = self.failure if self.failure is not None else f"{self.rate:.0f} calls/s"
        return f"<Run {self.round} of {self.peer!r} in {self.mode}: {outcome}>"


@dataclass(frozen=True, slots=True)
class Spread:
    """A median with the least and the most.

    Attributes:
        interval: where the median of the population lies, with a confidence of at least 95 %; None where there are too
            few values to tell.
    """

    median: float
    least: float
    most: float
    interval: tuple[float, float] | None = None

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread | None:
        """Of some values; None of none."""
        numbers = sorted(values)
        if not numbers:
            return None
        return cls(statistics.median(numbers), numbers[0], numbers[-1], _median_interval(numbers))


def _median_interval(numbers: Sequence[float]) -> tuple[float, float] | None:
    """The narrowest pair of order statistics that holds the population's median with 95 % confidence (the sign test).

    Nothing is assumed of the distribution. Each value is below the median with a probability of one half, so the pair
    of the values that are the k-th from either end misses it with twice the chance of k - 1 heads or fewer.
    """
    count = len(numbers)
    chance, outside, k = 0.0, 0, 0
    while True:
        chance += 2 * math.comb(count, outside) / 2**count
        if chance > _ONE_MINUS_CONFIDENCE:
            return (numbers[k - 1], numbers[-k]) if k else None
        outside += 1
        k += 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One peer in one mode.

    Attributes:
        rate: calls per second; None where every run failed.
        client, server, broker: median CPU in µs per call.
        today: the peer of ours that it is compared with.
        ours: how many times its rate that one has.
        limit: which part of the limit's rate it has.
        failure: why runs failed, where any did.
        runs: how many measurements there are.
    """

    peer: str
    kind: str
    today: str
    rate: Spread | None
    client: float = 0.0
    server: float = 0.0
    broker: float = 0.0
    ours: Spread | None = None
    limit: Spread | None = None
    failure: str | None = None
    runs: int = 0


def rows_of(mode: Mode, runs: Sequence[Run]) -> list[Row]:
    """The rows of one mode's table, in the order in which the peers first ran."""
    of_mode = [run for run in runs if run.mode == mode.key]
    good = {(run.peer, run.round): run for run in of_mode if run.failure is None}
    limit = next((run.peer for run in of_mode if run.kind == "limit"), "")
    return [_row(peer, [run for run in of_mode if run.peer == peer], good, limit) for peer in _peers(of_mode)]


def _peers(runs: Iterable[Run]) -> list[str]:
    return list(dict.fromkeys(run.peer for run in runs))


def _row(peer: str, runs: Sequence[Run], good: Mapping[tuple[str, int], Run], limit: str) -> Row:
    measured = [run for run in runs if run.failure is None]

    def ratios(over: str, under: str) -> Spread | None:
        """Of the rounds that have both."""
        pairs = [(good.get((over, run.round)), good.get((under, run.round))) for run in measured]
        return Spread.of(one.rate / other.rate for one, other in pairs if one is not None and other is not None)

    def per_call(attribute: str) -> float:
        values = [1e6 * float(getattr(run, attribute)) / run.calls for run in measured if run.calls]
        return statistics.median(values) if values else 0.0

    return Row(
        peer=peer,
        kind=runs[0].kind,
        today=runs[0].today,
        rate=Spread.of(run.rate for run in measured),
        client=per_call("client_cpu"),
        server=per_call("server_cpu"),
        broker=per_call("broker_cpu"),
        ours=ratios(runs[0].today, peer),
        limit=ratios(peer, limit),
        failure=next((run.failure for run in runs if run.failure is not None), None),
        runs=len(measured),
    )


# ---- text -------------------------------------------------------------------------------------------------------

_HEADINGS = ("", "{}s/s", "least - most", "µs/{}", "client", "server", "broker", "ours / it", "it / limit")


def table_of(mode: Mode, rows: Sequence[Row]) -> str:
    """The text of one mode's table."""
    headings = (*_HEADINGS[:4], "over the work", *_HEADINGS[4:]) if mode.seconds_of_work else _HEADINGS
    headings = tuple(heading.format(mode.unit) for heading in headings)
    lines = [headings, *(_cells(mode, row) for row in rows if row.rate is not None)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(headings))]
    text = [f"{mode.key}: {mode.title}", ""]
    for line in lines:
        cells = [
            line[0].ljust(widths[0]),
            *(cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True)),
        ]
        text.append("  ".join(cells).rstrip())
    text += [_excuse(row) for row in rows if row.failure is not None]
    return "\n".join([*text, "", *summary_of(mode, rows)])


def _cells(mode: Mode, row: Row) -> tuple[str, ...]:
    assert row.rate is not None
    per_call = 1 / row.rate.median
    cells = (row.peer, _number(row.rate.median), f"{_number(row.rate.least)} - {_number(row.rate.most)}")
    cells += (_number(1e6 * per_call),)
    if mode.seconds_of_work:
        cells += (f"{100 * (per_call / mode.seconds_of_work - 1):+.1f} %",)
    cells += tuple(_number(value) for value in (row.client, row.server, row.broker))
    return (*cells, _ratio(row.ours) if row.peer != OURS else "", _ratio(row.limit) if row.kind != "limit" else "")


def _excuse(row: Row) -> str:
    prefix = "not measured" if row.rate is None else f"only {row.runs} measured"
    return f"{row.peer}: {prefix}: {row.failure}"


def summary_of(mode: Mode, rows: Sequence[Row]) -> list[str]:
    """What the table says of ours: against the best peer, the best local pool and the limit."""
    ours = next((row for row in rows if row.peer == OURS and row.rate is not None), None)
    if ours is None:
        return []
    lines = []
    for kind, words in (("peer", "the best peer"), ("local", "the best local pool")):
        rivals = [row for row in rows if row.kind == kind and row.rate is not None]
        best = max(rivals, key=lambda row: row.rate.median if row.rate else 0.0, default=None)
        if best is not None and best.ours is not None:
            lines.append(f"ours: {_ratio(best.ours)} times {words}, {best.peer}{_interval(best.ours)}")
    if ours.limit is not None:
        lines.append(f"ours: {_ratio(ours.limit)} times the limit{_interval(ours.limit)}")
    earlier = [row for row in rows if row.kind == "earlier" and row.ours is not None]
    lines += [f"{row.today}: {_ratio(row.ours)} times {row.peer}{_interval(row.ours)}" for row in earlier]
    return [*lines, ""] if lines else []


def _ratio(spread: Spread | None) -> str:
    """A ratio as 2.31 (2.20 - 2.45); above 100 without decimals."""
    if spread is None:
        return ""
    digits = 0 if spread.median >= 100 else 1 if spread.median >= 10 else 2
    return f"{spread.median:.{digits}f} ({spread.least:.{digits}f} - {spread.most:.{digits}f})"


def _interval(spread: Spread | None) -> str:
    if spread is None or spread.interval is None:
        return ""
    return "; 95 % interval of the median {:.3f} - {:.3f}".format(*spread.interval)


def _number(value: float) -> str:
    """With thousands separators, and a decimal where it is small."""
    return f"{value:,.1f}" if value < 100 else f"{value:,.0f}"
