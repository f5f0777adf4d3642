"""What a history says of the workers: which died, when each was replaced, and for whom they computed. Pure."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from .history import Event, Finished, PoolSeen, ServerEnded, Started


@dataclass(frozen=True, slots=True)
class Lost:
    """A worker was seen no more, while its server went on; and when another one came for it, infinity for never."""

    at: float
    server: int
    pid: int
    replaced: float


@dataclass(frozen=True, slots=True)
class Run:
    """A function ran for a call; `until` it ended or its worker did, infinity for longer than the history."""

    call: str
    pid: int
    at: float
    until: float


def lost_workers(events: Sequence[Event]) -> list[Lost]:
    """Every worker that went while its server was not told to end, in the order of time.

    The first that is lost is replaced by the first that is new, and so on. A worker that is new before one is lost (a
    server that reloads does so) has replaced it already.
    """
    told = {event.server: event.at for event in events if isinstance(event, ServerEnded)}
    seen: dict[int, list[PoolSeen]] = defaultdict(list)
    for event in events:
        if isinstance(event, PoolSeen) and event.at < told.get(event.server, math.inf):
            seen[event.server].append(event)
    return sorted((lost for pools in seen.values() for lost in _lost(pools)), key=lambda lost: lost.at)


def _lost(pools: list[PoolSeen]) -> Iterator[Lost]:
    gone: list[tuple[float, int]] = []
    came: list[float] = []
    before: set[int] = set()
    for pool in pools:
        pids = set(pool.pids)
        gone += [(pool.at, pid) for pid in sorted(before - pids)]
        came += [pool.at] * len(pids - before)
        before = pids
    replacements = came[pools[0].wanted :]
    for number, (at, pid) in enumerate(gone):
        replaced = replacements[number] if number < len(replacements) else math.inf
        yield Lost(at, pools[0].server, pid, max(at, replaced))


def runs(events: Sequence[Event]) -> Mapping[str, list[Run]]:
    """Every run of a function, by call."""
    ended_workers = _ends_of_workers(events)
    found: dict[str, list[Run]] = defaultdict(list)
    open_runs: dict[int, Started] = {}

    def close(start: Started, until: float) -> None:
        gone = next((at for at in ended_workers.get(start.pid, ()) if at >= start.at), math.inf)
        found[start.call].append(Run(start.call, start.pid, start.at, min(until, gone)))

    for event in events:
        if isinstance(event, Started | Finished):
            start = open_runs.pop(event.pid, None)
            if start is not None:
                close(start, event.at)  # a worker that begins another one has done with the one before
            if isinstance(event, Started):
                open_runs[event.pid] = event
    for start in open_runs.values():
        close(start, math.inf)
    return found


def _ends_of_workers(events: Sequence[Event]) -> Mapping[int, list[float]]:
    ends: dict[int, list[float]] = defaultdict(list)
    pids: dict[int, set[int]] = defaultdict(set)
    for event in events:
        if isinstance(event, PoolSeen):
            for pid in pids[event.server] - set(event.pids):
                ends[pid].append(event.at)
            pids[event.server] = set(event.pids)
    return ends
