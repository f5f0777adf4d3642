"""One client process: calls of a mix of functions, from threads, with futures and from asyncio; all of it written down.

    python -m harness.load      stdin, a line each: the plan (JSON), then any of
                                "measure WHEN", "change {members of Load}", "count", and "stop" in the end

It answers each line with one on stdout. The end of stdin is a stop, so no load outlives its starter.

Rules: a call is written down before it is made, and its outcome as soon as there is one, by whoever gets it. Blocking
threads make one call at a time; futures and coroutines come at their own pace, bounded by how many may be open, so a
connection that is well again shows it soon. After "stop" no call begins; each open one has until a while after its
deadline.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import dataclasses
import functools
import itertools
import json
import os
import random
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from rpcsvc import AsyncRpcClient, RpcClient

from . import functions
from .history import CANCELLED, Cancelled, Ended, History, Invoked, Measured, Unresolved, now, shortened

PATIENCE = 3.0
"""Seconds after the longest time-out, at which an open call is said to hang."""
MIX = {"tiny": 4.0, "digest": 4.0, "burn": 2.0, "nap": 2.0, "payload": 2.0, "once": 2.0}
"""At the default rate this keeps three workers busy or so."""


@dataclass(frozen=True, slots=True)
class Load:
    """How a run is loaded.

    Attributes:
        clients: how many client processes.
        rate: calls a second, of all of them together; they may do less.
        threads: blocking threads in each process, which make half of the calls if there are any.
        most_open: calls that are open in a process; beyond it futures and coroutines pause.
        mix: functions and their weights.
        timeouts: seconds; each call has one between these.
        cancelled: the share of futures and coroutines that are given up.
        cancel_within: seconds; after a time between these.
        connect_timeout, wait_for_server: the clients' options.
        pack: likewise.
    """

    clients: int = 3
    rate: float = 120.0
    threads: int = 2
    most_open: int = 128
    mix: Mapping[str, float] = field(default_factory=lambda: dict(MIX))
    timeouts: tuple[float, float] = (3.0, 6.0)
    cancelled: float = 0.0
    cancel_within: tuple[float, float] = (0.0, 0.4)
    connect_timeout: float = 60.0
    wait_for_server: float = 5.0
    pack: bool = True


@dataclass(frozen=True, slots=True)
class Plan:
    """What one client process is told."""

    name: str
    url: str
    queue: str
    history: str
    seed: int
    load: Load


class Client:
    """The process's clients, its drivers, and the calls that are open."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._load = plan.load
        self._history = History(Path(plan.history))
        self._stopping = threading.Event()
        self._open: dict[str, Invoked] = {}
        self._numbers = itertools.count(1)
        self._made = 0
        self._drivers: list[threading.Thread] = []
        options: dict[str, Any] = {
            "queue": plan.queue,
            "timeout": plan.load.timeouts[1],
            "connect_timeout": plan.load.connect_timeout,
            "wait_for_server": plan.load.wait_for_server,
            "pack": plan.load.pack,
        }
        self._client = RpcClient(plan.url, **options)
        self._loop = asyncio.new_event_loop()
        self._async_client = AsyncRpcClient(plan.url, **options)
        self._loop_thread = threading.Thread(target=self._loop.run_forever, name="asyncio", daemon=True)

    def start(self) -> None:
        """Connect, and let the drivers loose: the blocking threads make half of the calls."""
        self._loop_thread.start()
        asyncio.run_coroutine_threadsafe(self._async_client.connect(), self._loop).result(self._load.connect_timeout)
        threads = self._load.threads
        others = 0.25 if threads else 0.5
        drivers: list[tuple[Callable[[random.Random], None], float]] = [
            (self._submit, others),
            (self._submit_async, others),
            *((self._call, 0.5 / threads) for _ in range(threads)),
        ]
        for number, (drive, share) in enumerate(drivers):
            chance = random.Random(f"{self._plan.seed} {self._plan.name} {number}")
            target = functools.partial(self._drive, drive, share / self._load.clients, chance)
            self._drivers.append(threading.Thread(target=target, name=f"driver-{number}", daemon=True))
            self._drivers[-1].start()

    # ---- drivers

    def _drive(self, drive: Callable[[random.Random], None], share: float, chance: random.Random) -> None:
        due = now() + chance.random() / (self._load.rate * share)
        while not self._stopping.wait(max(0.0, due - now())):
            drive(chance)
            # Who fell behind does not catch up: that would be a burst, and the pace is there to prevent one.
            due = max(due, now() - 0.1) + chance.uniform(0.5, 1.5) / (self._load.rate * share)

    def _call(self, chance: random.Random) -> None:
        invoked, arguments = self._invoke("threads", chance)
        try:
            value = self._client.call(invoked.function, *arguments, timeout=invoked.timeout)
        except BaseException as error:
            self._failed(invoked, error)
        else:
            self._succeeded(invoked, arguments, value)

    def _submit(self, chance: random.Random) -> None:
        if len(self._open) > self._load.most_open:
            return
        invoked, arguments = self._invoke("threads", chance)
        try:
            future = self._client.submit(invoked.function, *arguments, timeout=invoked.timeout)
        except BaseException as error:
            self._failed(invoked, error)
        else:
            future.add_done_callback(functools.partial(self._done, invoked, arguments))
            if chance.random() < self._load.cancelled:
                later = chance.uniform(*self._load.cancel_within)
                self._loop.call_soon_threadsafe(self._loop.call_later, later, self._cancel, invoked, future)

    def _submit_async(self, chance: random.Random) -> None:
        if len(self._open) > self._load.most_open:
            return
        self._loop.call_soon_threadsafe(self._submit_on_loop, chance)

    def _submit_on_loop(self, chance: random.Random) -> None:
        if self._stopping.is_set():
            return
        invoked, arguments = self._invoke("asyncio", chance)
        try:
            future = self._async_client.submit(invoked.function, *arguments, timeout=invoked.timeout)
        except BaseException as error:
            self._failed(invoked, error)
        else:
            future.add_done_callback(functools.partial(self._done, invoked, arguments))
            if chance.random() < self._load.cancelled:
                self._loop.call_later(chance.uniform(*self._load.cancel_within), self._cancel, invoked, future)

    def _cancel(self, invoked: Invoked, future: concurrent.futures.Future[Any] | asyncio.Future[Any]) -> None:
        if not future.done():
            self._history.write(Cancelled(now(), invoked.call))
            future.cancel()

    # ---- the history

    def _invoke(self, link: str, chance: random.Random) -> tuple[Invoked, tuple[Any, ...]]:
        mix = self._load.mix
        function = chance.choices(list(mix), list(mix.values()))[0]
        self._made = next(self._numbers)
        token = f"{self._plan.name}-{self._made}"
        timeout = chance.uniform(*self._load.timeouts)
        arguments = (token, *functions.arguments(function, chance))
        idempotent = function not in functions.NON_IDEMPOTENT
        invoked = Invoked(now(), token, f"{self._plan.name}/{link}", function, timeout, idempotent)
        self._open[token] = invoked
        self._history.write(invoked)
        return invoked, arguments

    def _done(
        self,
        invoked: Invoked,
        arguments: tuple[Any, ...],
        future: concurrent.futures.Future[Any] | asyncio.Future[Any],
    ) -> None:
        if future.cancelled():
            self._end(invoked, Ended(now(), invoked.call, CANCELLED))
        elif (error := future.exception()) is not None:
            self._failed(invoked, error)
        else:
            self._succeeded(invoked, arguments, future.result())

    def _succeeded(self, invoked: Invoked, arguments: tuple[Any, ...], value: Any) -> None:
        at = now()
        self._end(invoked, Ended(at, invoked.call, "ok", **_judged(invoked.function, arguments, value)))

    def _failed(self, invoked: Invoked, error: BaseException) -> None:
        self._end(invoked, Ended(now(), invoked.call, type(error).__name__, text=shortened(str(error))))

    def _end(self, invoked: Invoked, ended: Ended) -> None:
        self._history.write(ended)
        self._open.pop(invoked.call, None)

    @property
    def made(self) -> int:
        """How many calls were made."""
        return self._made

    def change(self, members: dict[str, Any]) -> None:
        """Go on under another load; its clients, threads and connections stay as they are."""
        self._load = dataclasses.replace(self._load, **_as_members(members))

    # ---- the end

    def measure(self, when: str) -> None:
        """Write down what the process holds."""
        process = psutil.Process()
        dropped = self._client.dropped_replies
        others = self._async_client._link.dropped_replies
        self._history.write(
            Measured(
                now(),
                self._plan.name,
                when,
                pending=self._client.pending + self._async_client._link.pending if when == "after" else 0,
                fds=process.num_fds(),
                memory=process.memory_info().rss,
                late=dropped.late + others.late,
                duplicate=dropped.duplicate + others.duplicate,
                unknown=dropped.unknown + others.unknown,
            )
        )

    def stop(self) -> None:
        """Begin no more calls; wait for those that are open, and say which have no outcome then."""
        self._stopping.set()
        end = now() + self._load.timeouts[1] + PATIENCE
        # First whoever may be about to begin one: it had looked just before it was to stop.
        for driver in self._drivers:
            driver.join(max(0.0, end - now()))
        with contextlib.suppress(TimeoutError):
            asyncio.run_coroutine_threadsafe(asyncio.sleep(0), self._loop).result(max(0.0, end - now()))
        while self._open and now() < end:
            time.sleep(0.02)
        for call in list(self._open):
            self._history.write(Unresolved(now(), call))
        self.measure("after")
        # A client that hangs must not keep the process: what counts is written down.
        closing = threading.Thread(target=self._close, daemon=True)
        closing.start()
        closing.join(PATIENCE)

    def _close(self) -> None:
        self._client.close()
        asyncio.run_coroutine_threadsafe(self._async_client.close(), self._loop).result(PATIENCE)


def _judged(function: str, arguments: tuple[Any, ...], value: Any) -> dict[str, Any]:
    right = functions.answer(function, *arguments)
    if type(value) is type(right) and value == right:
        return {}
    return {"right": False, "text": shortened(f"{value!r:.120} where {right!r:.120} is right")}


def main() -> None:
    """Follow the plan, and what else stdin says."""
    members = json.loads(sys.stdin.readline())
    load = Load(**_as_members(members.pop("load")))
    client = Client(Plan(**members, load=load))
    client.start()
    print("ready", flush=True)
    for line in sys.stdin:
        match line.split(maxsplit=1):
            case ["measure", when]:
                client.measure(when.strip())
                print("done", flush=True)
            case ["change", text]:
                client.change(json.loads(text))
                print("done", flush=True)
            case ["count"]:
                print(client.made, flush=True)
            case _:
                break
    client.stop()
    print("done", flush=True)
    sys.stdout.flush()
    os._exit(0)


def _as_members(members: dict[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in members.items()}


def as_line(plan: Plan) -> str:
    """A plan as the process takes it."""
    return json.dumps(dataclasses.asdict(plan)) + "\n"


if __name__ == "__main__":
    main()
