"""What a message asks for, for a server that answers in place of a worker; taken apart, and put together again."""

from __future__ import annotations

from typing import Any

import pytest
from mapped import map_body, serving
from support.served import EXIT

from rpcsvc.errors import FunctionRaised, MemoryLimitExceeded, TimeLimitExceeded, WorkerLost
from rpcsvc.server.asked import Asked, called
from rpcsvc.wire import jsonrpc, values
from rpcsvc.wire.many.answer import read_answer
from rpcsvc.workers.inside.dispatch import dispatch
from rpcsvc.workers.work import Lost, MemoryUse, Served

LOST = WorkerLost("the worker died", data={"exit_code": None, "signal": 9})
FUNCTIONS = {"f": Served(idempotent=True, max_attempts=3), "once": Served(idempotent=False, is_default=True)}


def reciprocal(n: int) -> float:
    return 1 / n


def asked(body: bytes) -> Asked:
    return Asked.read(body, FUNCTIONS)


def parsed(requests: Any) -> list[Any]:
    messages = [jsonrpc.parse(request) for request in requests]
    return [(message.method, list(message.args)) for message in messages if isinstance(message, jsonrpc.Request)]


# ---- one by one


@pytest.mark.parametrize(
    ("params", "calls"),
    [
        ({"columns": [[1, 2, 3]]}, [[1], [2], [3]]),
        ({"columns": [[1, 2], ["a", (1, 2**70)]]}, [[1, "a"], [2, (1, 2**70)]]),
        ({"rows": [[1], [], [2, 3]]}, [[1], [], [2, 3]]),
    ],
)
def test_a_message_of_many_calls_is_taken_apart_into_them(params: dict[str, Any], calls: list[list[Any]]) -> None:
    message = asked(map_body(**params))
    assert message.comes_apart
    assert message.count == len(calls)
    assert parsed(message.requests) == [("f", args) for args in calls]
    assert message.requests is message.requests, "they are made once"


@pytest.mark.parametrize(
    ("body", "count"),
    [
        (map_body(columns=[[1]]), 1),  # one call: there is nobody else to spare
        (map_body(rows=[[1]]), 1),
        (map_body(columns=[[1], [2, 3]]), 1),
        (b'{"jsonrpc":"2.0","id":"7","method":"f","params":[1,2]}', 1),
        (b'[{"jsonrpc":"2.0","id":"7","method":"rpc.map","params":{"method":"f","columns":[[1,2]]}},7]', 2),
        (b"30", 1),
        (b"{", 1),
    ],
)
def test_any_other_message_is_left_as_it_is(body: bytes, count: int) -> None:
    message = asked(body)
    assert not message.comes_apart
    assert message.count == count
    assert message.ids == ()


def test_the_answers_of_the_calls_become_the_answer_of_the_message() -> None:
    registry = serving(reciprocal)
    message = asked(map_body(columns=[[1, 0, 2, 4]]))
    responses = [dispatch(registry, request) or b"" for request in message.requests]
    responses[2] = jsonrpc.encode_error(message.id_of(2), LOST)

    document = values.decode(message.join(responses) or b"")

    assert document["id"] == "7"
    answer = read_answer(document["result"], 4)
    assert answer.results == [1.0, None, None, 0.25]
    assert {index: type(error) for index, error in answer.errors.items()} == {1: FunctionRaised, 2: WorkerLost}
    assert answer.errors[2].data == LOST.data
    assert answer.errors[1].data["type"] == "ZeroDivisionError"
    assert answer.alone, "a method that took a worker down had better travel alone for now"


def test_a_notification_that_was_taken_apart_has_no_answer() -> None:
    body = b'{"jsonrpc":"2.0","method":"rpc.map","params":{"method":"f","columns":[[1,2]]}}'
    assert asked(body).join([b"", b""]) is None


