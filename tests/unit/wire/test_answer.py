"""The outcome of an `rpc.map` to bytes and back; and what a peer may send instead."""

from __future__ import annotations

from math import inf, nan
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.examples import examples

from rpcsvc.client.sizing import ChunkSizer
from rpcsvc.errors import (
    DecodingError,
    FunctionRaised,
    InternalError,
    InvalidParams,
    InvalidRequest,
    MethodNotFound,
    ParseError,
    RemoteError,
    ResultNotEncodable,
    RpcTimeout,
    WorkerLost,
)
from rpcsvc.wire import jsonrpc
from rpcsvc.wire.many.answer import MapResult, Understanding, encode_response, read_answer

BOUNDED = examples(80)
FAILED = jsonrpc.error_object(FunctionRaised("f raised ValueError: no", data={"type": "ValueError", "message": "no"}))
GOOD: dict[str, Any] = {"results": [1, None], "errors": [[1, FAILED]], "seconds": 0.5, "bytes": 8, "alone": False}


def test_what_is_written_is_read_back() -> None:
    results = [1, (2, {3}), 2**100, b"\x00", None]
    body = encode_response("7", MapResult(results, [(4, FAILED)], 0.25, True))

    answer = read_answer(jsonrpc.decode_response(body), 5)

    assert (answer.results, answer.seconds, answer.alone) == (results, 0.25, True)
    assert answer.errors.keys() == {4}
    assert type(answer.errors[4]) is FunctionRaised
    assert answer.errors[4].data == {"type": "ValueError", "message": "no"}


def test_a_result_nested_as_deeply_as_is_allowed_alone_is_allowed_among_others() -> None:
    deep: list[Any] = []
    for _ in range(99):
        deep = [deep]
    body = encode_response("7", MapResult([deep, 1], [], 0.0, False))

    assert read_answer(jsonrpc.decode_response(body), 2).results == [deep, 1]


def test_a_result_that_cannot_travel_becomes_an_error_and_the_outcome_is_left_as_it_was() -> None:
    outcome = MapResult([1, object()], [], 0.0, False)

    answer = read_answer(jsonrpc.decode_response(encode_response("7", outcome)), 2)

    assert answer.results == [1, None]
    assert type(answer.errors[1]) is ResultNotEncodable
    assert outcome.errors == []


@pytest.mark.parametrize(
    "result",
    [
        None,
        [],
        7,
        "results",
        {},
        *({name: value for name, value in GOOD.items() if name != missing} for missing in GOOD),
        {**GOOD, "results": [1]},
        {**GOOD, "results": [1, 2, 3]},
        {**GOOD, "results": {"0": 1, "1": 2}},
        {**GOOD, "results": "ab"},
        {**GOOD, "errors": 7},
        {**GOOD, "errors": [7]},
        {**GOOD, "errors": [[1]]},
        {**GOOD, "errors": [[1, FAILED, 3]]},
        {**GOOD, "errors": [[1, "failed"]]},
        {**GOOD, "errors": [[1, {"message": "no code"}]]},
        {**GOOD, "errors": [[1, {"code": "-32000", "message": "text for a number"}]]},
        {**GOOD, "errors": [[1, {"code": -32000, "message": 7}]]},
        {**GOOD, "errors": [[2, FAILED]]},
        {**GOOD, "errors": [[-1, FAILED]]},
        {**GOOD, "errors": [["1", FAILED]]},
        {**GOOD, "errors": [[True, FAILED]]},
        {**GOOD, "errors": [[[1], FAILED]]},
        {**GOOD, "seconds": "long"},
        {**GOOD, "seconds": -1.0},
        {**GOOD, "seconds": nan},
        {**GOOD, "seconds": inf},
        {**GOOD, "bytes": "many"},
        {**GOOD, "bytes": inf},
        {**GOOD, "bytes": None},
    ],
    ids=repr,
)
def test_a_result_that_is_none_of_an_rpc_map_is_a_decoding_error(result: Any) -> None:
    with pytest.raises(DecodingError, match=r"no result of rpc.map for 2 calls|no\w* .*proper"):
        read_answer(result, 2)


_ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["code", "message", "data"]), inner),
    max_leaves=6,
)


@BOUNDED
@given(st.fixed_dictionaries({name: st.just(GOOD[name]) | _ANYTHING for name in GOOD}) | _ANYTHING)
def test_whatever_a_peer_sends_is_an_answer_that_can_be_used_or_a_decoding_error(result: Any) -> None:
    try:
        answer = read_answer(result, 2)
    except DecodingError:
        return
    assert len(answer.results) == 2
    assert answer.errors.keys() <= {0, 1}
    assert all(isinstance(error, RemoteError) and str(error) is not None for error in answer.errors.values())
    sizer = ChunkSizer()
    sizer.learn(answer, 10)
    assert sizer.size >= 1


# ---- whether the servers know it --------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [InvalidRequest("no"), InvalidParams("no"), ParseError("no"), DecodingError("no")])
def test_what_means_that_nothing_has_run_is_taken_for_no_understanding_until_it_was_shown_once(
    error: Exception,
) -> None:
    understanding = Understanding()
    assert understanding.is_missing(error)
    assert not understanding.is_given

    understanding = Understanding()
    understanding.confirm()
    assert not understanding.is_missing(error)
    assert understanding.is_given


@pytest.mark.parametrize("data", [{}, {"method": "rpc.map"}, {"data": "no rpc.map here"}], ids=repr)
@pytest.mark.parametrize("confirmed", [True, False])
def test_a_method_that_is_not_found_is_rpc_map_unless_another_is_named(data: dict[str, Any], confirmed: bool) -> None:
    understanding = Understanding()
    if confirmed:
        understanding.confirm()
    assert understanding.is_missing(MethodNotFound("no", data=data))
    assert not understanding.is_given
    assert not understanding.is_missing(MethodNotFound("no", data={"method": "f"})), "a server of ours, now"
    assert understanding.is_given


@pytest.mark.parametrize(
    "error",
    [InternalError("failed"), WorkerLost("died"), ResultNotEncodable("large"), RpcTimeout("f", 1.0, "7")],
    ids=repr,
)
def test_what_may_have_run_is_not_asked_for_again(error: Exception) -> None:
    assert not Understanding().is_missing(error)
