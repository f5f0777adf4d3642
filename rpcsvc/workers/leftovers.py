"""What a fork server that was killed has left, in the server process: it is found by a mark in its environment.

Workers end with their fork server. What their functions have started does not, and is nobody's child any more whom we
know. Each fork server has a random word in its environment, which all below it inherit. What was started with another
environment than its parent's is not found.
"""

from __future__ import annotations

import contextlib
import os
import time

from ..broker.processes import marked
from .orphans import MARK, children_of, kill, state_of
from .shortage import is_passing

_STEP = 0.01
"""Seconds."""


def children_of_session(session: int) -> set[int]:
    """The children of this process, zombies among them, that are of a session: none, if it is not process 1."""
    with contextlib.suppress(OSError):  # too little of something to look
        return {pid for pid in children_of(os.getpid()) if state_of(pid)[1] == session}
    return set()


def end_marked(mark: str, within: float) -> set[int]:
    """Kill every process with this mark; their pids.

    Args:
        within: seconds.
    """
    found: set[int] = set()
    end = time.monotonic() + within
    while (left := _marked(mark)) != set() and time.monotonic() < end:
        found |= left or set()
        kill(left or ())
        time.sleep(_STEP)
    return found


def _marked(mark: str) -> set[int] | None:
    """The processes with this mark; None where there is too little of something to look, for now."""
    try:
        return {process.pid for process in marked(MARK, mark)}
    except OSError as error:
        if is_passing(error):
            return None
        raise
