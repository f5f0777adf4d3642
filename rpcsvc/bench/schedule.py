"""When the calls of an open loop are meant to start.

Each generator thread plays its own part of the rate. Times are seconds on whatever clock `start` was read from; they do
not depend on how earlier calls went, which is the point of an open loop.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator

from .load import Load


def intended_starts(load: Load, generator: int, start: float) -> Iterator[float]:
    """The endless times of generator number `generator` (from 0) of an open loop that begins at `start`.

    "constant": all generators together are evenly spaced. "poisson": independent of each other and of the past, so
    together they are a Poisson process of the whole rate. The same generator has the same gaps in every run.
    """
    assert load.rate is not None
    if load.arrivals == "constant":
        return _constant(load.rate, generator, load.generators, start)
    return _poisson(load.rate / load.generators, random.Random(generator), start)  # noqa: S311 not a secret


def not_reached(load: Load, next_start: float, end: float) -> int:
    """How many calls one generator would still have started from `next_start`, its next one, up to `end`.

    For Poisson arrivals, which nobody has drawn yet, this is the expected number, rounded up.
    """
    assert load.rate is not None
    # The first is at next_start itself; the small number is for what floating point adds to a whole number of gaps.
    return max(0, math.ceil((end - next_start) * load.rate / load.generators - 1e-6))


def _constant(rate: float, generator: int, generators: int, start: float) -> Iterator[float]:
    number = generator
    while True:
        yield start + number / rate  # multiplied, not added up: no drift
        number += generators


def _poisson(rate: float, gaps: random.Random, start: float) -> Iterator[float]:
    at = start
    while True:
        at += gaps.expovariate(rate)
        yield at
