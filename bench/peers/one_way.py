"""What a peer of one-way work is: casts, which are confirmed and executed, and events, which go to all subscribers.

The client of a run is a `Client` or an `AsyncClient` whose `call` publishes one cast or event and returns None when the
broker has confirmed it. Beside that it may have
    cast_many(arguments)  publish them all, as fast as confirms come when several are awaited at a time
    fill(arguments)       publish them all, confirmed or not: what is there before executing is measured
A server counts what it does, through `counts`.
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from rpcsvc import Registry

from . import counts, work
from .modes import Mode
from .peer import Peer, Setup

TOPIC = "bench.event"
PATTERN = "bench.*"
BODY = {"user": 12345, "action": "view", "page": "/index.html"}
"""Every event: its topic, what subscribers subscribe to, and what it says."""


class Caster(Protocol):
    """A client that blocks."""

    def call(self, argument: Any) -> None: ...
    def cast_many(self, arguments: Iterable[Any]) -> None: ...
    def fill(self, arguments: Iterable[Any]) -> None: ...


class OneWay(Peer):
    """The casts and events of one peer.

    Attributes:
        quick: casts a second that its workers may come to: as many wait for each second of a run.
        events: whether it has any.
        threads: callers with which casts are pipelined; 0 where `cast_many` or tasks do that.
    """

    one_way = True
    quick = 5_000
    events = True
    threads = 0

    def unable(self, mode: Mode) -> str | None:
        return None

    def skips(self, mode: Mode) -> bool:
        return mode.kind == "event" and not self.events

    def servers(self, setup: Setup) -> list[list[str]]:
        if setup.kind == "event":
            return super().servers(setup) or [self.server(setup)]
        return super().servers(setup)

    def client(self, setup: Setup) -> list[str]:
        return [sys.executable, "-m", "bench.peers.load_one_way", self.name, setup.to_json()]

    def consumers(self, setup: Setup) -> tuple[str, int] | None:
        return None  # a server says that it is ready by its counts

    def queues(self, setup: Setup) -> list[str]:
        return [setup.queue]


_mine = functools.cache(counts.new_counts)
os.register_at_fork(after_in_child=_mine.cache_clear)  # a forked process has counts of its own


def counted(argument: int) -> int:
    """fib, counted; the function that casts name."""
    result = work.FUNCTIONS["fib"](argument)
    _mine()[0] += 1
    return result  # type: ignore[no-any-return]


registry = Registry()
registry.function(counted)


def subscribers(number: int) -> list[Callable[[], None]]:
    """For each of some subscribers what counts an event; not to be made before all of them are subscribed."""
    numbers = counts.new_counts(number)

    def counter(slot: int) -> Callable[[], None]:
        def count() -> None:
            numbers[slot] += 1

        return count

    return [counter(slot) for slot in range(number)]
