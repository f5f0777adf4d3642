"""Which deliveries of a channel are dealt with, and in how few acks that is said. Pure.

The broker numbers the deliveries of a channel from 1. An ack is for one of them, or for all up to it. Where those that
are dealt with have no gap, one ack says it, and the broker writes one record of it to its disk instead of many. Few are
safer too: a quorum queue that is behind with dozens of acks was seen to forget some when the channel ended at once.
"""

from __future__ import annotations


class Acks:
    """The deliveries of one channel, all of which are to be acked here, each once.

    Nothing else may ack on the channel. A delivery that is never dealt with has those after it acked one by one.
    """

    __slots__ = ("_early", "_said", "_waiting")

    def __init__(self) -> None:
        self._said = 0  # all up to this one are acked
        self._early: set[int] = set()  # acked although one before them is not
        self._waiting: list[int] = []  # dealt with, and not acked yet

    def add(self, tag: int) -> int:
        """A delivery is dealt with; how many are since `take`."""
        self._waiting.append(tag)
        return len(self._waiting)

    def take(self) -> list[tuple[int, bool]]:
        """The acks that are to be sent now, in order: a delivery's number, and whether all up to it are meant."""
        waiting, early = self._waiting, self._early
        self._waiting = []
        waiting.sort()
        before = last = self._said
        position = 0
        while True:
            if position < len(waiting) and waiting[position] == last + 1:
                position += 1
            elif last + 1 in early:
                early.remove(last + 1)
            else:
                break
            last += 1
        rest = waiting[position:]
        early.update(rest)
        acks = [(tag, False) for tag in rest]
        if position:
            self._said = last
            acks.insert(0, (waiting[position - 1], waiting[position - 1] > before + 1))
        return acks

    def __repr__(self) -> str:
        return f"<Acks: up to {self._said}, and {len(self._early)} after it; {len(self._waiting)} wait>"
