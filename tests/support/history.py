"""A client's engine and servers in memory, step by step, and what may have come of each call."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest

from rpcsvc.client.messages import Call
from rpcsvc.client.orders import MOST_LOST
from rpcsvc.errors import ConnectionLost, NoServer, OutcomeUnknown, RpcTimeout

from .memory import EchoServer, MemoryBroker, MemoryLink, Timeline


class History:
    """A client, some servers, and what became of each call."""

    def __init__(self, seed: int, **options: Any) -> None:
        self.time = Timeline()
        self.broker = MemoryBroker(self.time, random.Random(seed))
        self.link = MemoryLink(self.broker, **options)
        self.runs: Counter[Any] = Counter()
        self.calls: dict[str, tuple[Call, Any]] = {}
        self.given_up: set[str] = set()
        self.was_without_server = False
        self.start()

    def start(self) -> None:
        self.broker.start(EchoServer(self.broker, self.runs))

    def step(self, what: str, *args: Any) -> None:
        """One step: what it is called, and what comes with it."""
        getattr(self, what.replace(" ", "_"))(*args)

    def call(self, method: str, count: int, timeout: float) -> None:
        for _ in range(count):
            argument = len(self.calls)
            call = self.link.submit(method, argument, timeout)
            self.calls[call.call_id] = call, argument

    def wait(self, seconds: float) -> None:
        self.time.run(seconds)

    def give_up(self, number: int) -> None:
        call_id = str(number)
        if call_id in self.calls and call_id not in self.link.outcomes:
            self.given_up.add(call_id)
            self.link.engine.given_up(call_id)

    def lose(self) -> None:
        self.link.lose()

    def kill(self) -> None:
        if self.broker.servers:
            self.broker.kill(next(iter(self.broker.servers)))
            self.was_without_server |= not self.broker.servers

    def delete(self) -> None:
        self.broker.delete(again=False)
        self.was_without_server = True

    def delete_and_declare(self) -> None:
        self.broker.delete(again=True)

    def hold(self, seconds: float) -> None:
        """The connection takes nothing for a while."""
        if number := self.link.number:
            self.link.engine.blocked()
            self.time.run(seconds)
            if number == self.link.number:
                self.link.engine.free()

    def slow(self, most: float) -> None:
        self.broker.slowest = most

    def duplicates(self, share: float) -> None:
        self.broker.duplicates = share

    def check(self) -> None:
        """All is over: what became of each call is what may have come of it."""
        self.time.run(60.0)
        engine = self.link.engine
        assert engine.pending == 0
        assert not engine.route("q").held
        assert set(self.link.outcomes) | self.given_up == set(self.calls)
        assert not set(self.link.outcomes) & self.given_up
        for call_id, (ended, outcome) in self.link.outcomes.items():
            call, argument = self.calls[call_id]
            assert ended <= call.deadline + 1e-6, f"{call_id} ended late"
            match outcome:
                case RpcTimeout():
                    assert ended == pytest.approx(call.deadline)
                case NoServer():
                    assert self.was_without_server
                case ConnectionLost():
                    assert sum(call.started <= lost <= ended for lost in self.link.losses) >= MOST_LOST
                case OutcomeUnknown():
                    assert call.method == "once"
                case _:
                    assert outcome == argument
        assert not [argument for (method, argument), count in self.runs.items() if method == "once" and count > 1]
