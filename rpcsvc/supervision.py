"""What to do when a worker process ends. Decisions only; the pool carries them out.

A worker that had been ready is replaced at once: the fork server that makes the next one has proved itself, and the
call that killed this one has its answer. A worker that ends before it is ready would do so again and again; after a
few in a row the pool gives up, with a reason, rather than spin (as an Erlang supervisor does, and gunicorn's "failed
to boot").
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from .errors import describe_exit

MAX_FAILED_STARTS = 5


@dataclass(frozen=True, slots=True)
class WorkerExit:
    """How a worker process ended: an exit code, or the signal that killed it, or neither where that is not known."""

    pid: int
    exit_code: int | None
    signal_number: int | None

    @classmethod
    def from_wait_status(cls, pid: int, code: int) -> WorkerExit:
        """From what `os.waitstatus_to_exitcode` gives: a negative code is a signal."""
        return cls(pid, None, -code) if code < 0 else cls(pid, code, None)

    def __str__(self) -> str:
        return f"worker process {self.pid} ended {describe_exit(self.exit_code, self.signal_number)}"


@dataclass(frozen=True, slots=True)
class Replace:
    """Make another worker now."""


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Stop the pool."""

    reason: str


Decision: TypeAlias = Replace | GiveUp


class Supervisor:
    """Counts what happened to workers, and decides."""

    def __init__(self, *, max_failed_starts: int = MAX_FAILED_STARTS) -> None:
        self._max_failed_starts = max_failed_starts
        self._failed_starts = 0
        self.lost = 0

    def became_ready(self) -> None:
        """A worker has started and can compute."""
        self._failed_starts = 0

    def ended(self, exit_: WorkerExit, *, was_ready: bool) -> Decision:
        """A worker has ended without being asked to."""
        self.lost += 1
        if was_ready:
            return Replace()
        self._failed_starts += 1
        if self._failed_starts < self._max_failed_starts:
            return Replace()
        return GiveUp(f"{self._failed_starts} workers in a row ended before they were ready; the last: {exit_}")

    def __repr__(self) -> str:
        return f"<Supervisor: {self.lost} lost, {self._failed_starts} failed starts in a row>"
