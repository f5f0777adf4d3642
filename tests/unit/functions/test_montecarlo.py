from __future__ import annotations

import math
import random

import pytest

from rpcsvc.functions.builtin.montecarlo import MAX_SAMPLES, monte_carlo_pi


def test_the_estimate_is_near_pi() -> None:
    samples = 40_000
    assert abs(monte_carlo_pi(samples, seed=1) - math.pi) < 4 * 1.642 / math.sqrt(samples)


def test_the_estimate_is_that_of_counting_points_one_by_one() -> None:
    source = random.Random(7)
    points = [(source.random(), source.random()) for _ in range(1000)]
    assert monte_carlo_pi(1000, seed=7) == 4 * sum(math.hypot(x, y) <= 1 for x, y in points) / 1000


def test_the_same_seed_gives_the_same_estimate_and_another_seed_another() -> None:
    assert monte_carlo_pi(1000, seed=2) == monte_carlo_pi(1000, 2)
    assert len({monte_carlo_pi(1000, seed=seed) for seed in range(10)}) > 1


def test_without_a_seed_the_estimates_differ_from_call_to_call() -> None:
    assert len({monte_carlo_pi(1000) for _ in range(20)}) > 1


def test_one_sample_is_either_in_or_out() -> None:
    assert {monte_carlo_pi(1, seed=seed) for seed in range(20)} == {0.0, 4.0}


@pytest.mark.parametrize("samples", [0, -1, MAX_SAMPLES + 1, 10**5000, True], ids=["0", "-1", "above", "long", "True"])
def test_samples_out_of_range_are_refused_before_any_work(samples: int) -> None:
    with pytest.raises(ValueError, match=r"^samples must be "):
        monte_carlo_pi(samples)


@pytest.mark.parametrize("seed", [-1, True])
def test_a_negative_seed_is_refused_because_the_generator_would_drop_its_sign(seed: int) -> None:
    assert random.Random(-1).random() == random.Random(1).random()
    with pytest.raises(ValueError, match=r"^seed must be "):
        monte_carlo_pi(10, seed)
