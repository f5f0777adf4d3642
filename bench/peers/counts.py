"""How much of one-way work is done, told through files that processes share.

Nobody answers a cast or an event, so whoever executes or hears them counts: each process has a file in the run's folder
(the environment names it), mapped into memory, with one number of 64 bits for each of its workers or subscribers. The
client of the run reads them. limit/common.h has the same in C.
"""

from __future__ import annotations

import mmap
import os
from pathlib import Path

FOLDER = "RPCSVC_BENCH_COUNTS"
"""The environment variable."""
_SIZE = 8


def new_counts(slots: int = 1) -> memoryview:
    """The numbers of this process, all 0; it adds to them."""
    folder = Path(os.environ[FOLDER])
    new = folder / f".{os.getpid()}"
    new.write_bytes(bytes(_SIZE * slots))
    with new.open("r+b") as file:
        numbers = memoryview(mmap.mmap(file.fileno(), _SIZE * slots)).cast("Q")
    new.rename(folder / f"{os.getpid()}")  # whoever sees it sees all of it
    return numbers


class Counts:
    """The numbers of all processes of a run, as they are now.

    Args:
        folder: where they are; that of the environment unless another is said.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder or Path(os.environ[FOLDER])
        self._numbers: dict[str, memoryview] = {}

    def look(self) -> None:
        """Find the files that are new."""
        for path in self._folder.iterdir():
            if path.name not in self._numbers and not path.name.startswith("."):
                with path.open("r+b") as file:
                    self._numbers[path.name] = memoryview(mmap.mmap(file.fileno(), 0)).cast("Q")

    @property
    def started(self) -> int:
        """How many workers or subscribers have counted anything."""
        return sum(number > 0 for numbers in self._numbers.values() for number in numbers)

    @property
    def total(self) -> int:
        """What all of them counted together."""
        return sum(sum(numbers) for numbers in self._numbers.values())

    @property
    def least(self) -> int:
        """What the slowest of them counted."""
        return min((min(numbers) for numbers in self._numbers.values()), default=0)

    def __len__(self) -> int:
        return sum(map(len, self._numbers.values()))

    def __repr__(self) -> str:
        return f"<Counts of {len(self)}: {self.total}>"
