"""Numbers for each worker in memory that the server and the workers share: what runs, and what is called off.

    one row a worker:  memory at start │ cancelled messages │ ends │ slot 0: message, item, time, memory, spent │ slot 1

When a worker is lost, its row tells a message that was running, which ends with the worker, from one that still lay in
the socket of a worker already dead, which has not run and can go to another. For a message of many calls it tells which
of them was running. While a function runs that has limits, it tells when its time is up and how much memory it may
take, so that the server can kill a worker that holds on, whatever it does. The server in turn notes which messages are
cancelled, and until when somebody waits for each: for a function that asks, which few do.

Each number has one writer. Messages are taken in the order in which they were given, from number 1, each by a slot that
is free: a slot computes one at a time. A worker has as many slots as threads that compute.
"""

from __future__ import annotations

import errno
import mmap
import os
import sys
import tempfile
from collections.abc import Container, Iterator
from typing import Self

from ..errors import PoolFailed

MAX_GIVEN = 16
"""How many messages a worker with one slot may be given that it has not answered; one with more slots, one for each.
No more of them can be cancelled at one time."""
_AT_START, _CANCELLED = 0, 1
_MESSAGE, _ITEM, _DEADLINE, _MEMORY, _SPENT, _SLOT_NUMBERS = range(6)
_NUMBER_BYTES = 8


class Scoreboard:
    """The rows of all workers, over a file descriptor that both sides have."""

    def __init__(self, fd: int, workers: int, slots: int = 1) -> None:
        """Map the rows of `workers` workers, each with so many slots; the descriptor stays the caller's."""
        self._row_numbers, self._slots = _row_numbers(slots), slots
        self._map = mmap.mmap(fd, workers * self._row_numbers * _NUMBER_BYTES)
        self._numbers = memoryview(self._map).cast("Q")

    @classmethod
    def create(cls, workers: int, slots: int = 1) -> tuple[Self, int]:
        """New rows, all zero, and a descriptor to hand to the workers; the caller closes it.

        Raises:
            OSError: there is no memory to share, or no number for the descriptor.
        """
        fd = _memory()
        try:
            os.ftruncate(fd, workers * _row_numbers(slots) * _NUMBER_BYTES)
            return cls(fd, workers, slots), fd
        except BaseException:
            os.close(fd)
            raise

    def row(self, worker: int) -> Row:
        """The numbers of one worker."""
        return Row(self._numbers[worker * self._row_numbers : (worker + 1) * self._row_numbers], self._slots)


def _places(slots: int) -> int:
    """How many messages a row has room for that are cancelled, or whose end is noted."""
    return max(MAX_GIVEN, slots)


def _row_numbers(slots: int) -> int:
    return _CANCELLED + 2 * _places(slots) + slots * _SLOT_NUMBERS


def _memory() -> int:
    """A descriptor of memory to share. Only where the kernel has none to give it takes a file, and so a folder.

    Raises:
        PoolFailed: there is no folder for it either.
        OSError: there is too little of something.
    """
    if sys.platform == "linux":
        try:
            return os.memfd_create("rpcsvc-scoreboard")
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


class Slot:
    """What one thread of a worker computes.

    Attributes:
        item: the index of the running call in a message of many, as a sequence of one number.
    """

    def __init__(self, numbers: memoryview[int]) -> None:
        self.use(numbers)

    def use(self, numbers: memoryview[int]) -> None:
        """Have these numbers from now on."""
        self._numbers = numbers
        self.item = numbers[_ITEM : _ITEM + 1]

    @property
    def message(self) -> int:
        """The number of the message that it has taken last; 0 before the first."""
        return self._numbers[_MESSAGE]

    def take(self, message: int) -> None:
        """Note that it begins with a message."""
        self.item[0] = 0
        self._numbers[_MESSAGE] = message

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
    def spent(self) -> int:
        """Nanoseconds that it has spent on casts, on all of them together."""
        return self._numbers[_SPENT]

    def spend(self, nanoseconds: int) -> None:
        """Note that a cast took so long."""
        self._numbers[_SPENT] += nanoseconds


class Row:
    """The numbers of one worker.

    Attributes:
        slots: those of its threads that compute.
        ends: until when somebody waits for each message that it was given, in seconds on the machine's monotonic clock,
            at the message's number modulo their length; 0 is no end. It stays there until the message is taken, and
            where there is one slot until it is answered.
    """

    def __init__(self, numbers: memoryview[int], slots: int) -> None:
        self._ends = _CANCELLED + _places(slots)
        self._first_slot = self._ends + _places(slots)
        self._use(numbers)
        self.slots = tuple(Slot(part) for part in self._parts())

    def _use(self, numbers: memoryview[int]) -> None:
        self._numbers = numbers
        self.ends: memoryview[float] = numbers[self._ends : self._first_slot].cast("B").cast("d")  # no whole numbers

    def _parts(self) -> Iterator[memoryview[int]]:
        for place in range(self._first_slot, len(self._numbers), _SLOT_NUMBERS):
            yield self._numbers[place : place + _SLOT_NUMBERS]

    @property
    def taken(self) -> int:
        """How many messages it has taken from its socket: the number of the last one."""
        return max(slot.message for slot in self.slots)

    @property
    def spent(self) -> int:
        """Nanoseconds that it has spent on casts, on all of them together."""
        return sum(slot.spent for slot in self.slots)

    def slot_of(self, message: int) -> Slot | None:
        """The slot that computes a message, or has computed it last; None if none has."""
        return next((slot for slot in self.slots if slot.message == message), None)

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
        return frozenset(self._numbers[_CANCELLED : self._ends]) - {0}

    def cancel(self, message: int, *, under_way: Container[int]) -> None:
        """Note that a message is cancelled.

        Args:
            message: its number.
            under_way: the messages that are not answered; notes of others are of no use any more.
        """
        noted = self._numbers[_CANCELLED : self._ends]
        noted[next(place for place, number in enumerate(noted) if number not in under_way)] = message

    def detach(self) -> None:
        """Write where nobody reads from now on: this process is not the worker any more, but a child of it."""
        self._use(memoryview(bytearray(self._numbers)).cast("Q"))
        for slot, part in zip(self.slots, self._parts(), strict=True):
            slot.use(part)

    def reset(self) -> None:
        """A new worker takes over the row."""
        for place in range(len(self._numbers)):
            self._numbers[place] = 0
