"""One measurement, from ready clients to its result.

ready ─ begin ──warm-up──┬──────── window ────────┬── what is under way ends ── tallies
                         └ look at CPU            └ look at CPU and memory
"""

from __future__ import annotations

import time
from collections.abc import Callable

from ..client.sync import RpcClient
from ..errors import FunctionRaised, ResultNotEncodable, RpcTimeout, WorkerLost
from ..settings import BrokerUrl
from .clients import ClientProcesses
from .load import Load
from .resources import Usage, Watched, spent
from .results import RoleUsage, RunResult
from .stage import BrokerHere, Pool
from .tally import Total, Window

Live = Callable[[float, int, int], None]
"""Is told how things are, several times a second: seconds since the load began, calls ended, of these with an error."""

_TELL_EVERY = 0.2
_END_AFTER = 10.0
"""Seconds past the time-out of the last call at which clients are told to stop."""


def check_call(load: Load, url: BrokerUrl) -> None:
    """Call once, before anything is measured, so that what can never work is told at once and not a million times.

    Raises:
        NoServer, MethodNotFound, InvalidParams, ConnectionFailed …: it cannot work. A function that raises, a call that
            takes too long and a worker that dies are results like others.
    """
    method, args, kwargs = load.call()
    with RpcClient(url.reveal(), queue=load.queue, timeout=load.timeout) as client:
        try:
            client.call(method, *args, timeout=load.timeout, **kwargs)
        except (FunctionRaised, ResultNotEncodable, RpcTimeout, WorkerLost):
            return


def measure(load: Load, broker: BrokerHere, pool: Pool, live: Live) -> RunResult:
    """Run the load once. Ctrl-C (KeyboardInterrupt) ends it early, with what there is by then.

    Raises:
        RpcError: a client process could not do its part.
    """
    with ClientProcesses(load, broker.url) as clients:
        watched = Watched(clients.pids, pool.servers, broker.pid)
        window = Window.after(clients.start(), load.warm_up, load.duration)
        looks: list[dict[str, Usage]] = []
        interrupted_at = None
        try:
            _follow(clients, window, lambda: looks.append(watched.usage()), live)
        except KeyboardInterrupt:
            interrupted_at = min(time.monotonic(), window.end)
            if len(looks) < 2:
                looks.append(watched.usage())
            clients.stop()
        end = window.end if interrupted_at is None else max(window.start, interrupted_at)
        total = Total.of(clients.tallies())
    return RunResult(
        load=load,
        workers=pool.workers,
        prefetch=pool.prefetch,
        seconds=end - window.start,
        interrupted=interrupted_at is not None,
        total=total,
        latency=total.latencies.summary(),
        slot=window.slot,
        roles=_roles(looks) if len(looks) == 2 else {},
    )


def _follow(clients: ClientProcesses, window: Window, look: Callable[[], None], live: Live) -> None:
    """Look at the processes at both ends of the window, and pass on what the clients tell, until all have ended."""
    give_up = window.end + clients.timeout + _END_AFTER
    due = [window.end, window.start]
    told = 0.0
    while due or not clients.finished:
        now = time.monotonic()
        if due and now >= due[-1]:
            look()
            due.pop()
        if now >= told + _TELL_EVERY:
            progress, told = clients.progress, now
            live(max(0.0, now - window.begin), progress.ended, progress.badly)
        if now >= give_up:
            clients.stop()
            return
        clients.wait(min(_TELL_EVERY, max(0.0, due[-1] - now)) if due else _TELL_EVERY)


def _roles(looks: list[dict[str, Usage]]) -> dict[str, RoleUsage]:
    before, after = looks
    return {
        role: RoleUsage(after[role].processes, seconds, after[role].rss, after[role].uss)
        for role, seconds in spent(before, after).items()
    }
