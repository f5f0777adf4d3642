"""How many casts a server holds beside those that its workers run. Pure.

A cast that is acked makes room for the next one, and that takes the broker a moment: a quorum queue writes to its disk
first. Workers that are over with theirs in less would wait. So while casts are found to be quick, some milliseconds of
work are held beside; while they are not, none: what is held here, no other server runs.

What is held when a server dies may have run, as far as anybody knows. Where that means a dead letter, because functions
must not run twice, no more is held than runs.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..workers.work import Served

SECONDS = 0.02
"""Of work that each worker's share takes."""
LEVELS = (0, 4, 16, 64)
"""Casts for each worker. To hold another number takes the broker another consumer, so it does not change often."""
_CAREFUL_FOR = 256
"""Casts after one that must not run twice."""


class Holding:
    """How many casts of one queue are held.

    Args:
        workers: how many run casts.

    Attributes:
        more: how many may be held beside those that run.
    """

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._level = 0
        self._careful = 0
        self._functions: Mapping[str, Served] = {}
        self._once: frozenset[str] | None = frozenset()  # the names of those that must not run twice; None is none

    @property
    def more(self) -> int:
        return self._level * self._workers

    def came(self, method: str | None, functions: Mapping[str, Served]) -> None:
        """A cast came.

        Args:
            method: what it is of, as its publisher says; None where nothing was said.
            functions: what is served.
        """
        if functions is not self._functions:
            self._functions = functions
            once = frozenset(name for name, served in functions.items() if not served.idempotent)
            self._once = once or None
        if self._once is not None and (method in self._once or method not in functions):
            self.be_careful()
        elif self._careful:
            self._careful -= 1

    def be_careful(self) -> None:
        """One came that must not run twice."""
        self._careful = _CAREFUL_FOR
        self._level = 0

    def learn(self, quick: int) -> None:
        """Each worker does so many casts in `SECONDS`."""
        fits = 0 if self._careful else max(level for level in LEVELS if level <= quick)
        if fits > self._level or quick < self._level // 2 or self._careful:  # not to and fro between two
            self._level = fits

    def __repr__(self) -> str:
        return f"<Holding: {self.more} more than {self._workers} workers run>"