def test_what_came_back_exactly_goes_on_exactly() -> None:
    sent = [(1, 2), {3}, 2**100, b"\xff"]
    message = asked(map_body(columns=[sent]))
    responses = [dispatch(serving(lambda v: v), request) or b"" for request in message.requests]

    answer = read_answer(jsonrpc.decode_response(message.join(responses) or b""), 4)

    assert answer.results == sent
    assert list(map(type, answer.results)) == list(map(type, sent))


def test_large_arguments_and_results_are_taken_apart_and_put_together_too() -> None:
    large = [bytes([n]) * 40_000 for n in range(3)]
    message = asked(map_body(columns=[large]))

    responses = [dispatch(serving(lambda v: bytearray(v)), request) or b"" for request in message.requests]

    assert parsed(message.requests) == [("f", [each]) for each in large]
    assert all(response.endswith(b"\0" + each) for response, each in zip(responses, large, strict=True))
    answer = read_answer(jsonrpc.decode_response(message.join(responses) or b""), 3)
    assert answer.results == large


def test_calls_that_only_travel_together_come_apart_with_their_own_ids() -> None:
    message = asked(map_body(method="reciprocal", rows=[[1], [2]], ids=["7", "9"]))

    assert message.ids == ["7", "9"]
    assert message.requests == [
        jsonrpc.encode_request(call_id, "reciprocal", b"[%d]" % argument) for call_id, argument in [("7", 1), ("9", 2)]
    ]
    assert message.name_of(1) == "call 9 of reciprocal"


def test_calls_without_ids_are_known_by_their_place() -> None:
    message = asked(map_body(rows=[[1], [2]]))
    assert (message.id_of(1), message.name_of(1)) == ("1", "call 1 of f")


# ---- what holds for it


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
    assert jsonrpc.methods(jsonrpc.parse(body)) == methods


@pytest.mark.parametrize(
    ("body", "served"),
    [
        (b'{"jsonrpc":"2.0","id":"7","method":"f"}', Served(idempotent=True, max_attempts=3)),
        (b'{"jsonrpc":"2.0","id":"7","method":"once"}', Served(idempotent=False)),
        (b'{"jsonrpc":"2.0","id":"7","method":"nowhere"}', Served(idempotent=True)),
        (b'[{"jsonrpc":"2.0","method":"f"},{"jsonrpc":"2.0","method":"once"}]', Served(idempotent=False)),
        (b"30", Served(idempotent=False)),
        (b"{", Served(idempotent=True)),
    ],
)
def test_a_message_may_do_what_each_of_its_functions_may(body: bytes, served: Served) -> None:
    assert asked(body).served == served


@pytest.mark.parametrize(
    ("others", "together"), [({}, None), ({"g": 2.0}, 2.0), ({"g": 2.0, "h": 2.0}, 2.0), ({"g": 2.0, "h": 3.0}, None)]
)
def test_a_batch_has_the_time_limit_that_its_functions_do_not_differ_in(
    others: dict[str, float], together: float | None
) -> None:
    facts = {name: Served(idempotent=True, time_limit=limit) for name, limit in {"f": None, **others}.items()}
    batch = b"[" + b",".join(jsonrpc.encode_request("1", name, b"[]") for name in facts) + b"]"
    assert Asked.read(batch, facts).served.time_limit == together


# ---- in place of a worker


@pytest.mark.parametrize(
    ("served", "lost", "attempts", "again"),
    [
        (Served(idempotent=True), Lost(EXIT, running=True, item=0), 1, False),
        (Served(idempotent=True, max_attempts=2), Lost(EXIT, running=True, item=0), 1, True),
        (Served(idempotent=True, max_attempts=2), Lost(EXIT, running=True, item=0), 2, False),
        (Served(idempotent=True, max_attempts=2), Lost(EXIT, running=True, item=0, over_time=True), 1, False),
        (Served(idempotent=True), Lost(EXIT, running=False, item=0), 5, True),
        (Served(idempotent=False), Lost(EXIT, running=False, item=0), 0, False),
        (Served(idempotent=False), Lost(EXIT, running=True, item=0), 1, False),
    ],
)
def test_a_call_is_tried_again_if_that_does_no_harm(served: Served, lost: Lost, attempts: int, again: bool) -> None:
    message = Asked.read(jsonrpc.encode_request("7", "f", b"[]"), {"f": served})
    assert message.may_try_again(lost, attempts) is again


