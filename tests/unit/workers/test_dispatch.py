"""From request to response: the examples of the specification, results, batches, bare bodies."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from calling import LOST, call, error_of, request_body, serving
from hypothesis import given
from hypothesis import strategies as st
from support.examples import examples

from rpcsvc.errors import (
    FunctionRaised,
    InvalidParams,
    InvalidRequest,
    MethodNotFound,
    RemoteError,
    ResultNotEncodable,
    WorkerLost,
)
from rpcsvc.functions import registry as built_in
from rpcsvc.functions.registration import Registry
from rpcsvc.wire import jsonrpc, values
from rpcsvc.wire.jsonrpc import decode_response
from rpcsvc.workers.inside.dispatch import Rules, dispatch

BOUNDED = examples(50)
TEXT = st.text(st.characters(codec="utf-8"), max_size=10)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT | st.binary(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4) | st.sets(st.integers()),
    max_leaves=10,
)
LARGE = b"0123456789abcdef" * 2048


# ---- the examples of the JSON-RPC 2.0 specification (section 7) -------------------------------------------------


def _of_the_specification() -> Registry:
    registry = Registry()

    @registry.function
    def subtract(minuend: int, subtrahend: int) -> int:
        return minuend - subtrahend

    @registry.function(name="sum")
    def add_up(*numbers: int) -> int:
        return sum(numbers)

    @registry.function
    def get_data() -> list[Any]:
        return ["hello", 5]

    for name in ("update", "notify_hello", "notify_sum"):
        registry.add(lambda *_: None, name=name)
    return registry


def _failed(code: int, call_id: Any = None) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "error": {"code": code}, "id": call_id}


def _result(result: Any, call_id: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "result": result, "id": call_id}


@pytest.mark.parametrize(
    ("sent", "answered"),
    [
        pytest.param(
            '{"jsonrpc": "2.0", "method": "subtract", "params": [42, 23], "id": 1}', _result(19, 1), id="positional"
        ),
        pytest.param(
            '{"jsonrpc": "2.0", "method": "subtract", "params": [23, 42], "id": 2}', _result(-19, 2), id="reversed"
        ),
        pytest.param(
            '{"jsonrpc": "2.0", "method": "subtract", "params": {"subtrahend": 23, "minuend": 42}, "id": 3}',
            _result(19, 3),
            id="named",
        ),
        pytest.param(
            '{"jsonrpc": "2.0", "method": "subtract", "params": {"minuend": 42, "subtrahend": 23}, "id": 4}',
            _result(19, 4),
            id="named, the other way round",
        ),
        pytest.param('{"jsonrpc": "2.0", "method": "update", "params": [1,2,3,4,5]}', None, id="notification"),
        pytest.param('{"jsonrpc": "2.0", "method": "foobar"}', None, id="notification of an unknown method"),
        pytest.param('{"jsonrpc": "2.0", "method": "foobar", "id": "1"}', _failed(-32601, "1"), id="unknown method"),
        pytest.param('{"jsonrpc": "2.0", "method": "foobar, "params": "bar", "baz]', _failed(-32700), id="not JSON"),
        pytest.param('{"jsonrpc": "2.0", "method": 1, "params": "bar"}', _failed(-32600), id="not a request"),
        pytest.param(
            '[{"jsonrpc": "2.0", "method": "sum", "params": [1,2,4], "id": "1"}, {"jsonrpc": "2.0", "method"',
            _failed(-32700),
            id="batch, not JSON",
        ),
        pytest.param("[]", _failed(-32600), id="empty batch"),
        pytest.param("[1]", [_failed(-32600)], id="batch of one thing that is no request"),
        pytest.param("[1,2,3]", [_failed(-32600)] * 3, id="batch of such things"),
        pytest.param(
            """[
                {"jsonrpc": "2.0", "method": "sum", "params": [1,2,4], "id": "1"},
                {"jsonrpc": "2.0", "method": "notify_hello", "params": [7]},
                {"jsonrpc": "2.0", "method": "subtract", "params": [42,23], "id": "2"},
                {"foo": "boo"},
                {"jsonrpc": "2.0", "method": "foo.get", "params": {"name": "myself"}, "id": "5"},
                {"jsonrpc": "2.0", "method": "get_data", "id": "9"}
            ]""",
            [
                _result(7, "1"),
                _result(19, "2"),
                _failed(-32600),
                _failed(-32601, "5"),
                _result(["hello", 5], "9"),
            ],
            id="batch",
        ),
        pytest.param(
            """[
                {"jsonrpc": "2.0", "method": "notify_sum", "params": [1,2,4]},
                {"jsonrpc": "2.0", "method": "notify_hello", "params": [7]}
            ]""",
            None,
            id="batch of notifications",
        ),
    ],
)
def test_the_examples_of_the_specification_are_answered_as_it_shows(sent: str, answered: Any) -> None:
    body = dispatch(_of_the_specification(), sent.encode())

    assert (None if body is None else _without_sentences(orjson.loads(body))) == answered


def _without_sentences(response: Any) -> Any:
    """The specification leaves the message and the data to us; everything else is compared whole."""
    if isinstance(response, list):
        return [_without_sentences(each) for each in response]
    if "error" in response:
        assert response["error"].pop("message")
        response["error"].pop("data", None)
    return response


# ---- results ----------------------------------------------------------------------------------------------------


@BOUNDED
@given(VALUES)
def test_a_call_through_the_wire_is_the_call_itself(value: Any) -> None:
    result = decode_response(dispatch(built_in, request_body("7", "echo", [value], {})) or b"")

    assert result == value
    assert type(result) is type(value)


@BOUNDED
@given(st.lists(VALUES, max_size=3), st.dictionaries(TEXT.filter(lambda name: name != "*"), VALUES, max_size=3))
def test_positional_and_named_arguments_reach_the_function_together(args: list[Any], kwargs: dict[str, Any]) -> None:
    def f(*given: Any, **named: Any) -> Any:
        return [list(given), named]

    assert call(serving(f), *args, **kwargs) == [args, kwargs]


def test_a_ping_is_answered_without_any_function() -> None:
    assert decode_response(dispatch(Registry(), request_body("7", "rpc.ping", [], {})) or b"") == "pong"


def test_discovery_describes_what_is_served() -> None:
    def f(n: int) -> str:
        return str(n)

    document = decode_response(dispatch(serving(f), request_body("7", "rpc.discover", [], {})) or b"")

    assert sorted(document) == ["info", "methods", "openrpc"]
    assert [method["name"] for method in document["methods"]] == ["f"]
    assert document["methods"][0]["params"] == [{"name": "n", "required": True, "schema": {"type": "integer"}}]


def test_an_unknown_method_is_told_what_there_is() -> None:
    body = dispatch(built_in, request_body("7", "fibb" * 1000, [], {})) or b""

    with pytest.raises(MethodNotFound, match="there are: fib, is_prime") as caught:
        decode_response(body)
    assert len(str(caught.value)) < 1500


def test_arguments_that_do_not_fit_are_refused_and_nothing_runs() -> None:
    ran = []

    def f(n: int) -> None:
        ran.append(n)

    error = error_of(serving(f), "30")

    assert type(error) is InvalidParams
    assert (str(error), error.data) == ("f: argument 'n' must be int, not str", {"argument": "n"})
    assert ran == []


# ---- large binary data ------------------------------------------------------------------------------------------


def test_a_large_result_travels_behind_the_text_if_the_caller_reads_that() -> None:
    large = serving(lambda: LARGE)

    asked = dispatch(large, b'{"jsonrpc":"2.0","id":1,"method":"f","raw":true}') or b""
    unasked = dispatch(large, b'{"jsonrpc":"2.0","id":1,"method":"f"}') or b""

    assert asked == b'{"jsonrpc":"2.0","id":1,"result":{"$bytes":{"raw":[0,%d]}}}\0' % len(LARGE) + LARGE
    assert b"\0" not in unasked
    assert decode_response(unasked) == decode_response(asked) == LARGE


def test_no_member_of_a_batch_is_answered_with_a_raw_section() -> None:
    members = [b'{"jsonrpc":"2.0","id":%d,"method":"f","raw":true}' % n for n in range(2)]

    body = dispatch(serving(lambda: LARGE), b"[" + b",".join(members) + b"]") or b""

    assert [response["id"] for response in orjson.loads(body)] == [0, 1]
    assert [response["result"] for response in values.decode(body)] == [LARGE, LARGE]


def test_the_answers_to_bare_bodies_and_to_maps_have_no_raw_section() -> None:
    large = serving(lambda _: LARGE, default="f")

    bare = dispatch(large, b"30") or b""
    mapped = dispatch(large, request_body("7", "rpc.map", [], {"method": "f", "columns": [[LARGE, 2]]})) or b""

    assert values.decode(bare) == LARGE
    assert decode_response(mapped)["results"] == [LARGE, LARGE]
    for body in (bare, mapped):
        assert b"\0" not in body


def test_the_limit_of_a_result_counts_its_raw_section() -> None:
    large = serving(lambda: LARGE)
    whole = len(dispatch(large, request_body("7", "f", [], {})) or b"")

    assert call(large, rules=Rules(max_result=whole)) == LARGE
    assert type(error_of(large, rules=Rules(max_result=whole - 1))) is ResultNotEncodable


def test_a_large_request_whose_worker_died_is_answered_under_its_id() -> None:
    with pytest.raises(WorkerLost):
        decode_response(jsonrpc.failure(jsonrpc.parse(request_body("7", "echo", [LARGE], {})), LOST) or b"")


# ---- results that cannot be sent --------------------------------------------------------------------------------


class Unsendable:
    pass


def _endless() -> list[Any]:
    ring: list[Any] = []
    ring.append(ring)
    return ring


@pytest.mark.parametrize(
    "result", [object(), Unsendable(), {"a": [Unsendable()]}, "\ud800", lambda: 1, _endless()], ids=lambda _: ""
)
def test_a_result_that_cannot_travel_is_an_error_that_says_so(result: Any) -> None:
    error = error_of(serving(lambda: result))

    assert type(error) is ResultNotEncodable
    assert str(error).startswith("f: the result cannot be carried: ")


def test_a_result_that_is_too_large_is_an_error_with_both_sizes() -> None:
    registry = serving(lambda size: "x" * size, default="f")
    rules = Rules(max_result=1000)
    around = len(dispatch(registry, request_body("7", "f", [0], {})) or b"")

    assert call(registry, 1000 - around, rules=rules) == "x" * (1000 - around)
    error = error_of(registry, 1001 - around, rules=rules)
    assert type(error) is ResultNotEncodable
    assert "takes 1001 bytes" in str(error)
    assert "at most 1000" in str(error)

    assert dispatch(registry, b"1000", rules) == b"x" * 1000
    with pytest.raises(ResultNotEncodable):
        decode_response(dispatch(registry, b"1001", rules) or b"")


def test_a_batch_whose_results_are_too_large_together_is_oneerror_of() -> None:
    registry = serving(lambda: "x" * 400)
    request = request_body("7", "f", [], {})
    rules = Rules(max_result=1000)

    two = dispatch(registry, b"[" + request + b"," + request + b"]", rules)
    three = dispatch(registry, b"[" + b",".join([request] * 3) + b"]", rules)

    assert len(orjson.loads(two or b"")) == 2
    with pytest.raises(ResultNotEncodable):
        decode_response(three or b"")


# ---- requests that fight back -----------------------------------------------------------------------------------


@examples(160)
@given(st.binary(max_size=40) | st.binary(max_size=40).map(lambda inner: b'{"jsonrpc":"2.0","method":"f",' + inner))
def test_any_bytes_are_answered_with_a_response_or_with_nothing(body: bytes) -> None:
    answer = dispatch(built_in, body)

    assert answer is None or orjson.loads(answer) is not None


_MEMBER = st.fixed_dictionaries(
    {},
    optional={
        "jsonrpc": st.sampled_from(["2.0", "1.0", 2]),
        "id": st.sampled_from([1, "a", None, True, 1.5, []]),
        "method": st.sampled_from(["f", "g", "rpc.ping", 1]),
        "params": st.sampled_from([[1], [1, 2], {"n": 1}, {"m": 1}, 5, {"*": [1]}, {"*": 1}]),
    },
)


@BOUNDED
@given(st.lists(_MEMBER | st.just(7), min_size=1, max_size=6))
def test_each_request_of_a_batch_is_answered_as_it_would_be_alone(members: list[Any]) -> None:
    """A notification is a request in order but for its id; everything else gets one answer each, in order."""
    registry = serving(lambda n: n)

    alone = []
    for member in members:
        body = orjson.dumps(member) if isinstance(member, dict) else b"null"
        if (answer := dispatch(registry, body)) is not None:
            alone.append(orjson.loads(answer))
    together = dispatch(registry, orjson.dumps(members))

    answers = [] if together is None else orjson.loads(together)
    assert [(a["id"], a.get("result"), "error" in a) for a in answers] == [
        (a["id"], a.get("result"), "error" in a) for a in alone
    ]


# ---- bare bodies ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("body", "answer"), [(b"30", b"832040"), (b"0", b"0"), (b"100", b"354224848179261915075")])
def test_a_tutorials_client_sends_a_number_and_gets_digits(body: bytes, answer: bytes) -> None:
    assert dispatch(built_in, body) == answer


def test_a_bare_result_of_any_length_is_digits() -> None:
    answer = dispatch(built_in, b"20578")  # the first with more digits than `int` reads without being asked

    assert answer is not None
    assert len(answer) == 4301
    assert answer.isdigit()


def test_a_bare_string_is_an_argument_and_a_bare_result() -> None:
    assert dispatch(serving(lambda name: f"héllo {name}", default="f"), b'"w\xc3\xb6rld"') == "héllo wörld".encode()


@pytest.mark.parametrize(("body", "cls"), [(b"-1", FunctionRaised), (b'"x"', InvalidParams), (b"1.5", InvalidParams)])
def test_a_bare_call_that_fails_is_answered_with_anerror_of(body: bytes, cls: type[RemoteError]) -> None:
    answer = dispatch(built_in, body) or b""

    assert orjson.loads(answer)["id"] is None
    with pytest.raises(cls):
        decode_response(answer)


def test_a_registry_without_a_default_refuses_bare_bodies() -> None:
    with pytest.raises(InvalidRequest, match="no default function"):
        decode_response(dispatch(serving(lambda n: n), b"30") or b"")


def test_a_default_that_is_not_there_is_an_unknown_method() -> None:
    with pytest.raises(MethodNotFound):
        decode_response(dispatch(Registry(default="fib"), b"30") or b"")
