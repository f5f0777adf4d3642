"""Figures as people read them: three significant digits and a unit."""

from __future__ import annotations

import math

_TIMES = ((1e6, "s"), (1e3, "ms"), (1.0, "µs"))
_BYTES = ((1024.0**3, "GiB"), (1024.0**2, "MiB"), (1024.0, "KiB"), (1.0, "B"))


def seconds_text(microseconds: float) -> str:
    """A duration given in microseconds: 834 µs, 1.20 ms, 12.5 s."""
    return _with_unit(microseconds, _TIMES)


def bytes_text(size: float) -> str:
    """A number of bytes: 48.1 MiB."""
    return _with_unit(size, _BYTES)


def rate_text(per_second: float) -> str:
    """A rate without its unit: 7.25, 834, 12,400."""
    return _three_digits(per_second)


def tick_text(text: str) -> str:
    """The same without zeros behind the point: ticks are round numbers."""
    number, space, unit = text.partition(" ")
    return (number.rstrip("0").rstrip(".") if "." in number else number) + space + unit


def _with_unit(value: float, units: tuple[tuple[float, str], ...]) -> str:
    if value == 0:
        return f"0 {units[-1][1]}"
    # What rounds up to a thousand of a unit is one of the next.
    factor, name = next(((factor, name) for factor, name in units if float(f"{value:.3g}") >= factor), units[-1])
    return f"{_three_digits(value / factor)} {name}"


def _three_digits(value: float) -> str:
    if value == 0:
        return "0"
    rounded = float(f"{value:.3g}")
    decimals = max(0, 2 - math.floor(math.log10(abs(rounded))))
    return f"{rounded:,.{decimals}f}"
