"""What a verdict must keep to, and which of it it does not. Pure."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from .checker import Verdict


@dataclass(frozen=True, slots=True)
class Figures:
    """The most that a verdict may show under each heading; None is any number.

    Attributes:
        recovery, refill: seconds.
        twice: casts and events that were done more than once.
        buried: dead letters.
        deaths: workers that went.
        reconnects: servers whose connection was another one in the end.
        fds, memory: growth from before the faults to after them, of one client or server; memory in bytes.
        failed: calls that ended in an error, allowed as it may be.
        least_ok: the share of calls that must succeed, lest a service that refuses everything passes.
        least_given: casts and events that must have been confirmed.
        least_offered, least_useful: calls and successes a second that there must be while faults last.
    """

    lost: int = 0
    hung: int = 0
    wrong: int = 0
    double: int = 0
    late: int = 0
    after: int = 0
    often: int = 0
    unexpected: int = 0
    for_nobody: int = 0
    undrained: int | None = 0
    orphans: int = 0
    zombies: int = 0
    pending: int = 0
    queued: int = 0
    undone: int = 0
    early: int = 0
    twice: int | None = None
    buried: int | None = 0
    deaths: int | None = None
    reconnects: int | None = None
    recovery: float | None = 5.0
    refill: float | None = 2.0
    fds: int | None = 8
    memory: int | None = 100_000_000
    reruns: int | None = None
    failed: int | None = None
    least_ok: float = 0.5
    least_offered: float = 0.0
    least_useful: float = 0.0
    least_given: int = 0


def broken(verdict: Verdict, figures: Figures) -> list[str]:
    """A short text for each figure that the verdict does not keep."""
    found = []
    for field in dataclasses.fields(figures):
        if field.name.startswith("least_"):
            continue
        most, value = getattr(figures, field.name), getattr(verdict, field.name)
        if most is not None and value is not None and value > most:
            found.append(f"{field.name} {_number(value)} > {_number(most)}")
    if not verdict.calls:
        found.append("no calls were made")
    elif verdict.ok + verdict.outcomes["natural"] < figures.least_ok * verdict.calls:
        found.append(f"only {verdict.ok} of {verdict.calls} calls succeeded")
    for name in ("offered", "useful"):
        least, pace = getattr(figures, f"least_{name}"), getattr(verdict, name) or 0.0
        if pace < least:
            found.append(f"{name} {pace:.1f} a second < {least:g}")
    if verdict.given < figures.least_given:
        found.append(f"only {verdict.given} casts and events, fewer than {figures.least_given}")
    return found


def _number(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.2f}"
