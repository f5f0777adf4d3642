"""Numbers for each worker in memory that the server and the workers share: how far it has come, and what is called off.

When a worker is lost, they tell a call that was running, which ends with the worker, from one that still lay in the
socket of a worker already dead, which has not run and can go to another. For a message of many calls they tell which
of them was running. While a function runs that has limits, they tell when its time is up and how much memory it may
take, so that the server can kill a worker that holds on, whatever it does. The server in turn notes which messages are
cancelled.

Each number has one writer. A worker counts the messages that it takes; the first is number 1.
"""

from __future__ import annotations

import errno
import mmap
import os
import sys
import tempfile
from typing import Self

from ..errors import PoolFailed

MAX_CANCELLED = 16
"""How many messages of one worker may be cancelled at one time: no fewer than it may be given."""
_TAKEN, _ITEM, _DEADLINE, _MEMORY, _AT_START, _CANCELLED = range(6)
_NUMBERS = _CANCELLED + MAX_CANCELLED
_NUMBER_BYTES = 8


class Progress:
    """The numbers of all workers, over a file descriptor that both sides have."""

    def __init__(self, fd: int, workers: int) -> None:
        """Map the numbers of `workers` workers; the descriptor stays the caller's."""
        self._map = mmap.mmap(fd, workers * _NUMBERS * _NUMBER_BYTES)
        self._numbers = memoryview(self._map).cast("Q")

    @classmethod
    def create(cls, workers: int) -> tuple[Self, int]:
        """New numbers, all zero, and a descriptor to hand to the workers; the caller closes it.

        Raises:
            OSError: there is no memory to share, or no number for the descriptor.
        """
        fd = _memory()
        try:
            os.ftruncate(fd, workers * _NUMBERS * _NUMBER_BYTES)
            return cls(fd, workers), fd
        except BaseException:
            os.close(fd)
            raise

    def of(self, worker: int) -> WorkerProgress:
        """The numbers of one worker."""
        return WorkerProgress(self._numbers[worker * _NUMBERS : (worker + 1) * _NUMBERS])


def _memory() -> int:
    """A descriptor of memory to share. Only where the kernel has none to give it takes a file, and so a folder.

    Raises:
        PoolFailed: there is no folder for it either.
        OSError: there is too little of something.
    """
    if sys.platform == "linux":
        try:
            return os.memfd_create("rpcsvc-progress")
        except OSError as error:
            if error.errno not in (errno.ENOSYS, errno.EPERM, errno.EACCES):
                raise
    try:
        with tempfile.TemporaryFile() as file:
            return os.dup(file.fileno())
    except FileNotFoundError as error:
        raise PoolFailed(
            f"there is no memory to share with the workers: the system has no memfd_create, and for a file: {error};"
            " name a folder that may be written to: TMPDIR"
        ) from None


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
        """How many messages it has taken from its socket: the number of the last one."""
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

    @property
    def memory_limit(self) -> int:
        """How many bytes the worker may take for the running call; 0 is as many as it likes."""
        return self._numbers[_MEMORY]

    @memory_limit.setter
    def memory_limit(self, size: int) -> None:
        self._numbers[_MEMORY] = size

    @property
    def memory_at_start(self) -> int:
        """How many bytes of private memory the worker had before its first call."""
        return self._numbers[_AT_START]

    @memory_at_start.setter
    def memory_at_start(self, size: int) -> None:
        self._numbers[_AT_START] = size

    @property
    def cancelled(self) -> frozenset[int]:
        """The messages that are cancelled, by number; they may be over."""
        return frozenset(self._numbers[_CANCELLED:]) - {0}

    def cancel(self, message: int, *, over: int) -> None:
        """Note that a message is cancelled.

        Args:
            message: its number.
            over: up to this number messages are answered, and their notes of no use any more.
        """
        noted = self._numbers[_CANCELLED:]
        noted[next(place for place, number in enumerate(noted) if number <= over)] = message

    def detach(self) -> None:
        """Write where nobody reads from now on: this process is not the worker any more, but a child of it."""
        self._numbers = memoryview(bytearray(self._numbers)).cast("Q")
        self.item = self._numbers[_ITEM : _ITEM + 1]

    def reset(self) -> None:
        """A new worker takes over the number."""
        for place in range(_NUMBERS):
            self._numbers[place] = 0
