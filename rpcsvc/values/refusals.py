"""What is said of a value that does not travel: where it is, what it is, and what to pass instead."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

_SHOWN_STEPS = 8
_SHOWN_KEY = 40


class Refusal(Exception):
    """A value inside another one cannot travel; each container on the way out adds its step."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.steps: list[str] = []

    def inside(self, step: str) -> Refusal:
        self.steps.append(step)
        return self

    def __str__(self) -> str:
        steps = self.steps[::-1]
        path = "".join(steps[:_SHOWN_STEPS]) + ("…" if len(steps) > _SHOWN_STEPS else "")
        return f"at {path}: {self.reason}" if path else self.reason


def show(subject: Any) -> str:
    """A type's qualified name, or a dict's key, short enough for a sentence."""
    if isinstance(subject, type):
        module = "" if subject.__module__ == "builtins" else f"{subject.__module__}."
        return f"{module}{subject.__qualname__}"
    if type(subject) is str and len(subject) > _SHOWN_KEY:
        return f"{subject[:_SHOWN_KEY]!r}…"
    # repr of a huge int is an error, and of a stranger's type anything: only what is known to be short is shown.
    if type(subject) in (str, bool, float, type(None)) or (type(subject) is int and abs(subject) < 10**20):
        return repr(subject)
    return f"<{show(type(subject))}>"


_CONVERTIBLE: tuple[type, ...] = (bool, int, float, complex, str, bytes, bytearray, tuple, list, dict, set, frozenset)
_PLAIN: tuple[type, ...] = (Decimal, UUID, datetime, date, time, timedelta)


def refusal(value: object) -> Refusal:
    """The refusal of a type that is none of those that travel."""
    return Refusal(f"a value of type {show(type(value))} does not travel; {_advice(value)}")


def _advice(value: object) -> str:
    for applies, advice in _ADVICE:
        if applies(value):
            return advice
    return "pass numbers, text, bytes, dates, or lists, tuples, sets and dicts of them"


def _advise_base(kind: type, advice: str) -> tuple[Callable[[object], bool], str]:
    return lambda value: isinstance(value, kind), advice


# The first that applies: an IntEnum is an int too, a numpy.float64 a float, a datetime a date, a Mapping an Iterable.
_ADVICE: tuple[tuple[Callable[[object], bool], str], ...] = (
    _advise_base(enum.Enum, "pass its .value"),
    (
        lambda value: type(value).__module__.partition(".")[0] == "numpy" and hasattr(value, "item"),
        "pass value.item(), or a plain numpy.ndarray",
    ),
    (dataclasses.is_dataclass, "pass dataclasses.asdict(value)"),
    *(_advise_base(kind, f"pass {kind.__name__}(value)") for kind in _CONVERTIBLE),
    *(_advise_base(kind, f"pass a plain {show(kind)}") for kind in _PLAIN),
    _advise_base(memoryview, "pass bytes(value)"),
    (lambda value: hasattr(type(value), "__index__"), "pass int(value)"),
    _advise_base(Mapping, "pass dict(value)"),
    _advise_base(Iterable, "pass list(value)"),
)
