"""How long before its deadline a call that still waits in the queue is given up there.

A queue is first in, first out. When more is asked than the servers can do, every call waits until shortly before its
deadline, and then begins: too late for each of them, and the servers are busy with nothing but answers that nobody
waits for. So a call leaves the queue when too little time is left to compute it, and those behind it get their turn.

What is too little is measured: twice what the method's quickest call took from end to end. That is cautious, for most
calls need more, and a method whose calls differ much is hardly touched. Never is it more than half of the time, nor
more than half a second: a server counts a call's time from its delivery, by what is reserved too short, and stops one
that runs a second beyond.
"""

from __future__ import annotations

_QUICKEST, _SHARE, _MOST = 2.0, 0.5, 0.5
_REMEMBERED_METHODS = 1000


class Reserve:
    """What one client knows of the methods it calls."""

    def __init__(self) -> None:
        self._quickest: dict[str, float] = {}

    def answered(self, method: str, seconds: float) -> None:
        """A call had its result after so many seconds."""
        quickest = self._quickest.get(method)
        if quickest is None:
            if len(self._quickest) >= _REMEMBERED_METHODS:
                del self._quickest[next(iter(self._quickest))]
            self._quickest[method] = seconds
        elif seconds < quickest:
            self._quickest[method] = seconds

    def in_queue(self, method: str, remaining: float) -> float:
        """How many of the seconds that remain to a call it may wait in the queue."""
        quickest = self._quickest.get(method)
        return remaining if quickest is None else remaining - min(_QUICKEST * quickest, _SHARE * remaining, _MOST)

    def __repr__(self) -> str:
        return f"<Reserve for {len(self._quickest)} methods>"
