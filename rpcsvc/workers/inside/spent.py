"""What a worker spends on casts, noted where the server sees it: how many it holds ahead follows from that."""

from __future__ import annotations

import time

from ..job import Context
from ..scoreboard import Slot


class Spending:
    """Around a message that came with a context: if it is no call, the time that it takes is noted.

    Args:
        slot: what computes it.
        context: what came with it.
    """

    __slots__ = ("_begun", "_slot")

    def __init__(self, slot: Slot, context: Context) -> None:
        self._slot = slot if context.kind != "call" else None
        self._begun = 0

    def __enter__(self) -> None:
        self._begun = time.perf_counter_ns()

    def __exit__(self, *_: object) -> None:
        if self._slot is not None:
            self._slot.spend(time.perf_counter_ns() - self._begun)
