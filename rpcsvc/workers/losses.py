"""How a message is lost whose worker has ended before it answered. Pure.

A worker that computes one message at a time leaves no doubt: the one that was running has taken it down. Of several
that were running nobody knows which one it was, unless the worker was killed over one of them: each is a suspect then,
and `Lost.beside` says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from .supervisor import Cause, Kill
from .work import Lost, MemoryUse, WorkerExit

_OVER_ONE = (Cause.TIME, Cause.CANCEL)
"""Why a worker is killed over certain messages: those that run beside them have done nothing."""


@dataclass(frozen=True, slots=True)
class Running:
    """A message that was running.

    Attributes:
        item: in a message of many calls, the index of the one that was running.
        memory_limit: how many bytes its worker might take meanwhile; 0 is as many as it likes.
    """

    item: int
    memory_limit: int = 0


def how_lost(
    message: int, running: Mapping[int, Running], exit_: WorkerExit, kill: Kill | None, seconds: float
) -> Lost:
    """How a message is lost that its worker had taken.

    Args:
        message: its number.
        running: what was running, by number.
        exit_: how the worker ended.
        kill: why it was killed, if it was.
        seconds: how long ago it began with the message, or last gave an answer.
    """
    place = running.get(message)
    if place is not None and len(running) > 1:
        return _lost_beside(
            message, place, Lost(exit_, True, place.item, seconds=seconds, beside=len(running) - 1), kill
        )
    item = 0 if place is None else place.item
    if kill is None:
        return Lost(exit_, place is not None, item, seconds=seconds)
    # Killed over a message that is over by now, it was already computing the next: that has done nothing wrong, and
    # ends like one that had been computed.
    is_it = place is not None and message in kill.messages
    return Lost(exit_, is_it, item, is_it and kill.cause is Cause.TIME, kill.memory if is_it else None, seconds)


def _lost_beside(message: int, place: Running, lost: Lost, kill: Kill | None) -> Lost:
    """How one of several is lost: as a suspect, unless the worker was killed over some of them."""
    if kill is None:
        return lost
    if kill.cause in _OVER_ONE:
        if message in kill.messages:
            return replace(lost, over_time=kill.cause is Cause.TIME, beside=0)
        return replace(lost, running=False)
    if kill.memory is not None and 0 < place.memory_limit < kill.memory.used:
        return replace(lost, over_memory=MemoryUse(place.memory_limit, kill.memory.used))
    return lost
