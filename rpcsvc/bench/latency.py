"""Latencies in an HDR histogram: three significant digits from a microsecond to an hour, in constant memory.

Histograms of many threads and processes add up to what one would have held; percentiles do not.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import dataclass

with warnings.catch_warnings():
    # Python 3.14 says so of the layout of a structure that this library declares and we do not use.
    warnings.simplefilter("ignore", DeprecationWarning)
    from hdrh.histogram import HdrHistogram

_LONGEST = 3_600_000_000
"""Microseconds; what takes longer counts as this."""
_DIGITS = 3
_STEPS_PER_HALVING = 5
PERCENTILES = (50.0, 90.0, 99.0, 99.9)


@dataclass(frozen=True, slots=True)
class LatencySummary:
    """Latencies of `count` calls, in microseconds; all 0 if there are none.

    Attributes:
        percentiles: (percentile, microseconds) for each of PERCENTILES.
        curve: (percentile, microseconds), denser towards 100, for a plot; from the shortest to the longest.
    """

    count: int
    mean: float
    least: float
    most: float
    percentiles: tuple[tuple[float, float], ...]
    curve: tuple[tuple[float, float], ...]

    def at(self, percentile: float) -> float:
        """Microseconds at one of PERCENTILES."""
        return dict(self.percentiles)[percentile]


class Latencies:
    """A histogram that grows."""

    def __init__(self) -> None:
        self._histogram = HdrHistogram(1, _LONGEST, _DIGITS)
        self._record = self._histogram.record_value

    def record(self, seconds: float) -> None:
        """Record one more latency."""
        microseconds = int(seconds * 1e6 + 0.5)
        self._record(1 if microseconds < 1 else min(microseconds, _LONGEST))

    @property
    def count(self) -> int:
        """How many latencies were recorded."""
        return int(self._histogram.get_total_count())

    def encode(self) -> str:
        """The histogram in HdrHistogram's own V2 form, compressed, in base64: what other programs read too."""
        return str(self._histogram.encode().decode("ascii"))

    @classmethod
    def merged(cls, encoded: Iterable[str]) -> Latencies:
        """The sum of encoded histograms."""
        total = cls()
        for text in encoded:
            other = HdrHistogram.decode(text.encode("ascii"))
            if other.get_total_count():  # an empty one would add its minimum, which is 0
                total._histogram.add(other)
        return total

    def summary(self) -> LatencySummary:
        """Percentiles and the curve."""
        histogram = self._histogram
        if not self.count:
            return LatencySummary(0, 0.0, 0.0, 0.0, tuple((percentile, 0.0) for percentile in PERCENTILES), ())
        most = float(histogram.get_max_value())
        found = histogram.get_percentile_to_value_dict(list(PERCENTILES))
        return LatencySummary(
            count=self.count,
            mean=float(histogram.get_mean_value()),
            least=float(histogram.get_min_value()),
            most=most,
            percentiles=tuple((percentile, min(most, float(found[percentile]))) for percentile in PERCENTILES),
            curve=self._curve(),
        )

    def _curve(self) -> tuple[tuple[float, float], ...]:
        """Percentiles at steps that halve with the distance to 100, down to a single call."""
        wanted, left = [0.0], 100.0
        while left > 100.0 / self.count and left > 1e-6:
            wanted += [100.0 - left + left / 2 * step / _STEPS_PER_HALVING for step in range(1, _STEPS_PER_HALVING + 1)]
            left /= 2
        found = self._histogram.get_percentile_to_value_dict([*wanted, 100.0])
        return tuple((percentile, float(found[percentile])) for percentile in sorted(found))
