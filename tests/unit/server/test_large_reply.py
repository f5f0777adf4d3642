"""What becomes of a reply that is larger than may be sent."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import orjson

from rpcsvc.server.large_replies import LargeReply
from rpcsvc.wire import jsonrpc


def request(call_id: Any = "7") -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": call_id, "method": "f", "params": []}


def reply(asked: Any, *, size: int = 100_000, may_run_again: bool = True) -> LargeReply:
    body = orjson.dumps(asked)
    failure = partial(jsonrpc.failure, jsonrpc.parse(body))
    return LargeReply("amq.gen-1", "7", b"x" * size, lambda: "call 7 of f", failure, lambda: may_run_again)


def shrunk(large: LargeReply, most: int) -> Any:
    large.shrink(most)
    assert large.response is None or len(large.response) <= most
    return None if large.response is None else json.loads(large.response)


def test_what_fits_is_left_as_it_is() -> None:
    large = reply(request())
    large.shrink(100_000)
    assert large.response == b"x" * 100_000


def test_what_does_not_is_an_error_under_the_requests_id_with_both_sizes() -> None:
    answer = shrunk(reply(request("abc")), 5000)
    assert answer["id"] == "abc"
    assert answer["error"]["code"] == -32001
    assert answer["error"]["message"] == "the result takes 100000 bytes; this server sends at most 5000"
    assert answer["error"]["data"] == {"size": 100_000, "limit": 5000}


def test_what_must_not_run_twice_is_said_so() -> None:
    answer = shrunk(reply(request(), may_run_again=False), 5000)
    assert answer["error"]["data"] == {"size": 100_000, "limit": 5000, "may_run_again": False}


def test_each_request_of_a_batch_has_its_error() -> None:
    answers = shrunk(reply([request(1), request(2)]), 5000)
    assert [answer["id"] for answer in answers] == [1, 2]


def test_if_these_are_too_large_together_there_is_one() -> None:
    answer = shrunk(reply([request(number) for number in range(100)]), 5000)
    assert answer["id"] is None
    assert answer["error"]["code"] == -32001


def test_a_limit_below_the_error_leaves_nothing_to_send() -> None:
    assert shrunk(reply(request()), 100) is None


def test_it_shrinks_step_by_step_as_the_broker_refuses() -> None:
    large = reply([request(number) for number in range(100)])
    assert len(shrunk(large, 50_000)) == 100
    assert shrunk(large, 5000)["id"] is None
    assert shrunk(large, 100) is None
    assert shrunk(large, 50) is None
