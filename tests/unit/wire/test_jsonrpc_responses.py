"""JSON-RPC responses: what is read from any bytes, and what is written."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from documents import JSON, TEXT, VALUES, as_json
from hypothesis import example, given
from hypothesis import strategies as st
from support.examples import examples

from rpcsvc.errors import DecodingError, FunctionRaised, InvalidParams, MethodNotFound, ParseError, RemoteError
from rpcsvc.wire import jsonrpc, values
from rpcsvc.wire.jsonrpc import MAX_ERROR_TEXT

BOUNDED = examples(50)


@BOUNDED
@given(TEXT | st.integers(-(2**63), 2**64 - 1) | st.none(), VALUES)
def test_a_result_is_read_as_it_was_written(call_id: str | int | None, result: Any) -> None:
    body = jsonrpc.encode_result(call_id, result)

    assert repr(jsonrpc.decode_response(body)) == repr(result)
    assert values.decode(body)["id"] == call_id
    assert values.decode(body)["jsonrpc"] == "2.0"


def test_a_result_of_none_is_a_result() -> None:
    assert jsonrpc.decode_response(b'{"jsonrpc":"2.0","id":"7","result":null}') is None


@pytest.mark.parametrize(
    "error",
    [
        MethodNotFound("there is no function 'x' here"),
        InvalidParams("argument 'n' must be int", data={"argument": "n"}),
        FunctionRaised("f raised E", data={"type": "E", "message": "", "traceback": "Traceback …"}),
        RemoteError("of another kind", code=-32050, data={"attempts": 3, "exact": 2**70}),
    ],
)
def test_an_error_is_raised_as_it_was_written(error: RemoteError) -> None:
    with pytest.raises(RemoteError) as caught:
        jsonrpc.decode_response(jsonrpc.encode_error("7", error))

    assert type(caught.value) is type(error)
    assert (caught.value.code, caught.value.message, caught.value.data) == (error.code, error.message, error.data)


def test_an_error_without_data_has_no_such_member() -> None:
    assert orjson.loads(jsonrpc.encode_error(None, ParseError("no"))) == {
        "jsonrpc": "2.0",
        "id": None,
        "error": {"code": -32700, "message": "no"},
    }


@BOUNDED
@given(st.text(), st.text())
@example("\ud800", "a\udfffb")
def test_an_error_with_any_text_can_be_written(message: str, detail: str) -> None:
    with pytest.raises(FunctionRaised) as caught:
        jsonrpc.decode_response(jsonrpc.encode_error("7", FunctionRaised(message, data={"message": detail})))

    assert caught.value.message == message.encode("utf-8", "backslashreplace").decode()
    assert caught.value.exception_message == detail.encode("utf-8", "backslashreplace").decode()


def test_no_text_of_an_error_makes_a_response_that_is_too_large_to_send() -> None:
    body = jsonrpc.encode_error("7", FunctionRaised("x" * 10**7, data={"message": "\ud800" * 10**7}))

    assert len(body) < 10 * MAX_ERROR_TEXT
    with pytest.raises(FunctionRaised) as caught:
        jsonrpc.decode_response(body)
    assert caught.value.message == "x" * MAX_ERROR_TEXT + "[…]"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"7",
        b"[]",
        b"{}",
        b'{"jsonrpc":"2.0","id":1}',
        b'{"error":null}',
        b'{"error":{}}',
        b'{"error":{"code":"x","message":"m"}}',
        b'{"error":{"code":true,"message":"m"}}',
        b'{"error":{"code":1,"message":null}}',
    ],
)
def test_a_reply_that_is_no_response_is_an_error_of_its_own(body: bytes) -> None:
    with pytest.raises(DecodingError):
        jsonrpc.decode_response(body)


@BOUNDED
@given(st.binary(max_size=60) | JSON.map(as_json))
def test_any_reply_is_a_result_or_a_typed_error(body: bytes) -> None:
    try:
        jsonrpc.decode_response(body)
        outcome = None
    except Exception as error:
        outcome = error

    assert outcome is None or isinstance(outcome, DecodingError | RemoteError)
