"""When the calls of an open loop are meant to start."""

from __future__ import annotations

import itertools

import pytest

from rpcsvc.bench.load import Load
from rpcsvc.bench.schedule import intended_starts, not_reached


def _starts(load: Load, generator: int, until: float, start: float = 0.0) -> list[float]:
    return list(itertools.takewhile(lambda at: at < until, intended_starts(load, generator, start)))


def test_constant_arrivals_of_all_generators_together_are_evenly_spaced() -> None:
    load = Load(method="fib", rate=100.0, arrivals="constant", clients=2, threads=2)

    together = sorted(at for generator in range(4) for at in _starts(load, generator, 11.0, start=10.0))

    assert together == pytest.approx([10.0 + number / 100 for number in range(100)])


def test_constant_arrivals_do_not_drift() -> None:
    load = Load(method="fib", rate=3.0, arrivals="constant")
    assert next(itertools.islice(intended_starts(load, 0, 0.0), 300_000, None)) == 100_000.0


def test_poisson_arrivals_have_the_rate_and_the_spread_of_a_poisson_process() -> None:
    load = Load(method="fib", rate=1000.0, clients=2)

    together = sorted(at for generator in range(2) for at in _starts(load, generator, 100.0))
    per_second = [sum(1 for _ in group) for _, group in itertools.groupby(together, int)]
    mean = sum(per_second) / len(per_second)
    variance = sum((count - mean) ** 2 for count in per_second) / len(per_second)

    assert mean == pytest.approx(1000, rel=0.02)
    assert variance == pytest.approx(1000, rel=0.5)  # of evenly spaced ones it would be 0


def test_poisson_arrivals_are_the_same_in_every_run_and_differ_between_generators() -> None:
    load = Load(method="fib", rate=50.0, threads=2)
    assert _starts(load, 0, 5.0) == _starts(load, 0, 5.0)
    assert _starts(load, 0, 5.0) != _starts(load, 1, 5.0)


@pytest.mark.parametrize("at", range(12))
def test_what_is_not_reached_is_what_the_schedule_still_had(at: int) -> None:
    load = Load(method="fib", rate=10.0, arrivals="constant", threads=2)
    starts = _starts(load, 1, 1.0)
    rest = starts[at:]

    assert not_reached(load, [*starts, *[1.0 + 0.1 * n for n in range(10)]][at], 1.0) == len(rest)


def test_nothing_is_missing_after_the_end() -> None:
    assert not_reached(Load(method="fib", rate=10.0), 5.0, 4.0) == 0
