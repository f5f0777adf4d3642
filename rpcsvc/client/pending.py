"""What waits for a reply: added once, ended once.

A client has two such tables: of the calls that somebody waits for, and of the messages that several of them share. A
call leaves its table by exactly one of `pop` (its reply came, or somebody gave it up), `expire` (its deadline passed)
and `drain` (nobody can answer any more). Whoever takes it out ends it; so no call ends twice and none is forgotten.
Replies that find no call are counted by what they are: late, duplicate, or for nobody.

Everything that knows of time is told it: `now` is seconds on the caller's monotonic clock.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar


class HasDeadline(Protocol):
    """What this table needs to know of a call."""

    @property
    def deadline(self) -> float:
        """Seconds on the table's clock."""
        ...


Call = TypeVar("Call", bound=HasDeadline)

REMEMBERED = 10_000
"""How many ended ids are kept at least, to tell a late reply or a duplicate from a stranger; twice as many at most."""
_SLACK = 64


@dataclass(slots=True)
class ReplyCounts:
    """Replies that found no call waiting.

    Attributes:
        late: the call had timed out or been given up.
        duplicate: the call had been answered before.
        unknown: no such call is remembered.
    """

    late: int = 0
    duplicate: int = 0
    unknown: int = 0


class Ended:
    """The ids that ended last, and how: what a reply is that finds nothing waiting.

    Attributes:
        dropped: such replies.
    """

    def __init__(self) -> None:
        # Two generations: to drop the oldest id for each new one costs each call half a microsecond.
        self._ids: dict[str, bool] = {}
        self._older: dict[str, bool] = {}
        self.dropped = ReplyCounts()

    def add(self, correlation_id: str, *, answered: bool) -> None:
        """Remember that a call, or message, ended: by a reply, or otherwise."""
        self._ids[correlation_id] = answered
        if len(self._ids) >= REMEMBERED:
            self._ids, self._older = {}, self._ids

    def count_dropped(self, correlation_id: str | None) -> None:
        """Count a reply that found nothing waiting."""
        match self._answered(correlation_id or ""):
            case True:
                self.dropped.duplicate += 1
            case False:
                self.dropped.late += 1
            case _:
                self.dropped.unknown += 1

    def count_late(self, correlation_id: str) -> None:
        """Count a result that came with others for a call that had ended, unless that was answered before."""
        if self._answered(correlation_id) is False:
            self.dropped.late += 1

    def _answered(self, correlation_id: str) -> bool | None:
        return self._ids.get(correlation_id, self._older.get(correlation_id))


class Pending(Generic[Call]):
    """Calls by correlation id, and the order of their deadlines.

    Args:
        ended: where those that end are remembered; one memory may serve several tables.
    """

    def __init__(self, ended: Ended | None = None) -> None:
        self._calls: dict[str, Call] = {}
        # Deadlines in a heap; an entry whose call has ended is stale and skipped, and stale ones are swept out before
        # they outnumber the live. Deadlines mostly come in rising order, where a push takes constant time.
        self._deadlines: list[tuple[float, str]] = []
        self._ended = Ended() if ended is None else ended

    def add(self, correlation_id: str, call: Call) -> None:
        """A call begins to wait. The id must be new."""
        assert correlation_id not in self._calls
        self._calls[correlation_id] = call
        heapq.heappush(self._deadlines, (call.deadline, correlation_id))

    def pop(self, correlation_id: str, *, answered: bool) -> Call | None:
        """End a call; None if it does not wait (any more).

        Args:
            answered: a reply ended it, so another reply will be a duplicate; otherwise a reply will be late.
        """
        call = self._calls.pop(correlation_id, None)
        if call is not None:
            self._ended.add(correlation_id, answered=answered)
            if len(self._deadlines) > 2 * len(self._calls) + _SLACK:
                self._sweep()
        return call

    def get(self, correlation_id: str | None) -> Call | None:
        """The waiting call of that id, or None; it goes on waiting."""
        return None if correlation_id is None else self._calls.get(correlation_id)

    def expire(self, now: float) -> list[tuple[str, Call]]:
        """End every call whose deadline has come, and return them in the order of their deadlines."""
        expired = []
        while self._deadlines and self._deadlines[0][0] <= now:
            _, correlation_id = heapq.heappop(self._deadlines)
            if (call := self._calls.pop(correlation_id, None)) is not None:
                self._ended.add(correlation_id, answered=False)
                expired.append((correlation_id, call))
        return expired

    def drain(self) -> list[tuple[str, Call]]:
        """End every call, and return them."""
        calls = list(self._calls.items())
        for correlation_id, _ in calls:
            self._ended.add(correlation_id, answered=False)
        self._calls.clear()
        self._deadlines.clear()
        return calls

    def next_deadline(self) -> float:
        """The earliest deadline of a waiting call; infinite where none waits."""
        while self._deadlines and self._deadlines[0][1] not in self._calls:
            heapq.heappop(self._deadlines)
        return self._deadlines[0][0] if self._deadlines else math.inf

    def __iter__(self) -> Iterator[Call]:
        """The waiting calls; none may come or go meanwhile."""
        return iter(self._calls.values())

    def _sweep(self) -> None:
        self._deadlines = [entry for entry in self._deadlines if entry[1] in self._calls]
        heapq.heapify(self._deadlines)

    def __contains__(self, correlation_id: object) -> bool:
        return correlation_id in self._calls

    def __len__(self) -> int:
        return len(self._calls)

    def __repr__(self) -> str:
        return f"<Pending: {len(self)} waiting, dropped {self._ended.dropped}>"
