"""What a history says of casts and events: is each done that the broker had confirmed, and how often? Pure.

undone      confirmed, and neither done to its end nor a dead letter that may be one
early       began before it was due
twice       began more than once: at least once is the promise, so they are counted, not blamed
once_twice  began more than once, and must not
buried      dead letters
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from .history import Buried, Event, Finished, Given, Started

EXAMPLES = 5


@dataclass(slots=True)
class Owed:
    """The counts, and a few examples of each as sentences."""

    given: int = 0
    undone: int = 0
    early: int = 0
    twice: int = 0
    once_twice: int = 0
    buried: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)

    def note(self, heading: str, sentence: str) -> None:
        """Count one more, and keep the sentence if there are few."""
        setattr(self, heading, getattr(self, heading) + 1)
        examples = self.examples.setdefault(heading, [])
        if len(examples) < EXAMPLES:
            examples.append(sentence)


@dataclass(slots=True)
class _Seen:
    """What the history tells of each token."""

    given: dict[str, Given] = field(default_factory=dict)
    began: Counter[str] = field(default_factory=Counter)
    first: dict[str, float] = field(default_factory=dict)
    finished: set[str] = field(default_factory=set)
    buried: dict[str, str] = field(default_factory=dict)

    def take(self, event: Event) -> None:
        match event:
            case Given():
                self.given[event.call] = event
            case Started():
                self.began[event.call] += 1
                self.first[event.call] = min(event.at, self.first.get(event.call, math.inf))
            case Finished() if event.raised:
                self.began[event.call] -= 1  # to be tried again is what it asked for
            case Finished():
                self.finished.add(event.call)
            case Buried():
                self.buried[event.call] = event.error


def check_owed(events: Iterable[Event], may_be_buried: Collection[str] = ("OutcomeUnknown",)) -> Owed:
    """The verdict on what was confirmed.

    Args:
        events: of the history.
        may_be_buried: types of errors with which what must not run twice may be a dead letter.
    """
    seen = _Seen()
    for event in events:
        seen.take(event)
    owed = Owed(given=len(seen.given), buried=Counter(seen.buried.values()))
    for call, each in seen.given.items():
        name, began, grave = f"{each.function} {call}", seen.began[call], seen.buried.get(call)
        excused = not each.idempotent and grave in may_be_buried
        if call not in seen.finished and not excused:
            known = "nothing is known of it" if grave is None else f"it is a dead letter: {grave}"
            owed.note("undone", f"{name}: began {began} times, {known}")
        early = each.due - seen.first.get(call, math.inf)
        if early > 0:
            owed.note("early", f"{name}: began {early:.3f} s early")
        if began > 1:
            owed.note("twice" if each.idempotent else "once_twice", f"{name}: began {began} times")
    return owed
