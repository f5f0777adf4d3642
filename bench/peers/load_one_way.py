"""A client process of one-way work: `python -m bench.peers.load_one_way PEER SETUP`, and its loops.

Prints what `load` prints, and waits as it does; where casts are executed, before that one line when they are there:

    @bench filled
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from typing import cast

import uvloop

from . import load
from .counts import Counts
from .everyone import peer_of
from .one_way import BODY, Caster, OneWay
from .peer import AsyncClient, Client, Setup, Unavailable

READY = 30.0
"""Seconds for servers to execute, and for subscribers to be there and to hear everything."""
WINDOW = 500
"""Events that may be published and not heard by every subscriber: none of them has to drop any."""
_LOOK = 0.001
_ARGUMENT = 30


def drive(peer: OneWay, setup: Setup) -> None:
    """Measure one peer in one mode."""
    connecting = peer.connect(setup)
    if isinstance(connecting, AbstractAsyncContextManager):
        uvloop.run(_drive_async(peer, connecting, setup))
        return
    with connecting as connected:
        client = cast(Caster, connected)
        match setup.kind:
            case "cast":
                client.call(_ARGUMENT)
                loop = one_by_one if setup.in_flight == 1 else threaded if peer.threads else pipelined
                loop(peer, client, setup)
            case "executed":
                client.fill(itertools.repeat(_ARGUMENT, how_many(peer, setup)))
                executed(setup, how_many(peer, setup))
            case _:
                events(client, setup)


async def _drive_async(peer: OneWay, connecting: AbstractAsyncContextManager[AsyncClient], setup: Setup) -> None:
    async with connecting as client:
        match setup.kind:
            case "cast":
                await client.call(_ARGUMENT)
                await load.asynchronous(client, setup, _ARGUMENT, None)
            case "executed":
                await fill_async(client, setup, how_many(peer, setup))
                executed(setup, how_many(peer, setup))
            case _:
                await events_async(client, setup)


def how_many(peer: OneWay, setup: Setup) -> int:
    """Casts that are there when executing begins: more than will be executed."""
    return int(peer.quick * (setup.seconds + load.WARM_UP + 1))


# ---- casts that are confirmed


def one_by_one(_peer: OneWay, client: Caster, setup: Setup) -> None:
    """Each when the one before it is confirmed."""
    load.one_at_a_time(cast(Client, client), setup, _ARGUMENT, None)


def pipelined(_peer: OneWay, client: Caster, setup: Setup) -> None:
    """All in one go, for the time of a run; the time ends when the last one is confirmed."""
    measurement = load.Measurement()

    def arguments(seconds: float) -> Iterator[int]:
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            measurement.calls += 1
            yield _ARGUMENT

    client.cast_many(arguments(load.WARM_UP))
    measurement.begin()
    client.cast_many(arguments(setup.seconds))
    measurement.end()


def threaded(peer: OneWay, client: Caster, setup: Setup) -> None:
    """One by one in each of some threads."""
    threads = peer.threads
    measurement = load.Measurement()
    counted = [0] * threads
    over = threading.Event()

    def caller(number: int) -> None:
        while not over.is_set():
            client.call(_ARGUMENT)
            counted[number] += 1

    callers = [threading.Thread(target=caller, args=(number,), daemon=True) for number in range(threads)]
    for thread in callers:
        thread.start()
    time.sleep(load.WARM_UP)
    measurement.begin()
    before = sum(counted)
    time.sleep(setup.seconds)
    measurement.calls = sum(counted) - before
    measurement.end()
    over.set()
    for thread in callers:
        thread.join()


# ---- casts that are executed


async def fill_async(client: AsyncClient, setup: Setup, number: int) -> None:
    """Publish so many, as many as the mode says at a time."""
    left = iter(range(number))

    async def caller() -> None:
        for _ in left:
            await client.call(_ARGUMENT)

    async with asyncio.TaskGroup() as group:
        for _ in range(setup.in_flight):
            group.create_task(caller())


def executed(setup: Setup, number: int) -> None:
    """What the servers get done of what is there, while they are at it."""
    print("@bench filled", flush=True)
    sys.stdin.readline()
    counts = Counts()
    _wait_for_workers(counts, setup.workers)
    time.sleep(load.WARM_UP)
    counts.look()
    measurement = load.Measurement()
    measurement.begin()
    before = counts.total
    end = time.perf_counter() + setup.seconds
    while time.perf_counter() < end and counts.total < number:
        time.sleep(_LOOK)
    measurement.calls = counts.total - before
    measurement.end()


def _wait_for_workers(counts: Counts, workers: int) -> None:
    """Until all of them have executed something; or, where one is quick enough for all, a while after the first."""
    for _ in _looks(counts):
        if counts.started:
            break
    with contextlib.suppress(Unavailable):
        for _ in _looks(counts, within=0.7):
            if counts.started >= workers:
                break


def _looks(counts: Counts, within: float = READY) -> Iterator[None]:
    end = time.perf_counter() + within
    while time.perf_counter() < end:
        counts.look()
        yield
        time.sleep(_LOOK)
    raise Unavailable(f"nothing was executed or heard within {within} s")


# ---- events


class Hearing:
    """How far the subscribers are behind."""

    def __init__(self, setup: Setup) -> None:
        self.counts = Counts()
        for _ in _looks(self.counts):
            if len(self.counts) == setup.subscribers:
                break
        self.published = 0
        self._heard = 0

    def may_publish(self) -> bool:
        """Whether there is room for one more, which is counted then."""
        if self.published - self._heard >= WINDOW:
            self._heard = self.counts.least
            if self.published - self._heard >= WINDOW:
                return False
        self.published += 1
        return True

    def check_all(self) -> None:
        """Wait until every subscriber has heard everything."""
        for _ in _looks(self.counts):
            if self.counts.least == self.published:
                break
        if self.counts.total != self.published * len(self.counts):
            raise load.WrongResult(f"{self.published} events, and {self.counts.total} were heard")


async def events_async(client: AsyncClient, setup: Setup) -> None:
    """As many tasks as the mode says, each event after event, at the pace of the slowest subscriber."""
    hearing = Hearing(setup)
    measurement = load.Measurement()
    over = False

    async def publisher() -> None:
        while not over:
            if hearing.may_publish():
                await client.call(BODY)
            else:
                await asyncio.sleep(_LOOK)

    async with asyncio.TaskGroup() as group:
        for _ in range(setup.in_flight):
            group.create_task(publisher())
        await asyncio.sleep(load.WARM_UP)
        measurement.begin()
        before = hearing.counts.least
        await asyncio.sleep(setup.seconds)
        measurement.calls = hearing.counts.least - before
        measurement.end()
        over = True
    hearing.check_all()


def events(client: Caster, setup: Setup) -> None:
    """Event after event, at the pace of the slowest subscriber."""
    hearing = Hearing(setup)
    measurement = load.Measurement()

    def go_on(seconds: float) -> None:
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            if hearing.may_publish():
                client.call(BODY)
            else:
                time.sleep(_LOOK)

    go_on(load.WARM_UP)
    measurement.begin()
    before = hearing.counts.least
    go_on(setup.seconds)
    measurement.calls = hearing.counts.least - before
    measurement.end()
    hearing.check_all()


if __name__ == "__main__":
    drive(cast(OneWay, peer_of(sys.argv[1], one_way=True)), Setup.from_json(sys.argv[2]))
