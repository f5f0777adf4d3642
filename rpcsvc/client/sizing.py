"""How many calls of one method to one message, from what the last ones took."""

from __future__ import annotations

from ..wire.many.answer import MapAnswer
from ..wire.many.request import MAX_CALLS

_GROWTH = 16
"""How much larger the next message may be than the last, however quick that was."""


class ChunkSizer:
    """How many calls of one method may travel together, from what the last ones took.

    A message should hold a few milliseconds of work: enough to make its own cost small, little enough that a pool stays
    fairly shared and a caller that comes in between hardly waits. Begins with one call, because nothing is known.

    Attributes:
        size: how many calls the next message may hold.
        is_settled: whether that follows from what the calls took, rather than from how little was measured so far.
            Stays true once it is.
    """

    def __init__(self, *, target: float = 0.003, most: int = MAX_CALLS, most_bytes: int = 256 * 1024) -> None:
        """Args: target: seconds of work in a message; most: calls; most_bytes: of arguments or results."""
        self._target = target
        self._most = most
        self._most_bytes = most_bytes
        self._seconds: float | None = None
        self._calls = 1  # from how many that is
        self._expected: float | None = None  # likewise, and known also of calls that had better travel alone
        self.size = 1
        self.is_settled = False

    def learn(self, answer: MapAnswer, request_bytes: int) -> None:
        """A message has been answered; the larger of request and results counts."""
        count = len(answer.results)
        each = answer.seconds / count
        if answer.alone:
            self._seconds, self.size, self.is_settled = None, 1, True
            self._expected = each
            return
        if self._seconds is None or each > self._seconds:
            self._seconds = each  # slow calls are believed at once, quick ones by and by
        else:
            # By a quarter; many calls say more than the first one did, in a cold worker.
            self._seconds += (each - self._seconds) * max(0.25, count / (count + 3 * self._calls))
        self._calls, self._expected = count, self._seconds
        by_time = self._target / max(self._seconds, 1e-9)
        by_bytes = self._most_bytes * count / max(answer.size_in_bytes, request_bytes, 1)
        right = min(int(min(by_time, by_bytes)), self._most)
        self.size = max(1, min(right, _GROWTH * max(self.size, count)))
        self.is_settled = self.is_settled or right <= _GROWTH * count

    def expected_seconds(self, calls: int) -> float | None:
        """What so many calls will take, by what the last ones took; None where nothing is known."""
        return None if self._expected is None else calls * self._expected

    def __repr__(self) -> str:
        return f"<ChunkSizer: {self.size} calls of {self._seconds or 0:.2g} s>"
