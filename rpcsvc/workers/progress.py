"""Three numbers for each worker in memory that the server and the workers share: how far it has come.

When a worker is lost, they tell a call that was running, which ends with the worker, from one that still lay in the
socket of a worker already dead, which has not run and can go to another. For a message of many calls they tell which
of them was running. While a function runs that has a time limit, they tell when its time is up, so that the server can
kill a worker that holds on, whatever it does.
"""

from __future__ import annotations

import mmap
import os
import tempfile
from typing import Self

_NUMBERS = 3
_TAKEN, _ITEM, _DEADLINE = range(_NUMBERS)
_NUMBER_BYTES = 8


class Progress:
    """The numbers of all workers, over a file descriptor that both sides have."""

    def __init__(self, fd: int, workers: int) -> None:
        """Map the numbers of `workers` workers; the descriptor stays the caller's."""
        self._map = mmap.mmap(fd, workers * _NUMBERS * _NUMBER_BYTES)
        self._numbers = memoryview(self._map).cast("Q")

    @classmethod
    def create(cls, workers: int) -> tuple[Self, int]:
        """New numbers, all zero, and a descriptor to hand to the workers; the caller closes it."""
        with tempfile.TemporaryFile() as file:
            file.truncate(workers * _NUMBERS * _NUMBER_BYTES)
            return cls(file.fileno(), workers), os.dup(file.fileno())

    def of(self, worker: int) -> WorkerProgress:
        """The numbers of one worker."""
        return WorkerProgress(self._numbers[worker * _NUMBERS : (worker + 1) * _NUMBERS])


class WorkerProgress:
    """How far one worker has come.

    Attributes:
        item: the index of the running call in a message of many, as a sequence of one number.
    """

    def __init__(self, numbers: memoryview[int]) -> None:
        self._numbers = numbers
        self.item = numbers[_ITEM : _ITEM + 1]

    @property
    def taken(self) -> int:
        """How many messages it has taken from its socket."""
        return self._numbers[_TAKEN]

    def take(self) -> None:
        """It has taken one more."""
        self.item[0] = 0
        self._numbers[_TAKEN] += 1

    @property
    def deadline(self) -> int:
        """When the time of the running call is up, in nanoseconds of the machine's monotonic clock; 0 is never."""
        return self._numbers[_DEADLINE]

    @deadline.setter
    def deadline(self, nanoseconds: int) -> None:
        self._numbers[_DEADLINE] = nanoseconds

    def reset(self) -> None:
        """A new worker takes over the number."""
        self._numbers[_TAKEN] = self._numbers[_DEADLINE] = self.item[0] = 0
