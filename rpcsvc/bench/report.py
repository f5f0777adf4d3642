"""The report: one page of HTML with everything in it, for a browser, a mail or a slide. It needs no network.

Every plot is an SVG element of its own, with its title and what was measured, so that it can be taken out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from .load import TIMES
from .plot import DARK, Axis, Line, draw, fitting_axis, from_zero, named_axis
from .results import BenchResult, RunResult, SweepResult
from .tables import Table, tables
from .units import rate_text, seconds_text, tick_text

_STYLE = """
:root { color-scheme: light dark; --text: #18181b; --quiet: #52525b; --page: #f4f4f5; --card: #fff; --line: #e4e4e7;
  --edge: #a1a1aa; --mark: #c2570c; }
body { font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
  color: var(--text); background: var(--page); margin: 0; }
main { max-width: 1480px; margin: 0 auto; padding: 28px 24px 48px; }
h1 { font-size: 28px; line-height: 1.2; margin: 0 0 4px; overflow-wrap: anywhere; }
h2 { font-size: 19px; margin: 36px 0 12px; }
p { margin: 4px 0; overflow-wrap: anywhere; }
.what { color: var(--quiet); }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 12px; margin: 22px 0; }
.figures div { background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: 10px 14px; }
.figures b { display: block; font-size: 25px; font-variant-numeric: tabular-nums; line-height: 1.25;
  white-space: nowrap; }
.figures span { color: var(--quiet); font-size: 13px; }
.note { background: var(--card); border: 1px solid var(--edge); border-left: 5px solid var(--mark); border-radius: 4px;
  padding: 6px 12px; margin: 8px 0; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(640px, 100%), 1fr)); gap: 16px; }
figure { margin: 0; background: var(--card); border: 1px solid var(--line); border-radius: 8px; overflow: hidden; }
svg { display: block; width: 100%; height: auto; }
.tables { display: flex; flex-wrap: wrap; gap: 16px; align-items: flex-start; }
.tables div { max-width: 100%; overflow-x: auto; }
table { border-collapse: collapse; background: var(--card); border: 1px solid var(--line);
  font-variant-numeric: tabular-nums; }
