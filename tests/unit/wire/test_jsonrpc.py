"""JSON-RPC requests: what is read from any bytes, and what is written."""

from __future__ import annotations

import re
from typing import Any

import orjson
import pytest
from calling import request_body
from documents import JSON, TEXT, VALUES, as_json
from hypothesis import example, given
from hypothesis import strategies as st
from support.examples import examples

from rpcsvc.errors import EncodingError, InvalidRequest, ParseError
from rpcsvc.wire import jsonrpc, values
from rpcsvc.wire.jsonrpc import MAX_BATCH, Bare, Batch, Malformed, Request, parse

BOUNDED = examples(50)
LARGE = b"0123456789abcdef" * 2048
ARRAY = {"$ndarray": {"dtype": "<i2", "shape": [2], "data": "AQACAA=="}}


def _request(**members: Any) -> bytes:
    return as_json({"jsonrpc": "2.0", "method": "echo", "id": 1, **members})


def _malformed(body: bytes) -> Malformed:
    message = parse(body)
    assert isinstance(message, Malformed)
    return message


def _nested(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels - 1):
        value = [value]
    return value


# ---- requests, there and back -----------------------------------------------------------------------------------


@BOUNDED
@given(
    TEXT,
    st.lists(VALUES, max_size=4),
    st.dictionaries(TEXT.filter(lambda name: name != "*"), VALUES, max_size=4),
)
@example("f", [], {"$int": 5})
@example("f", [1], {"$int": 5})
@example('"', [], {"": None})
def test_a_request_is_read_as_it_was_written(method: str, args: list[Any], kwargs: dict[str, Any]) -> None:
    message = parse(request_body("7", method, args, kwargs))

    assert isinstance(message, Request)
    assert (message.method, message.id, message.is_notification) == (method, "7", False)
    assert list(message.args) == args
    assert dict(message.kwargs) == kwargs
    assert repr(message.kwargs) == repr(kwargs)  # types and order too, which == does not see


def test_a_request_is_what_any_json_rpc_server_reads() -> None:
    assert orjson.loads(request_body("7", "fib", [30], {})) == {
        "jsonrpc": "2.0",
        "id": "7",
        "method": "fib",
        "params": [30],
        "raw": True,
    }
    assert orjson.loads(request_body("7", "fib", [], {"n": 30}))["params"] == {"n": 30}
    assert orjson.loads(request_body("7", "f", [1, 2], {"x": 3}))["params"] == {"*": [1, 2], "x": 3}


def test_an_argument_that_cannot_travel_is_refused() -> None:
    with pytest.raises(EncodingError, match="does not travel"):
        request_body("7", "echo", [object()], {})


def test_a_keyword_that_means_positional_arguments_on_the_wire_is_refused() -> None:
    with pytest.raises(EncodingError, match=r"cannot be named '\*'"):
        request_body("7", "echo", [], {"*": [1]})


@pytest.mark.parametrize("method", ["\ud800", 5, None, b"fib"])
def test_a_method_whose_name_is_no_text_is_refused(method: Any) -> None:
    with pytest.raises(EncodingError, match="must be text"):
        request_body("7", method, [], {})


def test_a_value_that_may_be_sent_may_be_nested_as_deeply_when_it_arrives() -> None:
    """Every level that `values` allows is the caller's; those of the message around it do not count."""
    args = _nested(values.MAX_NESTING)
    as_batch = b"[" + request_body("7", "echo", args, {}) + b"]"

    message = parse(request_body("7", "echo", args, {}))
    batch = parse(as_batch)

    assert isinstance(message, Request)
    assert message.args == args
    assert batch == Batch((message,))
    assert jsonrpc.decode_response(jsonrpc.encode_result("7", args)) == args


def test_a_body_nested_without_end_is_not_valid() -> None:
    for body in (b"[" * 100_000, b'{"params":' * 100_000, as_json(_nested(200))):
        assert isinstance(_malformed(body).error, ParseError | InvalidRequest)


# ---- raw sections -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "kwargs"), [([LARGE, 1], {}), ([], {"data": LARGE}), ([LARGE], {"data": {"a": bytearray(LARGE)}})]
)
def test_large_arguments_travel_behind_the_text_of_the_request(args: list[Any], kwargs: dict[str, Any]) -> None:
    body = request_body("7", "echo", args, kwargs)

    message = parse(body)

    assert body.endswith(b"}\0" + LARGE * body.count(LARGE))
    assert orjson.loads(body[: body.index(0)])["method"] == "echo"
    assert isinstance(message, Request)
    assert (list(message.args), message.kwargs, message.id) == (args, kwargs, "7")


def test_every_request_of_ours_says_that_its_sender_reads_raw_sections() -> None:
    for body in (request_body("7", "fib", [30], {}), request_body("7", "echo", [LARGE], {})):
        message = parse(body)
        assert isinstance(message, Request)
        assert message.raw


