"""Plots as SVG text: scales, round ticks, lines.

Made for a page and for a slide: each plot is one complete SVG with its title, its units and its own style, and needs
nothing from outside. Lines differ by dash and marker as well as by colour, so that they can be told apart in grey, and
each is named at its end.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape, quoteattr

Points = Sequence[tuple[float, float]]

WIDTH, HEIGHT = 720, 400
_LEFT, _TOP, _BOTTOM = 86, 72, 54
_RIGHT = 36
"""Room at the right where no line has a name; a name takes what it needs."""
_LETTER = 7.7
"""About the width of a letter of a name."""
_COLOURS = ("#0b5394", "#c2570c", "#3f3f46", "#6b8e23")
DARK = {
    "#fff": "#1c1c1f",
    "#f4f4f5": "#2a2a2e",
    "#e4e4e7": "#3f3f46",
    "#71717a": "#8f8f99",
    "#52525b": "#a1a1aa",
    "#18181b": "#f4f4f5",
    "#0b5394": "#6cb2f2",
    "#c2570c": "#f0883e",
    "#3f3f46": "#d4d4d8",
    "#6b8e23": "#a8cf62",
}
"""Every colour that a plot is drawn with, and what to show in its place where the page around it is dark."""
_DASHES = ("", "7 4", "2 3", "9 3 2 3")
_FONT = "font-family:system-ui,-apple-system,'Segoe UI',Roboto,'Helvetica Neue',Arial,sans-serif"
_LABEL_GAP = 15.0


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis.

    Attributes:
        title: what it shows, with its unit.
        low, high: its ends, in data.
        ticks: (position in data, text).
        is_log: whether equal distances are equal factors.
    """

    title: str
    low: float
    high: float
    ticks: tuple[tuple[float, str], ...]
    is_log: bool = False

    def share(self, value: float) -> float:
        """Where a value is between the ends: 0 to 1."""
        low, high = self.low, self.high
        if self.is_log:
            value, low, high = math.log10(max(value, low)), math.log10(low), math.log10(high)
        return (value - low) / (high - low) if high > low else 0.5


@dataclass(frozen=True, slots=True)
class Line:
    """One line.

    Attributes:
        name: stands at its end.
        points: in data.
        figures: if given, every point has a marker and its y in this form, above it or `below`.
        notes: (x, y, text) of points of a line without figures.
        is_faint: whether it is only there to compare with.
    """

    name: str
    points: Points
    figures: Callable[[float], str] | None = None
    below: bool = False
    notes: tuple[tuple[float, float, str], ...] = ()
    is_faint: bool = False


@dataclass(frozen=True, slots=True)
class _Frame:
    """Both axes, and where they are in the picture."""

    x: Axis
    y: Axis
    right: float
    bottom: float = HEIGHT - _BOTTOM

    def at(self, point: tuple[float, float]) -> tuple[float, float]:
        return self.left(point[0]), self.top(point[1])

    def left(self, value: float) -> float:
        return _LEFT + self.x.share(value) * (self.right - _LEFT)

    def top(self, value: float) -> float:
        return self.bottom - min(1.0, max(0.0, self.y.share(value))) * (self.bottom - _TOP)


# ---- axes -------------------------------------------------------------------------------------------------------


def from_zero(title: str, values: Iterable[float], text: Callable[[float], str]) -> Axis:
    """A linear axis from 0 to a round number above all values."""
    most = max(values, default=0.0)
    step = round_step(most / 5 if most > 0 else 0.2)
    count = max(1, math.ceil(most * 1.02 / step - 1e-9))
    return Axis(title, 0.0, step * count, tuple((step * n, text(step * n)) for n in range(count + 1)))


