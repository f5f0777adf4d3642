"""How quick messages are on the average."""

from __future__ import annotations

import pytest

from rpcsvc.workers.pace import Mean


def mean_of(*seconds: float) -> Mean:
    mean = Mean()
    for each in seconds:
        mean.learn(each)
    return mean


@pytest.mark.parametrize(("count", "told"), [(0, 0), (15, 0), (16, 20)])
def test_nothing_is_told_of_a_few(count: int, told: int) -> None:
    assert mean_of(*[0.001] * count).within(0.02) == told


def test_a_mean_is_that_of_all_at_first() -> None:
    assert mean_of(*[0.001] * 8, *[0.003] * 8).within(0.02) == 10


def test_one_that_takes_long_changes_little_and_slow_ones_change_it() -> None:
    mean = mean_of(*[0.0001] * 100)

    mean.learn(0.01)
    assert mean.within(0.02) > 64
    for _ in range(10):
        mean.learn(0.1)
    assert mean.within(0.02) <= 1


def test_one_that_takes_a_second_is_slow_by_itself() -> None:
    assert mean_of(*[0.0001] * 100, 1.5).within(0.02) == 0


def test_no_number_is_without_bounds() -> None:
    assert mean_of(*[0.0] * 20).within(0.02) == 20_000
