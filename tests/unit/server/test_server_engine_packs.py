"""Calls that travel together at a server: one that is slow does not hold up the others."""

from __future__ import annotations

import pytest
from mapped import PACK, PACKED, map_body
from support.served import Server

from rpcsvc.server.schedule import LOOK_EVERY
from rpcsvc.wire.names import MAP
from rpcsvc.workers.work import Answer


def pack(*, method: str = "f") -> tuple[Server, int]:
    server = Server()
    body = PACK if method == "f" else map_body(method=method, rows=[[0], [1], [2]], ids=["a", "b", "c"])
    return server, server.deliver(body, kind=MAP)


def test_a_slow_call_does_not_hold_up_those_that_came_with_it() -> None:
    server, tag = pack()
    (whole,) = server.workers.works
    server.wait(0.1)
    assert len(server.workers.works) == 1, "it has not begun"
    server.workers.running[whole] = 1
    server.wait(0.03)
    assert [work.body for work in server.workers.open] == [PACK, PACKED[0], PACKED[2]]
    server.workers.end(Answer(b"c's"), PACKED[2])
    assert server.log == [("reply", "q", "c", b"c's")]
    server.workers.end(Answer(b"all", 3), PACK)
    assert server.log == [("reply", "q", "7", b"all"), ("ack", tag)]
    assert not server.workers.open[0].may_start, "it was answered with the others"
    server.workers.serve()
    assert server.log == []
    assert server.counts.answered == 3
    assert server.engine.register.is_empty or not server.engine.register.calls


def test_a_message_of_a_type_that_is_none_of_ours_is_one_call_and_nobody_looks_whether_it_is_slow() -> None:
    server = Server()
    server.deliver(kind="billing")
    assert server.wakes_at == server.now + LOOK_EVERY


@pytest.mark.parametrize(
    "body", [map_body(rows=[[0], [1]]), map_body(method="once", rows=[[0], [1]], ids=["a", "b"])], ids=["map", "once"]
)
def test_calls_without_callers_of_their_own_and_those_that_must_not_run_twice_wait(body: bytes) -> None:
    server = Server()
    server.deliver(body, kind=MAP)
    server.workers.running[server.workers.works[0]] = 0
    server.wait(1)
    assert len(server.workers.works) == 1


def test_an_orphan_is_not_spread_before_it_comes_again() -> None:
    server, _ = pack()
    server.workers.running[server.workers.works[0]] = 0
    server.reconnect()
    server.wait(1)
    assert len(server.workers.works) == 1
    server.deliver(PACK, kind=MAP, redelivered=True)
    server.wait(0.1)
    assert len(server.workers.works) == 3


def test_what_is_over_is_not_looked_at() -> None:
    server, _ = pack()
    server.workers.running[server.workers.works[0]] = 0
    server.workers.end(Answer(b"all", 3))
    server.wait(1)
    assert len(server.workers.works) == 1


def test_what_is_being_stopped_is_not_spread() -> None:
    server, _ = pack()
    server.workers.running[server.workers.works[0]] = 0
    server.workers.cancel = lambda _: None  # type: ignore[method-assign]
    server.give_up("7")
    server.wait(1)
    assert len(server.workers.works) == 1
