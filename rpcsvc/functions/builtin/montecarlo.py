"""A simulation: pure interpreter work, and reproducible."""

from __future__ import annotations

from random import Random

from ._checks import whole_number

MAX_SAMPLES = 10**9
"""The largest number of samples: about a minute."""


def monte_carlo_pi(samples: int, seed: int | None = None) -> float:
    """An estimate of pi: four times the share of random points of the unit square that lie in the quarter circle.

    Args:
        samples: the number of points, 1 to MAX_SAMPLES. The standard error is 1.642 / sqrt(samples).
        seed: at least 0; the same seed and samples give the same estimate on every machine (random.Random, a
            Mersenne Twister). None takes one from the operating system.

    Raises:
        ValueError: samples or seed is a bool or out of its range; nothing has been computed then.
    """
    whole_number("samples", samples, least=1, most=MAX_SAMPLES)
    if seed is not None:
        whole_number("seed", seed, least=0)  # Random drops the sign: -1 and 1 would be one seed
    # As plain as it looks, this loop is faster than sum over a generator or a chain of maps.
    random = Random(seed).random  # noqa: S311 -- a simulation, no secret
    inside = 0
    for _ in range(samples):
        x, y = random(), random()
        if x * x + y * y <= 1.0:
            inside += 1
    return 4.0 * inside / samples