@pytest.mark.parametrize("said", [{}, {"raw": False}, {"raw": None}, {"raw": 1}, {"raw": "true"}, {"raw": [True]}])
def test_a_request_that_does_not_say_so_is_one_of_a_sender_that_does_not(said: dict[str, Any]) -> None:
    message = parse(_request(**said))

    assert isinstance(message, Request)
    assert not message.raw


def test_a_large_result_travels_behind_the_text_only_where_it_may() -> None:
    apart = jsonrpc.encode_result("7", [LARGE], raw=True)
    inline = jsonrpc.encode_result("7", [LARGE])

    assert apart == b'{"jsonrpc":"2.0","id":"7","result":[{"$bytes":{"raw":[0,%d]}}]}\0' % len(LARGE) + LARGE
    assert orjson.loads(inline)["result"] == [orjson.loads(values.encode(LARGE))]
    assert jsonrpc.decode_response(apart) == jsonrpc.decode_response(inline) == [LARGE]


def test_the_requests_of_a_batch_share_one_section() -> None:
    members = [
        b'{"jsonrpc":"2.0","id":%d,"method":"echo","params":[{"$bytes":{"raw":[%d,2]}}]}' % (n, 2 * n) for n in range(3)
    ]

    message = parse(b"[" + b",".join(members) + b"]\0aabbcc")

    assert isinstance(message, Batch)
    assert [member.args for member in message.members if isinstance(member, Request)] == [[b"aa"], [b"bb"], [b"cc"]]


def test_a_request_that_refers_to_what_is_not_there_is_a_parse_error() -> None:
    for section in (b"", b"\0", b"\0a"):
        body = b'{"jsonrpc":"2.0","id":1,"method":"echo","params":[{"$bytes":{"raw":[0,2]}}]}' + section
        assert type(_malformed(body).error) is ParseError


# ---- what may be received ---------------------------------------------------------------------------------------


@BOUNDED
@given(st.binary(max_size=60))
def test_any_bytes_are_some_message(body: bytes) -> None:
    assert isinstance(parse(body), Request | Malformed | Bare | Batch)


@examples(120)
@given(JSON)
@example({"jsonrpc": ARRAY, "method": "echo", "id": 1})
@example({"jsonrpc": "2.0", "method": ARRAY, "id": 1})
@example({"jsonrpc": "2.0", "method": "echo", "params": ARRAY, "id": 1})
@example({"jsonrpc": "2.0", "method": "echo", "params": {"*": ARRAY}, "id": 1})
@example({"jsonrpc": "2.0", "method": "echo", "id": ARRAY})
@example({"$dict": [[{"$tuple": []}, 1]]})
def test_any_json_is_some_message_and_can_be_answered(document: Any) -> None:
    message = parse(as_json(document))

    assert isinstance(message, Request | Malformed | Bare | Batch)
    for member in message.members if isinstance(message, Batch) else [message]:
        if not isinstance(member, Bare):
            assert orjson.loads(jsonrpc.encode_result(member.id, None))["id"] == member.id


@pytest.mark.parametrize("call_id", ["", "7", 'a"b', 0, -1, 2**64 - 1, -(2**63), 1.5, -0.0, None])
def test_an_id_of_the_kinds_that_the_specification_names_comes_back_as_it_was(call_id: Any) -> None:
    message = parse(_request(id=call_id))

    assert isinstance(message, Request)
    assert repr(orjson.loads(jsonrpc.encode_result(message.id, None))["id"]) == repr(call_id)
    assert not message.is_notification


@pytest.mark.parametrize("call_id", [True, False, [], ["7"], {}, {"a": 1}, 2**64, {"$float": "nan"}, {"$bytes": ""}])
def test_an_id_that_could_not_be_written_back_is_refused(call_id: Any) -> None:
    message = _malformed(_request(id=call_id))

    assert isinstance(message.error, InvalidRequest)
    assert message.id is None
    assert '"id"' in str(message.error)


def test_a_request_without_an_id_is_a_notification() -> None:
    assert parse(b'{"jsonrpc":"2.0","method":"echo"}') == Request("echo", [], {}, None, True)


