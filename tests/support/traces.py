"""What `troublesome.trace` leaves behind: which calls began, and how often."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from support.processes import wait_until


class Trace:
    """The file in which every start of a call leaves a line."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "trace"

    def __str__(self) -> str:
        return str(self._file)

    def starts(self) -> Counter[int]:
        """How often each call began."""
        return Counter(number for number, _ in self._lines())

    def wait_for(self, *numbers: int) -> None:
        """Return when these calls have begun."""
        wait_until(lambda: self.starts().keys() >= set(numbers))

    def worker_of(self, number: int) -> int:
        """The process id of the worker in which the call began last."""
        return [pid for each, pid in self._lines() if each == number][-1]

    def _lines(self) -> list[tuple[int, int]]:
        text = self._file.read_text() if self._file.exists() else ""
        return [(int(line.split()[0]), int(line.split()[1])) for line in text.splitlines()]
