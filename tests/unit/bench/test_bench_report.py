"""Plots, tables and the page: what a reader sees."""

from __future__ import annotations

import dataclasses
import functools
import json
import re
from html.parser import HTMLParser
from typing import Any
from xml.etree import ElementTree

import pytest

from rpcsvc.bench import plots
from rpcsvc.bench.load import TIMES, Load
from rpcsvc.bench.report import page
from rpcsvc.bench.results import BenchResult, RoleUsage, RunResult, SweepResult
from rpcsvc.bench.tables import tables
from rpcsvc.bench.tally import Tally, Total, Window
from rpcsvc.bench.units import bytes_text, rate_text, seconds_text, tick_text

SVG = "{http://www.w3.org/2000/svg}"


@functools.cache
def _run(*, calls: int = 200, errors: int = 0, never_sent: int = 0, step: float = 1e-6, **load: Any) -> RunResult:
    plan = Load(**{"method": "fib", "arguments": "[[30],{}]", "warm_up": 1.0, "duration": 2.0, **load})
    window = Window.after(0.0, plan.warm_up, plan.duration)
    tally = Tally(window, never_sent=never_sent)
    for number in range(calls):
        at = 1.0 + 2.0 * number / max(calls, 1)
        tally.note_sent(at, at)
        tally.note_ended(at, at + 0.0004 + number * step, "RpcTimeout" if number < errors else None)
    total = Total.of([tally.to_json()])
    roles = {"client": RoleUsage(1, 0.02, 30 * 2**20, 18 * 2**20), "broker": RoleUsage(1, 0.04, 120 * 2**20, None)}
    return RunResult(
        load=plan,
        workers=2,
        prefetch=1,
        seconds=2.0,
        interrupted=False,
        total=total,
        latency=total.latencies.summary(),
        slot=window.slot,
        roles=roles,
    )


def _result(**what: Any) -> BenchResult:
    sweeps = (
        SweepResult("workers", ((1, _run()), (2, _run(calls=300)))),
        SweepResult("payload", ((0, _run(method="echo", payload=0)), (65536, _run(method="echo", payload=65536)))),
        SweepResult("in-flight", ((1, _run()), (10, _run()), (100, _run()))),
    )
    return BenchResult({"machine": "2 CPUs", "Python": "3.11"}, _run(**what), sweeps)


@functools.cache
def _whole_page() -> str:
    """The page of a run and three sweeps; to draw it takes a while."""
    return page(_result())


def _texts(svg: str) -> list[str]:
    return [element.text or "" for element in ElementTree.fromstring(svg).iter(f"{SVG}text")]


# ---- units ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("microseconds", "text"),
    [
        (0, "0 µs"),
        (0.5, "0.500 µs"),
        (83.44, "83.4 µs"),
        (999.4, "999 µs"),
        (999.9, "1.00 ms"),
        (12_345, "12.3 ms"),
        (4_160_000, "4.16 s"),
        (1_234_000_000, "1,230 s"),
    ],
)
def test_durations_have_three_digits_and_the_unit_that_fits(microseconds: float, text: str) -> None:
    assert seconds_text(microseconds) == text


def test_sizes_and_rates_are_written_alike() -> None:
    assert bytes_text(48.13 * 2**20) == "48.1 MiB"
    assert (rate_text(0), rate_text(7.254), rate_text(12_432.0)) == ("0", "7.25", "12,400")
    assert (tick_text("2.00 ms"), tick_text("2.50 ms"), tick_text("100 ms")) == ("2 ms", "2.5 ms", "100 ms")


# ---- the plots --------------------------------------------------------------------------------------------------


def test_the_latency_plot_names_the_percentiles_it_can_tell() -> None:
    texts = _texts(plots.latency(_run(calls=200)))
    assert "Latency of fib(30)" in texts
    assert {"50 %", "90 %", "99 %"} <= set(texts)
    assert "99.9 %" not in texts, "200 calls have no such percentile"
    assert any(text.startswith("p99 ") for text in texts)
    assert any(text.startswith("max ") for text in texts)


