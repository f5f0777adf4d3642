"""A client process of a peer: `python -m bench.peers.load PEER SETUP`, and the loops that call.

Prints one line when the measurement begins and one when it ends, as the client of the limit does:

    @bench begin
    @bench end {"calls": 12345, "seconds": 2.5, "cpu": 0.31}                        cpu: this process, in seconds

After each of them it waits for a line, or the end, of its input: the runner looks at the other processes then.

Calls in flight are there before it begins, and are waited for after it has ended: what is counted is the steady state.
A map is counted whole, from its first call to its last result.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import deque
from contextlib import AbstractAsyncContextManager
from typing import Any

import uvloop

from . import work
from .everyone import peer_of
from .peer import AsyncClient, Client, Peer, Setup

WARM_UP = 0.3
"""Seconds of calls before the measurement; the first calls open connections and load what is loaded late."""
WARM_UP_MAP = 2_000
"""Calls of a map before the measurement."""
SERVER_TIMEOUT = 30.0
"""Seconds for the first call, which finds out whether the servers answer at all."""


class WrongResult(Exception):
    """A peer's result is not the function's value."""


class Measurement:
    """Announces its beginning and end to the runner, and counts in between."""

    def __init__(self) -> None:
        self.calls = 0
        self._started = self._cpu = 0.0

    def begin(self) -> None:
        print("@bench begin", flush=True)
        sys.stdin.readline()
        self.calls = 0
        self._cpu = time.process_time()
        self._started = time.perf_counter()

    def end(self) -> None:
        seconds = time.perf_counter() - self._started
        cpu = time.process_time() - self._cpu
        print("@bench end", json.dumps({"calls": self.calls, "seconds": seconds, "cpu": cpu}), flush=True)
        sys.stdin.readline()


def check(expected: Any, result: Any) -> None:
    """Raise WrongResult unless they are equal, and of the same kind."""
    if result != expected or type(result) is not type(expected):
        raise WrongResult(f"expected {expected!r:.60}, got {result!r:.60}")


def one_at_a_time(client: Client, setup: Setup, argument: Any, expected: Any) -> None:
    """Call after call."""
    measurement = Measurement()

    def go_on(seconds: float) -> None:
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            check(expected, client.call(argument))
            measurement.calls += 1

    go_on(WARM_UP)
    measurement.begin()
    go_on(setup.seconds)
    measurement.end()


def in_flight(client: Client, setup: Setup, argument: Any, expected: Any) -> None:
    """A new call whenever the oldest one has its result."""
    measurement = Measurement()
    waiting = deque(client.submit(argument) for _ in range(setup.in_flight))

    def go_on(seconds: float) -> None:
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            check(expected, client.result(waiting.popleft()))
            measurement.calls += 1
            waiting.append(client.submit(argument))

    go_on(WARM_UP)
    measurement.begin()
    go_on(setup.seconds)
    measurement.end()
    while waiting:
        check(expected, client.result(waiting.popleft()))


def mapped(client: Client, setup: Setup, argument: Any, expected: Any) -> None:
    """A fixed number of calls, the peer's own way."""
    measurement = Measurement()

    def go_through(calls: int) -> None:
        for result in client.map(argument, calls):
            check(expected, result)
            measurement.calls += 1
        if measurement.calls != calls:
            raise WrongResult(f"{calls} calls were made, {measurement.calls} results came")

    go_through(WARM_UP_MAP)
    measurement.begin()
    go_through(setup.calls)
    measurement.end()


async def asynchronous(client: AsyncClient, setup: Setup, argument: Any, expected: Any) -> None:
    """As many tasks as calls are in flight, each call after call; with one, this is one at a time."""
    measurement = Measurement()
    over = False

    async def caller() -> None:
        while not over:
            check(expected, await client.call(argument))
            measurement.calls += 1

    async with asyncio.TaskGroup() as group:
        for _ in range(setup.in_flight):
            group.create_task(caller())
        await asyncio.sleep(WARM_UP)
        measurement.begin()
        await asyncio.sleep(setup.seconds)
        measurement.end()
        over = True


async def _drive_async(connecting: AbstractAsyncContextManager[AsyncClient], setup: Setup) -> None:
    argument, expected = work.argument_of(setup.function), work.result_of(setup.function)
    async with connecting as client:
        check(expected, await asyncio.wait_for(client.call(argument), SERVER_TIMEOUT))
        await asynchronous(client, setup, argument, expected)


def drive(peer: Peer, setup: Setup) -> None:
    """Measure one peer in one mode."""
    connecting = peer.connect(setup)
    if isinstance(connecting, AbstractAsyncContextManager):
        # The asyncio peers get the quicker event loop too.
        uvloop.run(_drive_async(connecting, setup))
        return
    argument, expected = work.argument_of(setup.function), work.result_of(setup.function)
    with connecting as client:
        check(expected, client.call(argument))
        loop = mapped if setup.maps else one_at_a_time if setup.in_flight == 1 else in_flight
        loop(client, setup, argument, expected)


if __name__ == "__main__":
    drive(peer_of(sys.argv[1], one_way=False), Setup.from_json(sys.argv[2]))