@pytest.mark.parametrize(
    ("time_limit", "words", "data"),
    [(0.5, "its time limit of 0.5 s,", {"seconds": 0.5, "soft": False}), (None, "its time limit,", {})],
)
def test_whose_time_was_up_is_told_the_limit_where_one_is_known(
    time_limit: float | None, words: str, data: dict[str, object]
) -> None:
    message = Asked.read(jsonrpc.encode_request("7", "f", b"[]"), {"f": Served(True, time_limit=time_limit)})
    error = message.lost_error(Lost(EXIT, running=True, item=0, over_time=True))
    assert type(error) is TimeLimitExceeded
    assert words in str(error)
    assert error.data == data


def test_who_took_too_much_memory_is_told_how_much() -> None:
    error = asked(b"30").lost_error(Lost(EXIT, running=True, item=0, over_memory=MemoryUse(10, 20)))
    assert type(error) is MemoryLimitExceeded
    assert error.data == {"limit": 10, "used": 20}


def test_any_other_end_of_a_worker_is_told_as_it_was() -> None:
    error = asked(b"30").lost_error(Lost(EXIT, running=True, item=0))
    assert type(error) is WorkerLost
    assert error.data == {"exit_code": None, "signal": 9}


@pytest.mark.parametrize(
    ("body", "answered"),
    [
        (b'{"jsonrpc":"2.0","id":"7","method":"f","params":[1]}', "7"),
        (b'{"jsonrpc":"2.0","method":"f","params":[1]}', None),
        (b'[{"jsonrpc":"2.0","id":1,"method":"f"},{"jsonrpc":"2.0","method":"f"},7]', [1, None]),
        (b'[{"jsonrpc":"2.0","method":"f"}]', None),
        (b"30", [None]),
        (b"{", [None]),
    ],
)
def test_an_error_answers_whoever_would_have_had_an_answer(body: bytes, answered: Any) -> None:
    response = asked(body).failure(LOST)
    if answered is None:
        assert response is None
        return
    document = values.decode(response or b"")
    assert (
        [each["id"] for each in document] == answered
        if isinstance(document, list)
        else document["id"] == (None if answered == [None] else answered)
    )


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"jsonrpc":"2.0","id":"7","method":"fib","params":[1]}', "call 7 of fib"),
        (b'{"jsonrpc":"2.0","id":"7","method":"a\\nb","params":[1]}', "call 7 of a\\nb"),
        (b'{"jsonrpc":"2.0","id":"7","method":"rpc.map","params":{"method":"f","rows":[[1]]}}', "call 7 of f"),
        (
            b'{"jsonrpc":"2.0","id":"7","method":"rpc.map","params":{"method":"f","ids":["5"],"rows":[[1]]}}',
            "call 5 of f",
        ),
        (
            b'{"jsonrpc":"2.0","id":"7","method":"rpc.map","params":{"method":"f","rows":[[1],[2]]}}',
            "call 7, which is 2 calls of f,",
        ),
        (b'{"jsonrpc":"2.0","id":"7","method":"rpc.map","params":[]}', "call 7 of rpc.map"),
        (b'[{"jsonrpc":"2.0","id":"7","method":"fib","params":[1]},1]', "a batch of 2 calls"),
        (b"30", "a call"),
        (b"{" + b" " * 70_000 + b"}", "a call of 70002 bytes"),
    ],
    ids=range(9),
)
def test_the_log_names_what_was_called(body: bytes, words: str) -> None:
    assert called(body) == words
    assert asked(body).name == (words if len(body) < 70_000 else "a call")