def test_latencies_that_lie_far_apart_get_a_logarithmic_axis_and_say_so() -> None:
    assert "latency" in _texts(plots.latency(_run()))
    far = _texts(plots.latency(_run(step=1e-3)))
    assert "latency, log scale" in far
    assert {"1 ms", "10 ms", "100 ms"} <= set(far)


def test_throughput_over_time_shows_warm_up_errors_and_the_intended_rate() -> None:
    plain = _texts(plots.throughput(_run()))
    assert {"results", "warm-up"} <= set(plain)
    assert not {"errors", "intended"} & set(plain)
    assert {"errors", "intended"} <= set(_texts(plots.throughput(_run(errors=100, rate=100.0))))
    assert "warm-up" not in _texts(plots.throughput(_run(warm_up=0)))


def test_a_sweep_is_two_plots_with_every_point_in_figures() -> None:
    throughput, latency = map(_texts, plots.sweep(_result().sweeps[0]))
    assert {"Throughput against worker processes", "results per second", "1", "2", "100", "150"} <= set(throughput)
    assert {"Latency against worker processes", "p50", "p99", "597 µs", "696 µs"} <= set(latency)


def test_lines_differ_by_dash_and_marker_too() -> None:
    _, latency = plots.sweep(_result().sweeps[0])
    assert "stroke-dasharray" in latency
    assert len(set(re.findall(r'xlink:href="#(m[0-9a-f]+)"', latency))) >= 4, "two ticks and two markers"


def test_a_sweep_over_large_factors_has_a_logarithmic_axis() -> None:
    for svg in plots.sweep(_result().sweeps[2]):
        assert "calls in flight per thread, log scale" in _texts(svg)


def test_a_point_without_a_success_has_no_latency() -> None:
    sweep = SweepResult("payload", ((0, _run()), (1024, _run(calls=0))))
    texts = _texts(plots.sweep(sweep)[1])
    assert [text for text in texts if text in ("499 µs", "597 µs")] == ["499 µs", "597 µs"]
    assert _texts(plots.sweep(SweepResult("payload", ((0, _run(calls=0)),)))[1])


def test_titles_are_text_whatever_they_say() -> None:
    texts = _texts(plots.latency(_run(method='<script>"$x^2$', arguments="[[],{}]")))
    assert 'Latency of <script>"$x^2$()' in texts


def test_the_same_figures_make_the_same_bytes() -> None:
    assert plots.throughput(_run()) == plots.throughput(_run())


# ---- the page ---------------------------------------------------------------------------------------------------