def log_axis(title: str, values: Iterable[float], text: Callable[[float], str]) -> Axis:
    """A logarithmic axis over all values above zero, with ticks at 1, 2 and 5 (only 1, if that would be too many)."""
    positive = [value for value in values if value > 0] or [1.0]
    marks = [float(f"{digit}e{power}") for power in range(-9, 16) for digit in (1, 2, 5)]
    low = max(mark for mark in marks if mark <= min(positive))
    high = min(mark for mark in marks if mark >= max(positive) and mark > low)
    shown = [mark for mark in marks if low <= mark <= high]
    if len(shown) > 10:
        shown = [mark for mark in shown if f"{mark:e}".startswith("1")]
    return Axis(title, low, high, tuple((mark, text(mark)) for mark in shown), is_log=True)


def fitting_axis(title: str, values: Sequence[float], text: Callable[[float], str]) -> Axis:
    """A linear axis from 0, or a logarithmic one where the values lie so far apart that most would be at the bottom."""
    positive = [value for value in values if value > 0]
    if positive and max(positive) > 10 * min(positive):
        return log_axis(f"{title}, log scale", positive, text)
    return from_zero(title, values, text)


def named_axis(title: str, positions: Sequence[float], names: Sequence[str], *, is_log: bool = False) -> Axis:
    """An axis with ticks at the given positions only."""
    low, high = min(positions), max(positions)
    if low == high:
        low, high = (low / 2, high * 2) if is_log else (low - 1, high + 1)
    return Axis(title, low, high, tuple(zip(positions, names, strict=True)), is_log)


