"""Whatever comes as a request is answered with a response, or with nothing; whatever comes as a response is an outcome.

The requests are damaged ones: nearly right, they get further than noise.
"""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from damage import damaged
from hypothesis import HealthCheck, assume, example, given
from hypothesis import strategies as st
from support.examples import examples

from rpcsvc.errors import DecodingError, RemoteError, WorkerLost
from rpcsvc.functions.registration import Registry
from rpcsvc.server.asked import Asked
from rpcsvc.wire import jsonrpc, values
from rpcsvc.wire.jsonrpc import decode_response, encode_params, encode_request
from rpcsvc.wire.many.answer import read_answer
from rpcsvc.wire.names import MAP
from rpcsvc.wire.values.limits import RAW_FROM
from rpcsvc.workers.inside.dispatch import Rules, dispatch

BOUNDED = examples(80, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
LOST = WorkerLost("the worker died", data={"exit_code": None, "signal": 9})
RULES = Rules(max_result=RAW_FROM * 4)

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=5)
    | st.binary(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.lists(inner, max_size=2).map(tuple),
    max_leaves=8,
)
LARGE = st.just(b"0123456789abcdef" * (RAW_FROM // 16))
ARGUMENTS = st.lists(VALUES | LARGE, max_size=3)
METHODS = st.sampled_from(["f", "g", "typed", MAP, "rpc.ping", "rpc.discover", "", "nobody"])
ROWS = st.lists(st.lists(VALUES, max_size=2), min_size=1, max_size=4)


def _registry() -> Registry:
    registry = Registry()

    @registry.function(name="f")
    def f(*args: Any, **kwargs: Any) -> Any:
        return [args, kwargs] if kwargs else args

    @registry.function(name="g", idempotent=False)
    def g(n: Any) -> Any:
        raise LookupError(n)

    @registry.function(name="typed")
    def typed(n: int, texts: list[str] | None = None) -> Any:
        return {n: texts}

    return registry


REGISTRY = _registry()


def _map_params(rows: list[list[Any]], method: str, by_row: bool, ids: bool) -> dict[str, Any]:
    if by_row:
        return {"method": method, "rows": rows, **({"ids": [str(n) for n in range(len(rows))]} if ids else {})}
    width = min(map(len, rows))
    return {"method": method, "columns": [[row[place] for row in rows] for place in range(width)] or [[1, 2]]}


maps = st.builds(_map_params, ROWS, st.sampled_from(["f", "g", "typed"]), st.booleans(), st.booleans())
map_requests = maps.map(lambda params: encode_request("7", MAP, encode_params([], params)))
requests = st.builds(
    lambda method, args, kwargs: encode_request("7", method, encode_params(args, kwargs)),
    METHODS,
    ARGUMENTS,
    st.dictionaries(st.sampled_from(["n", "texts", "x"]), VALUES, max_size=2),
)
notifications = requests.map(lambda body: body.replace(b'"id":"7",', b"", 1))
singles = requests | notifications | map_requests
batches = st.lists(st.sampled_from([b'{"jsonrpc":"2.0","id":1,"method":"f"}', b"7", b"[]"]) | requests, max_size=4).map(
    lambda members: b"[" + b",".join(members) + b"]"
)
bodies = damaged(singles | batches)


def assert_is_a_response(body: bytes) -> None:
    """JSON-RPC 2.0, section 5."""
    text = body.partition(b"\0")[0]
    document = orjson.loads(text)
    for each in document if isinstance(document, list) else [document]:
        assert each["jsonrpc"] == "2.0"
        assert isinstance(each["id"], str | int | float | None)
        assert ("result" in each) != ("error" in each)
        if "error" in each:
            assert type(each["error"]["code"]) is int
            assert type(each["error"]["message"]) is str
    if isinstance(document, dict):
        outcome_of(body)


def outcome_of(body: bytes) -> Any:
    """The result, or the typed error. Anything else is a fault."""
    try:
        return decode_response(body)
    except (RemoteError, DecodingError) as error:
        return error


@BOUNDED
@given(bodies)
@example(b'{"jsonrpc":"2.0","id":1,"id":2,"method":"g","method":"f","params":1,"params":[]}')
@example(b'{"jsonrpc":"2.0","id":1,"method":"f","params":[NaN]}')
@example(b'{"jsonrpc":"2.0","id":1,"method":"f","params":["\xff"]}')
@example(b'{"jsonrpc":"2.0","id":1,"method":"f","params":["\\ud800"]}')
@example(b'{"jsonrpc":"2.0","id":1,"method":"f","params":[1e999,-1e999,1e-999]}')
@example(b'{"jsonrpc":"2.0","id":1,"method":"f","params":[' + b"9" * 4301 + b"]}")
@example(b'{"jsonrpc":"2.0","id":' + b"9" * 4000 + b',"method":"f"}')
@example(b'{"jsonrpc":"2.0","id":1,"method":"f","params":{"$dict":[[1,2]]}}')
@example(b'{"jsonrpc":"2.0","id":1,"method":"f","params":{"*":{"$set":[1]}}}')
@example(b'{"jsonrpc":"2.0","id":1,"method":"f","params":' + b"[" * 100_000)
@example(b'{"jsonrpc":"2.0","id":1,"method":"f","params":' + b"[" * 1024 + b"]" * 1024 + b"}")
@example(b'{"a":' * 100_000)
@example(b"[" * 103 + b"]" * 103)
def test_damaged_requests_are_answered_with_a_response_or_with_nothing(body: bytes) -> None:
    for answer in (dispatch(REGISTRY, body, RULES), jsonrpc.failure(jsonrpc.parse(body), LOST)):
        if answer is not None:
            assert_is_a_response(answer)


@BOUNDED
@given(bodies)
def test_a_dead_worker_is_told_to_exactly_those_who_would_have_had_an_answer(body: bytes) -> None:
    assume(isinstance(jsonrpc.parse(body), jsonrpc.Request))

    assert (jsonrpc.failure(jsonrpc.parse(body), LOST) is None) == (dispatch(REGISTRY, body, RULES) is None)


@BOUNDED
@given(bodies)
def test_what_a_body_calls_is_what_runs(body: bytes) -> None:
    """A server asks this of a request that may have run before; what it is not told of might run twice."""
    called: set[str] = set()
    registry = Registry()
    for name in ("f", "g", "typed"):
        registry.add(lambda *_, name=name, **__: called.add(name), name=name)

    dispatch(registry, body, RULES)

    assert called <= set(jsonrpc.methods(jsonrpc.parse(body)) or [])


@BOUNDED
@given(damaged(map_requests))
@example(encode_request("7", MAP, encode_params([], {"method": "f", "rows": [[1], (2,)], "ids": ["1", "2"]})))
def test_a_message_of_many_calls_comes_to_the_same_when_it_is_taken_apart(body: bytes) -> None:
    asked = Asked.read(body, {})
    whole = dispatch(REGISTRY, body, RULES)
    if not asked.comes_apart:
        return
    requests = asked.requests
    assert all(jsonrpc.methods(jsonrpc.parse(request)) == [asked.method] for request in requests)
    together = asked.join([dispatch(REGISTRY, request, RULES) or b"" for request in requests])
    assert (together is None) == (whole is None)
    if whole is None or together is None:
        return  # a notification
    at_once = outcome_of(whole)
    if isinstance(at_once, RemoteError):
        assert jsonrpc.methods(jsonrpc.parse(body)) not in (["f"], ["g"], ["typed"])
        return
    apart = read_answer(decode_response(together), len(requests))
    answer = read_answer(at_once, len(requests))
    assert repr(apart.results) == repr(answer.results)
    assert {index: error.code for index, error in apart.errors.items()} == {
        index: error.code for index, error in answer.errors.items()
    }


responses = st.builds(
    lambda result, raw: jsonrpc.encode_result("7", result, raw=raw), VALUES | LARGE, st.booleans()
) | st.builds(lambda text: jsonrpc.encode_error("7", RemoteError(text, code=-32000, data={"type": text})), st.text())
map_responses = map_requests.map(lambda body: dispatch(REGISTRY, body, RULES) or b"")


@BOUNDED
@given(damaged(responses | map_responses), st.integers(1, 4))
@example(
    b'{"result":{"results":[1],"errors":[[0,{"code":1,"message":"m","data":[]}]],"seconds":0,"bytes":0,"alone":0}}', 1
)
@example(b'{"error":{"code":' + b"9" * 4000 + b',"message":"m"}}', 1)
@example(b'{"error":{"code":-32000,"message":"m","data":{"$dict":[[1,2]]}}}', 1)
@example(b'{"error":{"code":-32000,"message":"m","data":{"traceback":{"$set":[]}}}}', 1)
def test_damaged_responses_are_results_or_typed_errors(body: bytes, count: int) -> None:
    outcome = outcome_of(body)

    if isinstance(outcome, Exception):
        assert type(str(outcome)) is str
        return
    try:
        answer = read_answer(outcome, count)
    except DecodingError:
        return
    assert len(answer.results) == count


@pytest.mark.parametrize("size", [10, 1000, 100_000])
@pytest.mark.parametrize(
    "wrong", [b"[", b'{"a":', b'{"$tuple":[', b'{"$dict":[[1,', b'"\\', b"-", b"9", b"1e", b"[[],", b"\0"]
)
def test_what_is_repeated_takes_time_in_proportion_and_has_a_small_answer(wrong: bytes, size: int) -> None:
    for body in (wrong * size, b'{"jsonrpc":"2.0","id":1,"method":"f","params":[' + wrong * size):
        answer = dispatch(REGISTRY, body, RULES)
        assert answer is not None
        assert len(answer) < 1000
        assert json.loads(answer)["error"]["code"] in (-32700, -32600, -32602)
        assert values.decode(answer)["id"] is None
