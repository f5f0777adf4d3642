"""Any history of calls and faults with both engines, the client's and the server's, in memory and in virtual time.

Connections of either side go, servers and workers die, messages are late, overtake each other and come twice: every
call ends once, in time and as it may, and what must not run twice does not.
"""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.examples import examples
from support.history import History
from support.serving import MemoryServer

from rpcsvc.errors import RpcTimeout, WorkerLost
from rpcsvc.server.asked import Asked
from rpcsvc.server.engine import TABLE
from rpcsvc.server.message import Event, State

STEPS = st.one_of(
    st.tuples(st.just("call"), st.sampled_from(["echo", "once"]), st.integers(1, 20), st.floats(0.05, 8.0)),
    st.tuples(st.just("wait"), st.floats(0.0, 1.0)),
    st.tuples(st.just("give up"), st.integers(0, 100)),
    st.tuples(st.sampled_from(["lose", "kill", "start", "delete and declare", "lose session", "lose session"])),
    st.tuples(st.just("worker dies"), st.booleans()),
    st.tuples(st.just("long calls"), st.sampled_from([0.001, 0.05, 1.0])),
    st.tuples(st.just("slow"), st.sampled_from([0.001, 0.01, 0.3])),
    st.tuples(st.just("duplicates"), st.sampled_from([0.0, 0.5])),
)


class Histories(History):
    """A client, and servers with engines of their own."""

    def __init__(self, seed: int, **options: Any) -> None:
        self.servers: list[MemoryServer] = []
        self._chance = random.Random(seed + 1)
        self._seconds = 0.001
        self.deaths = 0
        super().__init__(seed, **options)
        self.start()

    def start(self) -> None:
        server = MemoryServer(self.broker, self.runs, self._chance)
        server.seconds = self._seconds
        self.servers.append(server)

    def kill(self) -> None:
        if self.servers:
            server = self.servers.pop(0)
            if server.session is not None:
                session, server.session = server.session, None
                session.is_lost = True
                if session in self.broker.servers:
                    self.broker.kill(session)
            server.connect = lambda: None  # type: ignore[method-assign]
            self.was_without_server |= not self.broker.servers

    def lose_session(self) -> None:
        if self.servers:
            self._chance.choice(self.servers).lose()
            self.was_without_server |= not self.broker.servers

    def worker_dies(self, running: bool) -> None:
        if self.servers:
            self._chance.choice(self.servers).die(running=running)
            self.deaths += 1

    def long_calls(self, seconds: float) -> None:
        self._seconds = seconds
        for server in self.servers:
            server.seconds = seconds

    def check(self) -> None:
        self.time.run(60.0)
        for call_id, (_, outcome) in list(self.link.outcomes.items()):
            if isinstance(outcome, WorkerLost):
                assert self.deaths
                del self.link.outcomes[call_id], self.calls[call_id]
        super().check()
        for server in self.servers:
            assert not server.engine.register.messages, "a delivery is forgotten"
        assert not any(self.broker.servers.values()), "a delivery is not acked"


@examples(150)
@given(seed=st.integers(0, 2**32), steps=st.lists(STEPS, max_size=25), pack=st.booleans())
def test_every_call_ends_once_in_time_and_as_it_may(seed: int, steps: list[Any], pack: bool) -> None:
    history = Histories(seed, pack=pack, patience=2.0)
    for step in steps:
        history.step(*step)
    history.check()


# ---- both models find the bugs that are planted into the server's engine -----------------------------------------

TROUBLE: list[Any] = [
    ("long calls", 0.05),
    ("call", "once", 8, 5.0),
    ("wait", 0.04),
    ("lose session",),
    ("call", "echo", 8, 5.0),
    ("wait", 0.3),
    ("kill",),
    ("start",),
] * 3


def is_caught(steps: list[Any]) -> bool:
    for seed in range(20):
        history = Histories(seed, pack=False, patience=2.0)
        try:
            for step in steps:
                history.step(*step)
            history.check()
            timeouts = [each for _, each in history.link.outcomes.values() if isinstance(each, RpcTimeout)]
            assert not timeouts, "there was time enough"
        except AssertionError:
            return True
    return False


def test_without_a_bug_nothing_is_caught() -> None:
    assert not is_caught(TROUBLE)


def test_an_ack_before_the_reply_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    for rows in TABLE.values():
        for event, (then, orders) in list(rows.items()):
            monkeypatch.setitem(rows, event, (then, tuple(order for order in orders if order != "ack")))
    for state in (State.NEW, State.ASKING):
        then, orders = TABLE[state][Event.ACCEPTED]
        monkeypatch.setitem(TABLE[state], Event.ACCEPTED, (then, ("ack", *orders)))
    assert is_caught(TROUBLE)


def test_a_second_run_of_what_must_not_run_twice_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    read = Asked.read

    def read_kindly(body: bytes, functions: Any) -> Asked:
        return read(body, {name: replace(served, idempotent=True) for name, served in functions.items()})

    monkeypatch.setattr(Asked, "read", read_kindly)
    assert is_caught(TROUBLE)
