"""What a server tells of itself: not too much of it, and of failures what their callers are told."""

from __future__ import annotations

import json
from typing import Any

import pytest
from support.cast import CastServer, failed
from support.served import DIED, Server, request

from rpcsvc.errors import FunctionRaised, WorkerLost
from rpcsvc.server.life import CALL_FAILED, CAST_DEAD, MOST, Life, error_in
from rpcsvc.wire import jsonrpc
from rpcsvc.workers.work import Answer


class Heard:
    def __init__(self, life: Life) -> None:
        self.events: list[tuple[str, dict[str, Any]]] = []
        life.publish = lambda topic, body: self.events.append((topic, json.loads(body)))


def test_each_event_says_who_tells_it() -> None:
    life = Life("a.b", {"host": "here", "pid": 7}, lambda: 0.0)
    life.say("rpcsvc.server.started", workers=2)  # nobody can hear it
    life.tell("rpcsvc.server.started")
    heard = Heard(life)
    life.say("rpcsvc.server.started", workers=2)
    life.deleted()
    who = {"queue": "a.b", "host": "here", "pid": 7}
    assert heard.events == [
        ("rpcsvc.server.started", {**who, "workers": 2}),
        ("rpcsvc.queue.deleted.a%2Eb", who),
    ]


def test_of_one_topic_no_more_than_some_are_told_in_a_second_and_the_others_counted() -> None:
    now = 100.0
    life = Life("q", {}, lambda: now)
    heard = Heard(life)
    for _ in range(MOST + 7):
        life.say("rpcsvc.call.failed")
    life.say("rpcsvc.worker.lost")
    assert len(heard.events) == MOST + 1
    now = 101.0
    life.say("rpcsvc.call.failed")
    life.say("rpcsvc.call.failed")
    assert [event.get("untold") for _, event in heard.events[-2:]] == [7, None]


@pytest.mark.parametrize(
    ("response", "error", "count"),
    [
        (b'{"error":{"code":-32000,"message":"x"}}', {"code": -32000, "message": "x"}, 1),
        (b'[{"result":1},{"error":{"code":1}},{"error":{"code":2}}]', {"code": 1}, 2),
        (b'{"result":{"results":[null],"errors":[[0,{"code":3}],[4],7]}}', {"code": 3}, 1),
        (b'{"result":{"errors":7}}\0raw', {}, 1),
        (b'{"result":7}', {}, 1),
        (b"832040 and no JSON", {}, 1),
        (b"7", {}, 1),
        (None, {}, 1),
    ],
)
def test_the_errors_in_a_response_are_found(response: bytes | None, error: dict[str, Any], count: int) -> None:
    assert error_in(response) == (error, count)


def test_a_call_that_failed_is_told_and_one_that_ended_well_is_not() -> None:
    server = Server()
    heard = Heard(server.engine.life)
    server.deliver(call_id="1")
    server.workers.end(Answer(b'{"jsonrpc":"2.0","id":"1","result":7}', 1))
    assert heard.events == []
    error = FunctionRaised("f raised OSError: no", data={"type": "OSError", "message": "no", "traceback": "…"})
    server.deliver(call_id="2")
    server.workers.end(Answer(jsonrpc.encode_error("2", error), 1, failed=True))
    ((topic, event),) = heard.events
    assert topic == CALL_FAILED
    assert (event["code"], event["error"], event["error_type"], event["calls"]) == (
        -32000,
        "f raised OSError: no",
        "OSError",
        1,
    )
    assert event["method"]


def test_a_call_whose_worker_died_is_told() -> None:
    server = Server()
    heard = Heard(server.engine.life)
    server.deliver(request(method="once"))
    server.workers.end(DIED)
    ((topic, event),) = heard.events
    assert (topic, event["method"], event["calls"]) == (CALL_FAILED, "once", 1)
    assert event["code"] == WorkerLost.CODE


def test_failures_are_answered_where_nobody_can_be_told_of_them() -> None:
    server = Server()
    server.deliver(request(method="once"))
    server.workers.end(DIED)
    server.deliver(call_id="2")
    server.workers.end(Answer(jsonrpc.encode_error("2", FunctionRaised("f raised OSError: no")), 1, failed=True))
    assert [entry[0] for entry in server.log] == ["reply", "ack"] * 2


def test_a_dead_cast_is_told() -> None:
    server = CastServer()
    heard = Heard(server.engine.life)
    server.come("f")
    server.workers.end(failed())
    ((topic, event),) = heard.events
    assert (topic, event["method"], event["message_id"], event["attempts"]) == (CAST_DEAD, "f", "m", 1)
    assert event["error"] == "f raised OSError: no"
