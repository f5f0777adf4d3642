"""What happened to the deliveries of one server. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class ServerCounts:
    """What happened since the start, counted in deliveries where nothing else is said.

    Attributes:
        answered: calls that were computed; a reply was published, or none was wanted. A message of many counts each.
        lost: a worker died during them.
        expired: nobody waited for them any more; they did not start.
        cancelled: they were given up; they did not start, or were stopped.
        refused: they are too large, or their callback queue is none that replies may go to; they did not start.
        unknown: they may have run before and must not run twice; the caller was told.
        abandoned: the connection was lost before they could be acked; the broker delivers them again.
        joined: they were delivered again, and took the outcome of what had been computed all the while.
        done: casts that were done.
        again: casts that were published again, to be tried later.
        dead: casts that are dead letters.
        malformed: messages of the control exchange that were none.
    """

    answered: int = 0
    lost: int = 0
    expired: int = 0
    cancelled: int = 0
    refused: int = 0
    unknown: int = 0
    abandoned: int = 0
    joined: int = 0
    done: int = 0
    again: int = 0
    dead: int = 0
    malformed: int = 0