caption { text-align: left; font-weight: 600; padding: 0 0 6px; }
th, td { padding: 5px 14px; text-align: right; border-top: 1px solid var(--line); }
td { white-space: nowrap; }
th { font-weight: 600; color: var(--quiet); }
th:first-child, td:first-child { text-align: left; }
/* On a telephone a plot is whole and its text larger; a wide table is pushed sideways in its own frame. */
@media screen and (max-width: 600px) {
  main { padding: 16px 12px 32px; }
  h1 { font-size: 22px; }
  .figures { grid-template-columns: repeat(auto-fit, minmax(125px, 1fr)); gap: 8px; }
  .figures b { font-size: 20px; }
  svg [font-size="12"] { font-size: 16px; }
  svg [font-size="12.5"][font-weight="400"]:not([fill="#52525b"]) { font-size: 15px; }
  svg [font-size="18"] { font-size: 24px; }
  th, td { padding: 5px 8px; }
}
@media print { body { background: #fff; } figure, table, .figures div { break-inside: avoid; } }
/* A plot is light wherever else it is put; what it is drawn with is looked up here and shown otherwise on this page. */
@media screen and (prefers-color-scheme: dark) {
  :root { --text: #f4f4f5; --quiet: #a1a1aa; --page: #111113; --card: #1c1c1f; --line: #3f3f46; --edge: #71717a;
    --mark: #f0883e; }
  svg { background: var(--card) !important; }
DARK
}
""".replace(
    "DARK",
    "\n".join(
        f'  svg [fill="{light}"] {{ fill: {dark}; }} svg [stroke="{light}"] {{ stroke: {dark}; }}'
        for light, dark in DARK.items()
    ),
)


def page(result: BenchResult) -> str:
    """The whole document."""
    run = result.run
    title = f"{run.load.title}: {rate_text(run.throughput)} calls/s"
    sections = [
        f"<h1>{escape(title)}</h1>",
        f'<p class="what">{escape(_setting(run))}</p>',
        *(f'<p class="note">{escape(warning)}</p>' for warning in result.warnings),
        _figures(run),
        '<div class="plots">',
        _figure(latency_plot(run)) if run.latency.count else "",
        _figure(throughput_plot(run)),
        "</div>",
        *(_sweep_section(sweep) for sweep in result.sweeps),
        "<h2>Figures</h2>",
        '<div class="tables">',
        *map(_table, tables(result)),
        "</div>",
    ]
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(section for section in sections if section)
        + "\n</main>\n</body>\n</html>\n"
    )


# ---- plots ------------------------------------------------------------------------------------------------------


def latency_plot(run: RunResult) -> str:
    """Latency by percentile, stretched towards 100 so that each further nine has the same room."""
    count = run.latency.count
    points = [(_nines(percentile, count), value / 1000) for percentile, value in run.latency.curve]
    # The last points are single calls: beyond them there is nothing to tell percentiles apart.
    furthest = max(1.0, math.log10(count)) if count > 1 else 1.0
    ticks = ((-math.log10(1 - p / 100), f"{p:g} %") for p in (0, 50, 90, 99, 99.9, 99.99, 99.999))
    x = Axis("percentile of calls", 0.0, furthest, tuple(tick for tick in ticks if tick[0] <= furthest + 1e-9))
    values = [value for _, value in points]
    y = fitting_axis("latency", values, _latency_tick)
    notes = tuple(
        (_nines(percentile, count), value / 1000, f"p{percentile:g} {seconds_text(value)}")
        for percentile, value in run.latency.percentiles
        if _nines(percentile, count) < furthest
    )
    last = f"max {seconds_text(run.latency.most)}"
    line = Line(last, points, notes=notes)
    return draw(title=f"Latency of {run.load.title}", subtitle=_short(run), x=x, y=y, lines=[line])


def throughput_plot(run: RunResult) -> str:
    """Results (and errors) per second over time, with the warm-up set apart."""
    rows = run.timeline
    begin, end = -run.load.warm_up, max(run.seconds, rows[-1][0] if rows else 0.0)
    half = run.slot / 2
    step = _time_step(end - begin)
    first = math.ceil(begin / step - 1e-9)
    marks = [n * step for n in range(first, math.floor(end / step + 1e-9) + 1)]
    x = Axis("seconds since the measurement began", begin, end, tuple((mark, f"{mark:g}") for mark in marks))
    good = [(at - half, results) for at, results, _ in rows]
    bad = [(at - half, errors) for at, _, errors in rows]
    lines = [Line("results", good)]
    if any(errors for _, errors in bad):
        lines.append(Line("errors", bad))
    if run.load.rate is not None:
        lines.append(Line("intended", [(begin, run.load.rate), (end, run.load.rate)], is_faint=True))
    y = from_zero("calls per second", [value for line in lines for _, value in line.points], rate_text)
    shaded = (begin, 0.0, "warm-up") if run.load.warm_up else None
    return draw(title="Throughput over time", subtitle=_short(run), x=x, y=y, lines=lines, shaded=shaded)


def sweep_plots(sweep: SweepResult) -> tuple[str, str]:
    """Throughput, and latency (p50 and p99), against what the sweep changes."""
    values = [value for value, _ in sweep.points]
    x, at = _sweep_axis(sweep, values)
    runs = [run for _, run in sweep.points]
    rates = [run.throughput for run in runs]
    noun = sweep.noun
    subtitle = _sweep_setting(sweep)
    throughput = draw(
        title=f"Throughput against {noun}",
        subtitle=subtitle,
        x=x,
        y=from_zero("results per second", rates, rate_text),
        lines=[Line("", list(zip(at, rates, strict=True)), figures=rate_text)],
    )
    # A run in which nothing succeeded has no latency.
    told = [(place, run.latency) for place, run in zip(at, runs, strict=True) if run.latency.count]
    lines = [
        Line(name, [(place, each.at(p) / 1000) for place, each in told], figures=_latency, below=low)
        for name, p, low in (("p50", 50.0, True), ("p99", 99.0, False))
    ]
    y = fitting_axis("latency", [value for line in lines for _, value in line.points], _latency_tick)
    latency = draw(title=f"Latency against {noun}", subtitle=subtitle, x=x, y=y, lines=lines)
    return throughput, latency


def _sweep_axis(sweep: SweepResult, values: Sequence[int]) -> tuple[Axis, list[float]]:
    """Workers as they are, in-flight by factors, payloads one beside the other (there may be a 0)."""
    names = [sweep.label(value) for value in values]
    if sweep.name == "payload":
        places = [float(number) for number in range(len(values))]
        return named_axis("bytes to echo and back", places, names), places
    at = [float(value) for value in values]
    is_log = sweep.name == "in-flight" and max(at) >= 8 * min(at)
    return named_axis(sweep.noun + (", log scale" if is_log else ""), at, names, is_log=is_log), at


def _latency(milliseconds: float) -> str:
    return seconds_text(milliseconds * 1000)


def _latency_tick(milliseconds: float) -> str:
    return tick_text(_latency(milliseconds)) if milliseconds else "0"


def _nines(percentile: float, count: int) -> float:
    """How far a percentile is along the axis: 90 is 1, 99 is 2; 100 is where the last of `count` calls is."""
    left = max(1 - percentile / 100, 1 / max(count, 1))
    return -math.log10(left)


def _time_step(seconds: float) -> float:
    return next(
        (step for step in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600) if seconds / step <= 10), 3600.0
    )


# ---- words and tables -------------------------------------------------------------------------------------------


def _setting(run: RunResult) -> str:
    return f"{run.load.shape}; {_pool(run)}{run.seconds:g} s after {run.load.warm_up:g} s of warm-up"


def _short(run: RunResult) -> str:
    return f"{_pool(run)}{run.load.shape}"


def _pool(run: RunResult) -> str:
    if run.workers is None:
        return ""
    return f"{run.workers} worker{'' if run.workers == 1 else 's'}, prefetch {run.prefetch}; "


def _sweep_setting(sweep: SweepResult) -> str:
    run = sweep.points[0][1]
    what = "echo" if sweep.name == "payload" else run.load.title
    pool = "" if sweep.name == "workers" or run.workers is None else f"; {run.workers} workers"
    who = run.load.who + ("" if run.load.pack else ", not packed")
    if run.load.rate is not None:
        return f"{what}{pool}; open loop at {run.load.rate:g} calls/s, {who}"
    each = "" if sweep.name == "in-flight" else f" {TIMES} {run.load.most_under_way} in flight"
    return f"{what}{pool}; closed loop, {who}{each}"


def _figures(run: RunResult) -> str:
    cards = [(rate_text(run.throughput), "results per second")]
    if run.latency.count:
        cards += [(seconds_text(value), f"p{percentile:g} latency") for percentile, value in run.latency.percentiles]
        cards.append((seconds_text(run.latency.most), "longest"))
    cards.append((f"{run.total.failed:,}", f"errors of {run.total.sent:,} calls"))
    per_call = run.cpu_per_call("client")
    if per_call is not None:
        cards.append((seconds_text(per_call), "client CPU per call"))
    inside = "".join(f"<div><b>{escape(figure)}</b><span>{escape(name)}</span></div>" for figure, name in cards)
    return f'<div class="figures">{inside}</div>'


def _figure(svg: str) -> str:
    return f"<figure>{svg}</figure>"


def _sweep_section(sweep: SweepResult) -> str:
    plots = "\n".join(map(_figure, sweep_plots(sweep)))
    return f'<h2>Against {escape(sweep.noun)}</h2>\n<div class="plots">\n{plots}\n</div>'


def _table(table: Table) -> str:
    head = "".join(f"<th>{escape(heading)}</th>" for heading in table.headings)
    body = "\n".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in table.rows)
    return f"<div><table><caption>{escape(table.caption)}</caption>\n<tr>{head}</tr>\n{body}\n</table></div>"
