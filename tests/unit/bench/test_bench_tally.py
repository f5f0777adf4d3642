"""What is counted, and how counts and latencies of many threads add up."""

from __future__ import annotations

import json
import random

import pytest

from rpcsvc.bench.latency import Latencies
from rpcsvc.bench.tally import Tally, Total, Window


def _window() -> Window:
    return Window(begin=100.0, start=101.0, end=103.0, slot=0.5)


# ---- latencies --------------------------------------------------------------------------------------------------


def test_percentiles_are_right_to_three_digits() -> None:
    latencies = Latencies()
    values = list(range(1, 10_001))
    random.Random(1).shuffle(values)
    for value in values:
        latencies.record(value / 1e6)

    summary = latencies.summary()

    assert summary.count == 10_000
    for percentile, wanted in ((50.0, 5000), (90.0, 9000), (99.0, 9900), (99.9, 9990)):
        assert summary.at(percentile) == pytest.approx(wanted, rel=0.001)
    assert summary.least == 1
    assert summary.most == pytest.approx(10_000, rel=0.001)
    assert summary.mean == pytest.approx(5000.5, rel=0.001)


def test_merged_histograms_have_the_percentiles_of_all_values_together() -> None:
    one, other, both = Latencies(), Latencies(), Latencies()
    for number in range(1000):
        fast, slow = 0.001 + number / 1e6, 0.5 + number / 1e4
        one.record(fast)
        other.record(slow)
        both.record(fast)
        both.record(slow)

    assert Latencies.merged([one.encode(), other.encode()]).summary() == both.summary()
    assert Latencies.merged([one.encode(), Latencies().encode()]).summary() == one.summary()


def test_the_curve_rises_from_the_shortest_to_the_longest() -> None:
    latencies = Latencies()
    for number in range(1, 2001):
        latencies.record(number / 1e5)

    curve = latencies.summary().curve

    assert curve == tuple(sorted(curve))
    assert curve[0] == (0.0, 10.0)
    assert curve[-1] == (100.0, pytest.approx(20_000, rel=0.001))
    assert dict(curve)[50.0] == pytest.approx(10_000, rel=0.001)


def test_no_latency_at_all_is_a_summary_of_zeros() -> None:
    summary = Latencies().summary()
    assert (summary.count, summary.most, summary.at(99.0), summary.curve) == (0, 0.0, 0.0, ())
    assert Latencies.merged([]).summary() == summary


def test_what_is_too_short_or_too_long_to_measure_is_counted_all_the_same() -> None:
    latencies = Latencies()
    latencies.record(0.0)
    latencies.record(-0.1)
    latencies.record(1e9)

    assert latencies.count == 3
    assert latencies.summary().most >= 3_600_000_000


# ---- counts -----------------------------------------------------------------------------------------------------


def test_calls_count_by_their_intended_start_and_throughput_by_their_end() -> None:
    tally = Tally(_window())

    for intended, ended in ((100.5, 101.2), (101.5, 101.6), (102.9, 103.4)):
        tally.note_sent(intended, intended)
        tally.note_ended(intended, ended, None)

    assert tally.sent == 2  # the first was meant for the warm-up
    assert tally.succeeded == 2
    assert tally.results_in_window == 2  # the last came after it
    assert tally.latencies.count == 2
    assert tally.results_by_slot == [0, 0, 1, 1, 0, 0]


def test_latency_counts_from_the_intended_start_and_lateness_is_told() -> None:
    tally = Tally(_window())
    tally.note_sent(101.0, 101.4)
    tally.note_ended(101.0, 101.5, None)
    tally.note_sent(102.0, 102.0005)
    tally.note_ended(102.0, 102.001, None)

    assert tally.late == 1
    assert tally.largest_delay == pytest.approx(0.4)
    assert tally.latencies.summary().most == pytest.approx(500_000, rel=0.001)


def test_errors_are_counted_by_name_and_have_no_latency() -> None:
    tally = Tally(_window())
    for name in ("RpcTimeout", "WorkerLost", "RpcTimeout"):
        tally.note_sent(101.5, 101.5)
        tally.note_ended(101.5, 102.0, name)
    tally.note_ended(100.2, 100.3, "NoServer")  # of the warm-up: on the timeline, but in no count of the window

    assert tally.errors == {"RpcTimeout": 2, "WorkerLost": 1}
    assert tally.errors_in_window == 3
    assert tally.errors_by_slot == [1, 0, 0, 0, 3, 0]
    assert tally.latencies.count == 0
    assert (tally.ended, tally.ended_badly) == (4, 4)


def test_tallies_of_many_threads_add_up_across_processes() -> None:
    parts = []
    for number in range(3):
        tally = Tally(_window(), never_sent=number)
        for _ in range(10):
            tally.note_sent(101.5, 101.5 + number)
            tally.note_ended(101.5, 102.5, None if number else "RpcTimeout")
        tally.note_sent(101.5, 101.5)
        tally.note_unfinished(101.5)
        tally.note_unfinished(100.0)
        parts.append(json.loads(json.dumps(tally.to_json())))

    total = Total.of(parts)

    assert total.sent == 33 == total.succeeded + total.failed + total.unfinished
    assert total.wanted == 36
    assert (total.succeeded, total.failed, total.unfinished) == (20, 10, 3)
    assert total.errors == {"RpcTimeout": 10}
    assert total.latencies.count == 20
    assert total.largest_delay == 2
    assert total.late == 20
    assert sum(total.results_by_slot) == 20


def test_the_slots_of_a_window_cover_warm_up_and_window() -> None:
    window = Window.after(50.0, 1.0, 5.0)
    assert (window.begin, window.start, window.end) == (50.0, 51.0, 56.0)
    assert window.slots == 60
    assert Window.after(0.0, 0.0, 600.0).slot == 10.0
    assert Window.after(0.0, 0.0, 0.1).slots == 1
