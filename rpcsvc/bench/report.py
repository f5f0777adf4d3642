"""The report: one page of HTML with everything in it, for a browser, a mail or a slide. It needs no network."""

from __future__ import annotations

from html import escape

from . import plots
from .results import BenchResult, RunResult
from .tables import Table, tables
from .units import rate_text, seconds_text

_STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1480px; margin: 0 auto; padding: 16px; }
h1, p { overflow-wrap: anywhere; }
.note { border-left: 5px solid #c2570c; padding: 6px 12px; }
.figures, .plots, .tables { display: flex; flex-wrap: wrap; gap: 16px; align-items: flex-start; margin: 16px 0; }
.figures b { display: block; font-size: 25px; }
figure { flex: 1 1 min(600px, 100%); margin: 0; }
svg { width: 100%; height: auto; }
.tables div { max-width: 100%; overflow-x: auto; }
caption { text-align: left; font-weight: 600; }
th, td { padding: 4px 12px; text-align: right; white-space: nowrap; border-top: 1px solid #a1a1aa; }
th:first-child, td:first-child { text-align: left; }
@media screen and (prefers-color-scheme: dark) { svg { filter: invert(0.9) hue-rotate(180deg); } }
@media print { figure, table { break-inside: avoid; } }
"""


def page(result: BenchResult) -> str:
    """The whole document."""
    run = result.run
    title = f"{run.load.title}: {rate_text(run.throughput)} calls/s"
    setting = f"{run.load.shape}; {plots.pool_text(run)}{run.seconds:g} s after {run.load.warm_up:g} s of warm-up"
    drawn = [plots.latency(run)] if run.latency.count else []
    sections = [
        f"<h1>{escape(title)}</h1>\n<p>{escape(setting)}</p>",
        *(f'<p class="note">{escape(warning)}</p>' for warning in result.warnings),
        _figures(run),
        _plots(*drawn, plots.throughput(run)),
        *(f"<h2>Against {escape(sweep.noun)}</h2>\n{_plots(*plots.sweep(sweep))}" for sweep in result.sweeps),
        f'<h2>Figures</h2>\n<div class="tables">{"".join(map(_table, tables(result)))}</div>',
    ]
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        + "\n".join(sections)
        + "\n</body>\n</html>\n"
    )


def _figures(run: RunResult) -> str:
    cards = [(rate_text(run.throughput), "results per second")]
    if run.latency.count:
        cards += [(seconds_text(value), f"p{percentile:g} latency") for percentile, value in run.latency.percentiles]
        cards.append((seconds_text(run.latency.most), "longest"))
    cards.append((f"{run.total.failed:,}", f"errors of {run.total.sent:,} calls"))
    per_call = run.cpu_per_call("client")
    if per_call is not None:
        cards.append((seconds_text(per_call), "client CPU per call"))
    inside = "".join(f"<div><b>{escape(figure)}</b>{escape(name)}</div>" for figure, name in cards)
    return f'<div class="figures">{inside}</div>'


def _plots(*drawn: str) -> str:
    return f'<div class="plots">{"".join(f"<figure>{svg}</figure>" for svg in drawn)}</div>'


def _table(table: Table) -> str:
    head = "".join(f"<th>{escape(heading)}</th>" for heading in table.headings)
    body = "\n".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in table.rows)
    return f"<div><table><caption>{escape(table.caption)}</caption>\n<tr>{head}</tr>\n{body}\n</table></div>"
