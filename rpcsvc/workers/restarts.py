"""When to stop rather than to replace workers that end, again and again. Pure.

A worker that had been ready is replaced at once: the fork server that makes the next one has proved itself, and the
call that killed this one has its answer. There are two reasons to stop rather than spin, as an Erlang supervisor stops:

- Workers end before they are ready, a few in a row. The next would do so too.
- A storm: more than `max_restarts` workers end within `restart_window` seconds, and in that time fewer messages are
  answered than workers end. It needs both: a pool under full load in which one call of a hundred kills its worker
  loses dozens of workers a second, but each of those calls has an owner and its answer, and the other calls get theirs.
  A pool in which every call ends a worker, or in which workers end without a call, serves nobody.

What the pool itself ended (limits, cancels, recycling, reloading) is not told here and does not count.
"""

from __future__ import annotations

from collections import deque

from ..deadline import Clock
from ..settings.server import DEFAULT_RESTART_WINDOW
from .work import WorkerExit

MAX_FAILED_STARTS = 5


def default_max_restarts(workers: int) -> int:
    """How many workers may end within the window: somebody who kills one each second is far below it."""
    return max(100, 20 * workers)


class Restarts:
    """Counts what happened to the workers of one generation.

    Args:
        clock: in seconds.
        max_restarts: how many workers may end within the window, whatever else happens.
        restart_window: in seconds.
        max_failed_starts: how many workers in a row may end before they are ready.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        max_restarts: int,
        restart_window: float = DEFAULT_RESTART_WINDOW,
        max_failed_starts: int = MAX_FAILED_STARTS,
    ) -> None:
        self._clock = clock
        self._max_restarts = max_restarts
        self._window = restart_window
        self._max_failed_starts = max_failed_starts
        self._failed_starts = 0
        self._exits: deque[tuple[float, int]] = deque()

    def became_ready(self) -> None:
        """A worker has started and can compute."""
        self._failed_starts = 0

    def ended(self, exit_: WorkerExit, *, was_ready: bool, answered: int) -> str | None:
        """A worker has ended without being asked to: why to stop the pool, or None to replace the worker.

        Args:
            exit_: how.
            was_ready: whether it had become ready.
            answered: how many messages all workers have answered by now.
        """
        now = self._clock()
        self._exits.append((now, answered))
        while self._exits[0][0] < now - self._window:
            self._exits.popleft()
        if not was_ready:
            self._failed_starts += 1
            if self._failed_starts >= self._max_failed_starts:
                return f"{self._failed_starts} workers in a row ended before they were ready; the last: {exit_}"
        many = len(self._exits)
        if many > self._max_restarts and answered - self._exits[0][1] < many:
            return (
                f"{many} workers ended within {self._window:g} s, and fewer messages were answered; the last: {exit_}"
            )
        return None

    def __repr__(self) -> str:
        return f"<Restarts: {len(self._exits)} lately, {self._failed_starts} failed starts in a row>"
