"""How many calls of one method to one message, from what the last ones took."""

from __future__ import annotations

from .answer import MapAnswer
from .request import MAX_CALLS

_GROWTH = 16
"""How much larger the next message may be than the last, however quick that was."""


class ChunkSizer:
    """How many calls of one method may travel together, from what the last ones took.

    A message should hold a few milliseconds of work: enough to make its own cost small, little enough that a pool stays
    fairly shared and a caller that comes in between hardly waits. Begins with one call, because nothing is known.
    """

    def __init__(self, *, target: float = 0.003, most: int = MAX_CALLS, most_bytes: int = 256 * 1024) -> None:
        """Args: target: seconds of work in a message; most: calls; most_bytes: of arguments or results."""
        self._target = target
        self._most = most
        self._most_bytes = most_bytes
        self._seconds: float | None = None
        self.size = 1

    def learn(self, answer: MapAnswer, request_bytes: int) -> None:
        """A message has been answered; the larger of request and results counts."""
        if answer.alone:
            self._seconds, self.size = None, 1
            return
        count = len(answer.results)
        each = answer.seconds / count
        if self._seconds is None or each > self._seconds:
            self._seconds = each  # slow calls are believed at once, quick ones by and by
        else:
            self._seconds += (each - self._seconds) / 4
        by_time = self._target / max(self._seconds, 1e-9)
        by_bytes = self._most_bytes * count / max(answer.size_in_bytes, request_bytes, 1)
        self.size = max(1, min(int(min(by_time, by_bytes)), self._most, _GROWTH * max(self.size, count)))

    def __repr__(self) -> str:
        return f"<ChunkSizer: {self.size} calls of {self._seconds or 0:.2g} s>"
