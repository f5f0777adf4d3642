"""What is answered in place of a worker that could not, and what is told of it."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from calling import LOST, request_body, serving

from rpcsvc.errors import WorkerLost
from rpcsvc.wire import jsonrpc
from rpcsvc.wire.jsonrpc import decode_response
from rpcsvc.workers.inside.dispatch import Rules, dispatch


@pytest.mark.parametrize(
    ("body", "call_id"),
    [
        (request_body("7", "f", [1], {}), "7"),
        (b'{"jsonrpc":"2.0","method":"f","id":null}', None),
        (b"30", None),
        (b"{", None),
        (b'{"id":9}', 9),
    ],
)
def test_a_request_whose_worker_died_is_answered_under_its_id(body: bytes, call_id: Any) -> None:
    answer = jsonrpc.failure(jsonrpc.parse(body), LOST)

    assert answer is not None
    assert orjson.loads(answer)["id"] == call_id
    with pytest.raises(WorkerLost) as caught:
        decode_response(answer)
    assert caught.value.signal_number == 9


def test_every_call_whose_result_cannot_be_sent_is_told(caplog: pytest.LogCaptureFixture) -> None:
    registry = serving(lambda n: "x" * 400 if n else object())
    rules = Rules(max_result=300)
    long, odd = request_body("7", "f", [1], {}), request_body("8", "f", [0], {})
    members = {"method": "f", "rows": [[0], [0]], "ids": ["a", "b"]}

    with caplog.at_level("INFO", "rpcsvc"):
        for body in (long, odd, b"[%b,%b]" % (odd, odd), request_body("9", "rpc.map", [], members)):
            dispatch(registry, body, rules)

    told = [message.partition(" failed: ") for message in caplog.messages]
    assert [what for what, _, _ in told] == [
        "call 7 of f",
        "call 8 of f",
        "call 8 of f",
        "call 8 of f",
        "a batch of 2 calls",
        "call a of f",
        "call b of f",
        "call 9 of rpc.map",
    ]
    assert [("at most 300" in why, "cannot be carried" in why) for _, _, why in told] == [
        (True, False),
        *[(False, True)] * 3,
        (True, False),
        *[(False, True)] * 2,
        (True, False),
    ]


def test_the_members_of_a_batch_are_counted_as_they_run() -> None:
    progress = [0]
    seen = []
    registry = serving(lambda: seen.append(progress[0]))

    dispatch(registry, b"[" + b",".join([request_body("1", "f", [], {})] * 3) + b"]", progress=progress)

    assert (seen, progress) == ([0, 1, 2], [2])


def test_of_a_batch_whose_worker_died_every_member_that_waits_is_answered() -> None:
    body = b"[%b,7,%b,%b]" % (
        request_body("1", "f", [], {}),
        b'{"jsonrpc":"2.0","method":"f"}',
        request_body("2", "f", [], {}),
    )

    answer = jsonrpc.failure(jsonrpc.parse(body), LOST)

    assert [each["id"] for each in orjson.loads(answer or b"")] == ["1", None, "2"]
    assert {each["error"]["code"] for each in orjson.loads(answer or b"")} == {WorkerLost.CODE}


@pytest.mark.parametrize(
    "body", [b'{"jsonrpc":"2.0","method":"f"}', b'[{"jsonrpc":"2.0","method":"f"},{"jsonrpc":"2.0","method":"g"}]']
)
def test_a_notification_whose_worker_died_is_not_answered(body: bytes) -> None:
    assert jsonrpc.failure(jsonrpc.parse(body), LOST) is None
