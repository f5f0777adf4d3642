"""A message of many calls whose worker died: taken apart, and its answers put together again."""

from __future__ import annotations

from typing import Any

import pytest
from mapped import map_body, serving

from rpcsvc.errors import FunctionRaised, WorkerLost
from rpcsvc.server.mend import join, split, split_with_ids
from rpcsvc.wire import jsonrpc, values
from rpcsvc.wire.many.answer import read_answer
from rpcsvc.workers.inside.dispatch import dispatch, failure

LOST = WorkerLost("the worker died", data={"exit_code": None, "signal": 9})


def reciprocal(n: int) -> float:
    return 1 / n


def parsed(requests: list[bytes] | None) -> list[Any]:
    messages = [jsonrpc.parse(request) for request in requests or []]
    return [(message.method, list(message.args)) for message in messages if isinstance(message, jsonrpc.Request)]


@pytest.mark.parametrize(
    ("params", "calls"),
    [
        ({"columns": [[1, 2, 3]]}, [[1], [2], [3]]),
        ({"columns": [[1, 2], ["a", (1, 2**70)]]}, [[1, "a"], [2, (1, 2**70)]]),
        ({"rows": [[1], [], [2, 3]]}, [[1], [], [2, 3]]),
    ],
)
def test_a_message_of_many_calls_is_taken_apart_into_them(params: dict[str, Any], calls: list[list[Any]]) -> None:
    assert parsed(split(map_body(**params))) == [("f", args) for args in calls]


@pytest.mark.parametrize(
    "body",
    [
        map_body(columns=[[1]]),  # one call: there is nobody else to spare
        map_body(rows=[[1]]),
        map_body(columns=[[1], [2, 3]]),
        b'{"jsonrpc":"2.0","id":"7","method":"f","params":[1,2]}',
        b'[{"jsonrpc":"2.0","id":"7","method":"rpc.map","params":{"method":"f","columns":[[1,2]]}}]',
        b"30",
        b"{",
    ],
)
def test_any_other_message_is_left_as_it_is(body: bytes) -> None:
    assert split(body) is None


def test_the_answers_of_the_calls_become_the_answer_of_the_message() -> None:
    registry = serving(reciprocal)
    body = map_body(columns=[[1, 0, 2, 4]])
    requests = split(body)
    assert requests is not None
    responses = [dispatch(registry, request) for request in requests]
    responses[2] = failure(requests[2], LOST)

    document = values.decode(join(body, [response or b"" for response in responses]))

    assert document["id"] == "7"
    answer = read_answer(document["result"], 4)
    assert answer.results == [1.0, None, None, 0.25]
    assert {index: type(error) for index, error in answer.errors.items()} == {1: FunctionRaised, 2: WorkerLost}
    assert answer.errors[2].data == LOST.data
    assert answer.errors[1].data["type"] == "ZeroDivisionError"
    assert answer.alone, "a method that took a worker down had better travel alone for now"


def test_what_came_back_exactly_goes_on_exactly() -> None:
    sent = [(1, 2), {3}, 2**100, b"\xff"]
    body = map_body(columns=[sent])
    responses = [dispatch(serving(lambda v: v), request) or b"" for request in split(body) or []]

    answer = read_answer(jsonrpc.decode_response(join(body, responses)), 4)

    assert answer.results == sent
    assert list(map(type, answer.results)) == list(map(type, sent))


@pytest.mark.parametrize(
    ("body", "methods"),
    [
        (map_body(method="g", columns=[[1, 2]]), ["g"]),
        (map_body(method="g"), ["g"]),
        (b'{"jsonrpc":"2.0","id":"7","method":"rpc.map","params":{"method":7}}', ["rpc.map"]),
        (b'{"jsonrpc":"2.0","id":"7","method":"f","params":{"method":"g"}}', ["f"]),
        (b'[{"jsonrpc":"2.0","method":"f"},7,{"jsonrpc":"2.0","method":"g"}]', ["f", "g"]),
        (b"30", None),
        (b"{", []),
    ],
)
def test_what_a_message_calls_is_known_without_calling_it(body: bytes, methods: list[str]) -> None:
    """Whether it may be computed again depends on every function that it calls."""
    assert jsonrpc.methods(body) == methods


def test_large_arguments_and_results_are_taken_apart_and_put_together_too() -> None:
    large = [bytes([n]) * 40_000 for n in range(3)]

    requests = split(map_body(columns=[large])) or []
    responses = [dispatch(serving(lambda v: bytearray(v)), request) or b"" for request in requests]

    assert parsed(requests) == [("f", [each]) for each in large]
    assert all(response.endswith(b"\0" + each) for response, each in zip(responses, large, strict=True))
    answer = read_answer(jsonrpc.decode_response(join(map_body(columns=[large]), responses)), 3)
    assert answer.results == large


def test_calls_that_only_travel_together_come_apart_with_their_own_ids() -> None:
    body = map_body(method="reciprocal", rows=[[1], [2]], ids=["7", "9"])

    assert split_with_ids(body) == (
        "reciprocal",
        [
            (call_id, jsonrpc.encode_request(call_id, "reciprocal", b"[%d]" % argument))
            for call_id, argument in [("7", 1), ("9", 2)]
        ],
    )


@pytest.mark.parametrize(
    "body",
    [
        map_body(method="reciprocal", rows=[[1], [2]]),
        map_body(method="reciprocal", rows=[[1], [2]], ids=["7"]),
        jsonrpc.encode_request("7", "reciprocal", b"[1]"),
        b"30",
    ],
)
def test_what_is_not_such_a_message_does_not_come_apart(body: bytes) -> None:
    assert split_with_ids(body) is None
