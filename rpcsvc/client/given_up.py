"""The calls that nobody waits for any more, until every server that may get them has been told.

    add --> to tell --take--> told --(a server comes)--> to tell once more
               |                                            ^
               +--keep (nobody hears)--> kept --------------+      each for what was left of its time

A call is known to servers by its callback queue and its id. One that is told while no server is there is told to
nobody, and its message waits in the queue for the next one; one that was told may wait there for another server than
the one that heard of it. So both are remembered. The clock is given.
"""

from __future__ import annotations

from ..deadline import Clock

LATELY = 1.0
"""Seconds after which it has shown whether a server was there that heard what was told."""
GRACE = 2.0
"""Seconds that a call whose time is up is kept while nobody hears: its message may just be on its way to a server."""


class GivenUp:
    """Calls given up, by callback queue and id.

    Args:
        clock: seconds.
        most: how many may wait to be told.
        most_kept: how many are remembered beside those.
    """

    def __init__(self, clock: Clock, *, most: int = 100_000, most_kept: int = 10_000) -> None:
        self._clock = clock
        self._most = most
        self._most_kept = most_kept
        self._to_tell: dict[tuple[str, str], float] = {}
        self._kept: dict[tuple[str, str], float] = {}
        self._kept_until = float("-inf")
        self._added = float("-inf")

    def add(self, reply_to: str, call_id: str, deadline: float) -> None:
        """A call is to be told, whose time is up at `deadline`."""
        if len(self._to_tell) < self._most:
            self._to_tell[reply_to, call_id] = deadline
            self._added = self._clock()

    def take(self) -> dict[str, dict[str, float]]:
        """What is to be told now: the seconds left of each call, by callback queue and id."""
        moment = self._clock()
        told: dict[str, dict[str, float]] = {}
        for key, deadline in self._to_tell.items():
            left = max(0.0, deadline - moment)
            told.setdefault(key[0], {})[key[1]] = left
            if left:
                self._keep(key, deadline)
        self._to_tell.clear()
        return told

    def keep(self) -> None:
        """Nobody hears now: what is to be told waits."""
        soon = self._clock() + GRACE
        for key, deadline in self._to_tell.items():
            self._keep(key, max(deadline, soon))
        self._to_tell.clear()

    def recall(self) -> None:
        """A server came that may know of none: what was told or kept, and has time left, is to be told."""
        moment = self._clock()
        for (reply_to, call_id), deadline in self._kept.items():
            if moment < deadline:
                self.add(reply_to, call_id, deadline)
        self._kept.clear()

    def forget(self) -> None:
        """Do not tell what was to be told."""
        self._to_tell.clear()

    @property
    def is_keeping(self) -> bool:
        """Whether there is something that a server that comes now must be told."""
        if self._kept and self._clock() >= self._kept_until:
            self._kept.clear()
        return bool(self._kept or self._to_tell)

    @property
    def is_fresh(self) -> bool:
        """Whether something of that came so lately that nobody knows yet whether a server is there to hear it."""
        return self.is_keeping and self._clock() - self._added < LATELY

    def _keep(self, key: tuple[str, str], deadline: float) -> None:
        self._kept.pop(key, None)
        if len(self._kept) >= self._most_kept:
            moment = self._clock()
            self._kept = {each: until for each, until in self._kept.items() if moment < until}
            if len(self._kept) >= self._most_kept:
                del self._kept[next(iter(self._kept))]
        self._kept[key] = deadline
        self._kept_until = max(self._kept_until, deadline)

    def __len__(self) -> int:
        return len(self._to_tell)

    def __repr__(self) -> str:
        return f"<GivenUp: {len(self._to_tell)} to tell, {len(self._kept)} kept>"
