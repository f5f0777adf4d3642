"""The plots of the report, drawn by matplotlib: each is an SVG element of its own, with its title and its units.

Text stays text, nothing is fetched from anywhere, and the same figures make the same bytes. Lines differ by dash and
marker as well as by colour, so that they can be told apart in grey.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from .load import TIMES
from .results import RunResult, SweepResult
from .units import rate_text, seconds_text, tick_text

_LINES = cycler(color=["#0b5394", "#c2570c", "#3f3f46"], linestyle=["-", "--", ":"], marker=["o", "s", "^"])
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "rpcsvc",  # names within the element
    "text.parse_math": False,
    "axes.prop_cycle": _LINES,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e4e4e7",
    "figure.figsize": (7.5, 4.2),
    "figure.constrained_layout.use": True,
    "font.size": 10,
    "legend.frameon": False,
}
_PERCENTILES = (0, 50, 90, 99, 99.9, 99.99, 99.999)


def latency(run: RunResult) -> str:
    """Latency by percentile, stretched towards 100 so that each further nine has the same room."""
    count = run.latency.count
    # The last points are single calls: beyond them there is nothing to tell percentiles apart.
    furthest = max(1.0, math.log10(count)) if count > 1 else 1.0
    with _svg(f"Latency of {run.load.title}", _short(run), "percentile of calls", "latency") as (axes, svg):
        axes.plot(*_columns((_nines(p, count), value) for p, value in run.latency.curve), marker="")
        notes = [(_nines(p, count), value, f"p{p:g} {seconds_text(value)}") for p, value in run.latency.percentiles]
        notes = [note for note in notes if note[0] < furthest]
        _figures(axes, notes)
        _figures(axes, [(furthest, run.latency.most, f"max {seconds_text(run.latency.most)}")], below=True)
        axes.scatter(*_columns((x, y) for x, y, _ in notes), s=16)
        shown = [p for p in _PERCENTILES if _nines(p, math.inf) <= furthest + 1e-9]
        axes.set_xticks([_nines(p, math.inf) for p in shown], [f"{p:g} %" for p in shown])
        _latency_axis(axes, [value for _, value in run.latency.curve])
    return svg()


def throughput(run: RunResult) -> str:
    """Results (and errors) per second over time, with the warm-up set apart."""
    middle = run.slot / 2
    begin, end = -run.load.warm_up, max([run.seconds, *(at for at, _, _ in run.timeline)])
    places = [at - middle for at, _, _ in run.timeline]
    good, bad = [results for _, results, _ in run.timeline], [errors for _, _, errors in run.timeline]
    with _svg("Throughput over time", _short(run), "seconds since the measurement began", "calls per second") as (
        axes,
        svg,
    ):
        axes.plot(places, good, label="results", marker="")
        if any(bad):
            axes.plot(places, bad, label="errors", marker="")
        if run.load.rate is not None:
            axes.plot([begin, end], [run.load.rate] * 2, label="intended", marker="")
        if run.load.warm_up:
            axes.axvspan(begin, 0, color="#f4f4f5", label="warm-up")
        _rate_axis(axes, [*good, *bad, run.load.rate or 0.0])
        axes.set_xlim(begin, end)
        axes.legend()
    return svg()


def sweep(result: SweepResult) -> tuple[str, str]:
    """Throughput, and latency (p50 and p99), against what the sweep changes."""
    subtitle, runs = _sweep_setting(result), [run for _, run in result.points]
    values = [float(value) for value, _ in result.points]
    is_log = result.name == "in-flight" and max(values) >= 8 * min(values)
    # Payloads stand one beside the other: there may be a 0.
    at = [float(number) for number in range(len(values))] if result.name == "payload" else values
    what = "bytes to echo and back" if result.name == "payload" else result.noun + (", log scale" if is_log else "")

    def along(axes: Axes) -> None:
        axes.set_xscale("log" if is_log else "linear")
        axes.set_xticks(at, [result.label(value) for value, _ in result.points])
        axes.xaxis.set_minor_locator(NullLocator())

    with _svg(f"Throughput against {result.noun}", subtitle, what, "results per second") as (axes, rates):
        axes.plot(at, [run.throughput for run in runs])
        _figures(
            axes, [(place, run.throughput, rate_text(run.throughput)) for place, run in zip(at, runs, strict=True)]
        )
        along(axes)
        _rate_axis(axes, [run.throughput for run in runs])
    # A run in which nothing succeeded has no latency.
    told = [(place, run.latency) for place, run in zip(at, runs, strict=True) if run.latency.count]
    with _svg(f"Latency against {result.noun}", subtitle, what, "latency") as (axes, latencies):
        for percentile in (50.0, 99.0):
            points = [(place, each.at(percentile)) for place, each in told]
            axes.plot(*_columns(points), label=f"p{percentile:g}")
            _figures(axes, [(place, value, seconds_text(value)) for place, value in points], below=percentile == 50.0)
        along(axes)
        _latency_axis(axes, [each.at(percentile) for _, each in told for percentile in (50.0, 99.0)])
        axes.legend()
    return rates(), latencies()


@contextmanager
def _svg(title: str, subtitle: str, x: str, y: str) -> Iterator[tuple[Axes, Callable[[], str]]]:
    """Axes to draw in; and what gives the SVG element when that is done."""
    with mpl.rc_context(_STYLE):
        figure = Figure()
        axes = figure.subplots()
        figure.suptitle(title, x=0.02, ha="left", weight="bold", size=13)
        axes.set_title(subtitle, loc="left", size=9, color="#52525b")
        axes.set_xlabel(x)
        axes.set_ylabel(y)
        file = io.StringIO()
        yield axes, lambda: file.getvalue()[file.getvalue().index("<svg ") :]
        # Without this there is a part with addresses and the date.
        nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(file, format="svg", metadata=nothing)


def _figures(axes: Axes, points: Sequence[tuple[float, float, str]], *, below: bool = False) -> None:
    """Text above or below points."""
    for x, y, text in points:
        axes.annotate(text, (x, y), (0, -14 if below else 7), textcoords="offset points", ha="center", size=9)


def _rate_axis(axes: Axes, values: Sequence[float]) -> None:
    axes.set_ylim(0, max([1e-9, *values]) * 1.12)
    axes.yaxis.set_major_formatter(lambda value, _: tick_text(rate_text(value)))


def _latency_axis(axes: Axes, values: Sequence[float]) -> None:
    """From 0, or logarithmic where the values lie so far apart that most would be at the bottom."""
    positive = [value for value in values if value > 0]
    if positive and max(positive) > 10 * min(positive):
        axes.set_yscale("log")
        axes.margins(y=0.15)
        axes.set_ylabel("latency, log scale")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_minor_locator(NullLocator())
    else:
        axes.set_ylim(0, max(positive, default=1.0) * 1.15)
    axes.yaxis.set_major_formatter(lambda value, _: tick_text(seconds_text(value)) if value > 0 else "0")


def _columns(points: Any) -> tuple[list[float], list[float]]:
    rows = list(points)
    return [x for x, _ in rows], [y for _, y in rows]


def _nines(percentile: float, count: float) -> float:
    """How far a percentile is along the axis: 90 is 1, 99 is 2; 100 is where the last of `count` calls is."""
    return -math.log10(max(1 - percentile / 100, 1 / max(count, 1)))


# ---- words ------------------------------------------------------------------------------------------------------


def pool_text(run: RunResult) -> str:
    """The pool of a run, before what else is said of it."""
    if run.workers is None:
        return ""
    return f"{run.workers} worker{'' if run.workers == 1 else 's'}, prefetch {run.prefetch}; "


def _short(run: RunResult) -> str:
    return f"{pool_text(run)}{run.load.shape}"


def _sweep_setting(sweep: SweepResult) -> str:
    run = sweep.points[0][1]
    what = "echo" if sweep.name == "payload" else run.load.title
    pool = "" if sweep.name == "workers" or run.workers is None else f"; {run.workers} workers"
    who = run.load.who + ("" if run.load.pack else ", not packed")
    if run.load.rate is not None:
        return f"{what}{pool}; open loop at {run.load.rate:g} calls/s, {who}"
    each = "" if sweep.name == "in-flight" else f" {TIMES} {run.load.most_under_way} in flight"
    return f"{what}{pool}; closed loop, {who}{each}"