@pytest.mark.parametrize(
    ("params", "args", "kwargs"),
    [
        ([], [], {}),
        ([1, "a"], [1, "a"], {}),
        ({}, [], {}),
        ({"n": 30}, [], {"n": 30}),
        ({"*": [1, 2], "n": 3}, [1, 2], {"n": 3}),
        ({"*": []}, [], {}),
        ({"*": {"$tuple": [1, 2]}}, [1, 2], {}),
    ],
)
def test_arguments_are_positional_named_or_both(params: Any, args: list[Any], kwargs: dict[str, Any]) -> None:
    message = parse(_request(params=params))

    assert isinstance(message, Request)
    assert (list(message.args), message.kwargs) == (args, kwargs)


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b'{"method":"echo","id":1}', '"jsonrpc" must be "2.0"'),
        (_request(jsonrpc="1.0"), '"jsonrpc" must be "2.0"'),
        (_request(jsonrpc=2.0), '"jsonrpc" must be "2.0"'),
        (_request(jsonrpc=ARRAY), '"jsonrpc" must be "2.0"'),
        (b'{"jsonrpc":"2.0","id":1}', '"method" must be a string'),
        (_request(method=1), '"method" must be a string'),
        (_request(params=None), '"params" must be an array or an object'),
        (_request(params="30"), '"params" must be an array or an object'),
        (_request(params=ARRAY), '"params" must be an array or an object'),
        (_request(params={"$tuple": []}), '"params" must be an array or an object'),
        (_request(params={"*": 1}), 'under "*", as an array'),
        (_request(params={"$dict": [[1, 2]]}), "names"),
    ],
)
def test_a_malformed_request_is_told_what_is_wrong_under_its_own_id(body: bytes, sentence: str) -> None:
    message = _malformed(body)

    assert type(message.error) is InvalidRequest
    assert sentence in str(message.error)
    assert message.id == 1


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[1", b"nul", b'{"$int":"x"}', b'"\\ud800"'])
def test_a_body_that_is_no_json_is_a_parse_error(body: bytes) -> None:
    assert type(_malformed(body).error) is ParseError


@pytest.mark.parametrize("body", [b"null", b"true", b"false", b'{"$bytes":""}', b'{"$tuple":[]}'])
def test_json_that_is_no_request_is_told_so(body: bytes) -> None:
    assert type(_malformed(body).error) is InvalidRequest


@pytest.mark.parametrize(
    ("body", "value"),
    [(b"30", 30), (b" 30\n", 30), (b"-1.5", -1.5), (b'"thirty"', "thirty"), (b"1" + b"0" * 40, 10**40)],
)
def test_one_number_or_string_is_a_bare_value(body: bytes, value: Any) -> None:
    assert parse(body) == Bare(value)


# ---- batches ----------------------------------------------------------------------------------------------------


def test_a_batch_keeps_the_order_and_judges_each_member_alone() -> None:
    message = parse(b'[{"jsonrpc":"2.0","method":"a","id":1}, 7, {"id":2}, {"jsonrpc":"2.0","method":"b"}]')

    assert isinstance(message, Batch)
    first, number, without, last = message.members
    assert first == Request("a", [], {}, 1, False)
    assert isinstance(number, Malformed)
    assert isinstance(without, Malformed)
    assert (number.id, without.id) == (None, 2)
    assert last == Request("b", [], {}, None, True)


def test_an_empty_batch_is_one_error() -> None:
    assert type(_malformed(b"[]").error) is InvalidRequest


def test_a_batch_has_a_limit_and_says_it() -> None:
    assert isinstance(parse(as_json([1] * MAX_BATCH)), Batch)
    assert str(MAX_BATCH) in str(_malformed(as_json([1] * (MAX_BATCH + 1))).error)


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"", "it is empty; .* in a data section"),
        (b"\0Sw\xa1\x0230", "an amqp-value section of AMQP 1.0; .* in a data section"),
        (b"\0SwU\x1e", "an amqp-value section"),
        (b"\0Sv\xc0\x03\x01U\x1e", "an amqp-sequence section"),
    ],
)
def test_a_body_that_clients_of_amqp_1_0_send_by_mistake_is_told_what_to_send(body: bytes, sentence: str) -> None:
    error = _malformed(body).error
    assert type(error) is ParseError
    assert re.search(sentence, str(error))


@pytest.mark.parametrize("body", [b"\0Sx", b"\0", b"{", b"Sw"])
def test_any_other_is_told_nothing_of_that(body: bytes) -> None:
    assert "AMQP 1.0" not in str(_malformed(body).error)


def test_a_notification_has_no_id() -> None:
    params = jsonrpc.encode_params([1], {"b": 2})
    body = jsonrpc.encode_notification("f", params)
    assert body == b'{"jsonrpc":"2.0","method":"f","params":{"*":[1],"b":2}}'
    assert jsonrpc.parse(body) == jsonrpc.Request("f", [1], {"b": 2}, None, is_notification=True)


def test_a_notification_may_have_a_raw_section() -> None:
    data = b"0123456789abcdef" * 4096
    parsed = jsonrpc.parse(jsonrpc.encode_notification("f", jsonrpc.encode_params([data], {})))
    assert parsed == jsonrpc.Request("f", [data], {}, None, is_notification=True)


def test_a_notification_of_a_name_that_cannot_travel_is_refused() -> None:
    with pytest.raises(EncodingError):
        jsonrpc.encode_notification("\ud800", b"[]")