def round_step(least: float) -> float:
    """The smallest of 1, 2, 2.5 and 5 times a power of ten that is not less than `least`."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(factor * power for factor in (1.0, 2.0, 2.5, 5.0, 10.0) if factor * power >= least * (1 - 1e-9))


# ---- the drawing ------------------------------------------------------------------------------------------------


def draw(
    *,
    title: str,
    subtitle: str,
    x: Axis,
    y: Axis,
    lines: Sequence[Line],
    shaded: tuple[float, float, str] | None = None,
) -> str:
    """A complete SVG element.

    Args:
        shaded: a part of the x axis that is set apart, from, to, and what it is.
    """
    room = max((len(line.name) * _LETTER + 18 for line in lines if line.name), default=0.0)
    frame = _Frame(x, y, WIDTH - max(_RIGHT, room))
    size = f'viewBox="0 0 {WIDTH} {HEIGHT}"'
    style = f"{_FONT};background:#fff"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-label={quoteattr(title)} style="{style}">',
        _text(20, 28, title, size=18, weight=600),
        _text(20, 49, subtitle, size=12.5, fill="#52525b"),
    ]
    if shaded is not None:
        parts += _shade(frame, shaded)
    parts += [*_grid(frame), *(_path(frame, line, number) for number, line in enumerate(lines))]
    # Text last: lines pass under it.
    for number, line in enumerate(lines):
        parts += _points(frame, line, number)
    return "\n".join([*parts, *_names(frame, lines), "</svg>"])


def _grid(frame: _Frame) -> list[str]:
    right, bottom = frame.right, frame.bottom
    parts = []
    for value, text in frame.y.ticks:
        at = frame.top(value)
        parts.append(f'<path d="M{_LEFT} {at:.1f}H{right:.1f}" stroke="#e4e4e7"/>')
        parts.append(_text(_LEFT - 8, at + 4, text, anchor="end"))
    for value, text in frame.x.ticks:
        at = frame.left(value)
        parts.append(f'<path d="M{at:.1f} {bottom}v5" stroke="#71717a"/>')
        parts.append(_text(at, bottom + 19, text, anchor="middle"))
    parts.append(f'<path d="M{_LEFT} {bottom}H{right:.1f}" stroke="#71717a"/>')
    parts.append(_text((_LEFT + right) / 2, HEIGHT - 12, frame.x.title, anchor="middle", size=12.5))
    middle = (_TOP + bottom) / 2
    turned = f'transform="rotate(-90 18 {middle:.0f})"'
    parts.append(_text(18, middle, frame.y.title, anchor="middle", size=12.5, more=turned))
    return parts


def _shade(frame: _Frame, shaded: tuple[float, float, str]) -> list[str]:
    begin, end, name = shaded
    left, right, height = frame.left(begin), frame.left(end), frame.bottom - _TOP
    return [
        f'<rect x="{left:.1f}" y="{_TOP}" width="{right - left:.1f}" height="{height}" fill="#f4f4f5"/>',
        _text((left + right) / 2, _TOP + 14, name, anchor="middle", size=11, fill="#71717a"),
    ]


def _path(frame: _Frame, line: Line, number: int) -> str:
    colour, dash = _style(line, number)
    path = " ".join(f"{left:.1f},{top:.1f}" for left, top in map(frame.at, line.points))
    dashed = f' stroke-dasharray="{dash}"' if dash else ""
    width = 1.5 if line.is_faint else 2.5
    form = f'fill="none" stroke="{colour}" stroke-width="{width}" stroke-linejoin="round"{dashed}'
    return f'<polyline points="{path}" {form}/>'


def _points(frame: _Frame, line: Line, number: int) -> list[str]:
    """Markers and the texts beside them."""
    colour, _ = _style(line, number)
    parts = []
    if line.figures is not None:
        for point in line.points:
            left, top = frame.at(point)
            parts.append(_marker(number, left, top, colour))
            # Within the frame: beginning at the left edge, ending at the right one.
            anchor = "start" if left < _LEFT + 20 else "end" if left > frame.right - 20 else "middle"
            text = line.figures(point[1])
            offset = 20 if line.below and top + 24 < frame.bottom else -11
            parts.append(_text(left, top + offset, text, anchor=anchor, size=12.5, halo=True))
    for one, other, text in line.notes:
        left, top = frame.at((one, other))
        parts.append(_marker(0, left, top, colour))
        if left - _LEFT > len(text) * _LETTER + 12:
            parts.append(_text(left - 7, top - 10, text, anchor="end", size=12.5, weight=600, halo=True))
        else:
            parts.append(_text(left + 6, top + 20, text, size=12.5, weight=600, halo=True))
    return parts


def _style(line: Line, number: int) -> tuple[str, str]:
    if line.is_faint:
        return "#71717a", _DASHES[2]
    return _COLOURS[number % len(_COLOURS)], _DASHES[number % len(_DASHES)]


def _marker(number: int, left: float, top: float, colour: str) -> str:
    if number % 2:
        return (
            f'<rect x="{left - 4.5:.1f}" y="{top - 4.5:.1f}" width="9" height="9" fill="#fff" stroke="{colour}" '
            'stroke-width="2"/>'
        )
    return f'<circle cx="{left:.1f}" cy="{top:.1f}" r="5" fill="{colour}" stroke="#fff" stroke-width="1.5"/>'


def _names(frame: _Frame, lines: Sequence[Line]) -> list[str]:
    """The lines' names beside their ends, moved apart where they would overlap."""
    ends = []
    for number, line in enumerate(lines):
        if line.points and line.name:
            left, top = frame.at(line.points[-1])
            ends.append((top, left, line.name, _style(line, number)[0]))
    ends.sort()
    tops = [top for top, *_ in ends]
    for one, other in itertools.pairwise(range(len(tops))):
        tops[other] = max(tops[other], tops[one] + _LABEL_GAP)
    over = max(0.0, tops[-1] - frame.bottom) if tops else 0.0
    return [
        _text(left + 10, top - over + 4, name, size=12.5, weight=600, fill=colour)
        for top, (_, left, name, colour) in zip(tops, ends, strict=True)
    ]


def _text(
    left: float,
    top: float,
    text: str,
    *,
    size: float = 12,
    anchor: str = "start",
    weight: int = 400,
    fill: str = "#18181b",
    halo: bool = False,
    more: str = "",
) -> str:
    outline = ' paint-order="stroke" stroke="#fff" stroke-width="4" stroke-linejoin="round"' if halo else ""
    return (
        f'<text x="{left:.1f}" y="{top:.1f}" font-size="{size}" text-anchor="{anchor}" font-weight="{weight}" '
        f'fill="{fill}"{outline} {more}>{escape(text)}</text>'
    )
