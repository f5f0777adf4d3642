"""What a generator counts, and the sum over generators.

    wanted    = sent + never_sent                      calls that were meant to start in the window
    sent      = succeeded + failed + unfinished

These follow a call by the time it was meant to start, wherever it ends. The timeline follows it by the time it ended:
the throughput of a window is what came back in it, whenever that was sent.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from .latency import Latencies

LATE = 0.001
"""Seconds after its intended start from which the sending of a call counts as late."""


@dataclass(frozen=True, slots=True)
class Window:
    """The measured window, in seconds on the monotonic clock, and the slots that its timeline has.

    Attributes:
        begin: when the load starts; the timeline starts here, with the warm-up.
        start, end: the window.
        slot: the length of a slot in seconds.
    """

    begin: float
    start: float
    end: float
    slot: float

    @classmethod
    def after(cls, begin: float, warm_up: float, duration: float) -> Window:
        """The window of a load that starts at `begin`; about 60 slots, of at least 0.1 s."""
        return cls(begin, begin + warm_up, begin + warm_up + duration, max(0.1, duration / 60))

    @property
    def slots(self) -> int:
        """How many whole slots there are."""
        return max(1, int((self.end - self.begin) / self.slot + 1e-9))


@dataclass(slots=True)
class Tally:
    """Counts of one generator. One thread writes; others may read single numbers for a progress line."""

    window: Window
    latencies: Latencies = field(default_factory=Latencies)
    errors: Counter[str] = field(default_factory=Counter)
    sent: int = 0
    succeeded: int = 0
    unfinished: int = 0
    never_sent: int = 0
    late: int = 0
    largest_delay: float = 0.0
    results_in_window: int = 0
    errors_in_window: int = 0
    results_by_slot: list[int] = field(default_factory=list)
    errors_by_slot: list[int] = field(default_factory=list)
    ended: int = 0
    ended_badly: int = 0

    def __post_init__(self) -> None:
        self.results_by_slot = self.results_by_slot or [0] * self.window.slots
        self.errors_by_slot = self.errors_by_slot or [0] * self.window.slots

    def note_sent(self, intended: float, sent: float) -> None:
        """A call goes out now, `sent`, that was meant to start at `intended`."""
        if intended < self.window.start:
            return
        self.sent += 1
        delay = sent - intended
        self.largest_delay = max(self.largest_delay, delay)
        if delay > LATE:
            self.late += 1

    def note_ended(self, intended: float, ended: float, error: str | None) -> None:
        """A call has ended, with a result or with an error of this name."""
        window = self.window
        self.ended += 1
        self.ended_badly += error is not None
        slot = int((ended - window.begin) / window.slot)
        by_slot = self.results_by_slot if error is None else self.errors_by_slot
        if 0 <= slot < len(by_slot):
            by_slot[slot] += 1
        if window.start <= ended < window.end:
            if error is None:
                self.results_in_window += 1
            else:
                self.errors_in_window += 1
        if intended < window.start:
            return
        if error is None:
            self.succeeded += 1
            self.latencies.record(ended - intended)
        else:
            self.errors[error] += 1

    def note_unfinished(self, intended: float) -> None:
        """A call was given up, because the measurement was."""
        if intended >= self.window.start:
            self.unfinished += 1

    def to_json(self) -> dict[str, Any]:
        """The tally as a JSON object for another process; see `merged`."""
        own = {name: getattr(self, name) for name in (*_SUMS, "largest_delay", "results_by_slot", "errors_by_slot")}
        return {**own, "errors": dict(self.errors), "latencies": self.latencies.encode()}


_SUMS = ("sent", "succeeded", "unfinished", "never_sent", "late", "results_in_window", "errors_in_window")


@dataclass(frozen=True, slots=True)
class Total:
    """The sum of tallies; see Tally for what its numbers mean."""

    latencies: Latencies
    errors: dict[str, int]
    sent: int
    succeeded: int
    unfinished: int
    never_sent: int
    late: int
    results_in_window: int
    errors_in_window: int
    largest_delay: float
    results_by_slot: tuple[int, ...]
    errors_by_slot: tuple[int, ...]

    @property
    def wanted(self) -> int:
        """Calls that were meant to start in the window."""
        return self.sent + self.never_sent

    @property
    def failed(self) -> int:
        """Calls that ended with an error."""
        return sum(self.errors.values())

    @classmethod
    def of(cls, tallies: Iterable[dict[str, Any]]) -> Total:
        """Add up what `Tally.to_json` gave; of the errors, the most frequent comes first."""
        parts = list(tallies)
        errors: Counter[str] = Counter()
        for part in parts:
            errors.update(part["errors"])
        return cls(
            latencies=Latencies.merged(part["latencies"] for part in parts),
            errors=dict(errors.most_common()),
            largest_delay=max((part["largest_delay"] for part in parts), default=0.0),
            results_by_slot=_added(part["results_by_slot"] for part in parts),
            errors_by_slot=_added(part["errors_by_slot"] for part in parts),
            **{name: sum(part[name] for part in parts) for name in _SUMS},
        )

    def to_json(self) -> dict[str, Any]:
        """One tally's form for the sum, so that sums add up too."""
        own = {item.name: getattr(self, item.name) for item in dataclasses.fields(self)}
        return {**own, "latencies": self.latencies.encode()}


def _added(rows: Iterable[Iterable[int]]) -> tuple[int, ...]:
    return tuple(sum(column) for column in zip(*rows, strict=True))