class _Outside(HTMLParser):
    """Everything that a browser would fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.found += [f"{tag} {name}" for name, _ in attributes if name in ("src", "href", "srcset", "data", "action")]
        if tag in ("script", "link", "iframe", "object", "embed", "base"):
            self.found.append(tag)


def test_the_page_holds_all_plots_and_asks_for_nothing_from_outside() -> None:
    text = _whole_page()

    outside = _Outside()
    outside.feed(text)
    assert outside.found == []
    assert not re.search(r"url\((?!#)|@import", text)
    names = {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}  # not addresses
    assert set(re.findall(r"https?://[^\"' ]+", text)) <= names
    assert set(re.findall(r'xlink:href="(.)', text)) == {"#"}
    assert text.count("<svg ") == 8
    assert text.count("<figure>") == 8


def test_the_page_says_what_was_measured_and_how() -> None:
    text = page(BenchResult({}, _run(errors=3)))
    assert "<title>fib(30): 98.5 calls/s</title>" in text
    assert f"closed loop, 1 client {TIMES} 1 thread {TIMES} 1 in flight" in text
    assert "2 workers, prefetch 1" in text
    assert "3 of 200 calls ended with an error" in text
    assert "RpcTimeout" in text


def test_a_name_of_a_function_is_no_markup() -> None:
    text = page(BenchResult({}, _run(method="<img src=x>", arguments="[[],{}]")))
    assert "<img" not in text
    assert "&lt;img src=x&gt;()" in text


def test_a_run_without_any_success_has_a_page_too() -> None:
    text = page(BenchResult({}, _run(errors=200)))
    assert text.count("<svg ") == 1
    assert "200 of 200 calls ended with an error" in text
    assert page(BenchResult({}, _run(calls=0)))


# ---- figures ----------------------------------------------------------------------------------------------------


def test_cpu_per_call_is_that_of_the_window_over_what_ended_in_it() -> None:
    run = _run()
    assert run.total.results_in_window == 200
    assert run.cpu_per_call("client") == pytest.approx(100)
    assert run.cpu_per_call("server") is None
    assert _run(calls=0).cpu_per_call("client") is None


def test_tables_have_as_many_cells_as_headings_and_show_what_there_is() -> None:
    result = _result(errors=3, never_sent=7, rate=100.0)
    found = {table.caption: table for table in tables(result)}

    for table in found.values():
        assert {len(row) for row in table.rows} == {len(table.headings)}
    assert found["Errors"].rows == [("RpcTimeout", "3", "1.50%")]
    assert dict(zip(found["Calls"].headings, found["Calls"].rows[0], strict=True))["never sent"] == "7"
    assert [row[0] for row in found["Against payload size"].rows] == ["0 B", "64 KiB"]
    assert ("broker", "1", "200 µs", "0.02", "120 MiB", "-") in found["CPU and memory"].rows


def test_where_nothing_succeeded_there_is_no_latency_rather_than_a_zero() -> None:
    sweep = SweepResult("workers", ((1, _run(errors=200)),))
    found = {table.caption: table for table in tables(BenchResult({}, _run(errors=200), (sweep,)))}

    assert found["Throughput and latency"].rows == [("0", "-", "-", "-", "-", "-", "-")]
    assert found["Against worker processes"].rows[0][2:4] == ("-", "-")


def test_warnings_tell_what_makes_figures_doubtful() -> None:
    assert _run().warnings == ()
    text = " ".join(dataclasses.replace(_run(errors=1, never_sent=50, rate=100.0), interrupted=True).warnings)
    assert "interrupted after 2.0 s" in text
    assert "50 of 250 calls were never sent" in text
    assert "1 of 200 calls ended with an error" in text


def test_the_json_form_has_the_promised_fields_and_adds_up() -> None:
    form = json.loads(json.dumps(_result(errors=3, never_sent=7, rate=100.0).to_json()))

    assert form["form"] == "rpcsvc-bench/1"
    calls = form["run"]["calls"]
    assert calls["wanted"] == calls["sent"] + calls["never_sent"] == 207
    assert calls["sent"] == calls["succeeded"] + calls["failed"] + calls["unfinished"]
    assert sum(form["run"]["errors"].values()) == calls["failed"] == 3
    assert {"p50", "p90", "p99", "p99.9", "max", "mean", "min", "count"} <= set(form["run"]["latency_us"])
    assert [sweep["name"] for sweep in form["sweeps"]] == ["workers", "payload", "in-flight"]
    assert form["sweeps"][0]["points"][1]["value"] == 2
    assert sum(slot["results"] for slot in form["run"]["timeline"]) * 0.1 == pytest.approx(197, abs=1)


def test_on_a_dark_page_plots_are_dark() -> None:
    assert "(prefers-color-scheme: dark) { svg { filter: invert(" in _whole_page()


def test_a_wide_table_scrolls_in_a_frame_of_its_own() -> None:
    text = _whole_page()

    assert text.count("<div><table>") == text.count("<table>") > 0
    assert ".tables div { max-width: 100%; overflow-x: auto; }" in text
