"""One counter for each worker in memory that the server and the workers share: how many calls it has taken.

When a worker is lost, this tells a call that was running, which ends with the worker, from one that still lay in the
socket of a worker already dead, which has not run and can go to another.
"""

from __future__ import annotations

import mmap
import os
import tempfile
from typing import Self

_COUNTER_BYTES = 8


class TakenCounters:
    """The counters, over a file descriptor that both sides have."""

    def __init__(self, fd: int, size: int) -> None:
        """Map the counters of `size` workers; the descriptor stays the caller's."""
        self._map = mmap.mmap(fd, size * _COUNTER_BYTES)
        self._counters = memoryview(self._map).cast("Q")

    @classmethod
    def create(cls, size: int) -> tuple[Self, int]:
        """New counters, all zero, and a descriptor to hand to the workers; the caller closes it."""
        with tempfile.TemporaryFile() as file:
            file.truncate(size * _COUNTER_BYTES)
            return cls(file.fileno(), size), os.dup(file.fileno())

    def count(self, number: int) -> None:
        """Worker `number` has taken one more call."""
        self._counters[number] += 1

    def __getitem__(self, number: int) -> int:
        return self._counters[number]

    def __setitem__(self, number: int, count: int) -> None:
        self._counters[number] = count
