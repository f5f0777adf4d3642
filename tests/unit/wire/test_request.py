"""What an `rpc.map` asks for: read from params, refused with a sentence, written from rows."""

from __future__ import annotations

from typing import Any

import pytest
from mapped import map_result, serving

from rpcsvc.errors import EncodingError, InvalidParams
from rpcsvc.wire import jsonrpc, values
from rpcsvc.wire.many.request import MAX_CALLS, params, read
from rpcsvc.wire.names import MAP


def test_columns_hold_the_values_of_each_argument() -> None:
    asked = read((), {"method": "area", "columns": [[1, 2, 3], [10, 20, 30]]})

    assert (asked.method, asked.count) == ("area", 3)
    assert [tuple(args) for args in asked.each()] == [(1, 10), (2, 20), (3, 30)]


def test_rows_hold_the_arguments_of_each_call() -> None:
    asked = read((), {"method": "area", "rows": [[1, 10], [], [3]]})

    assert (asked.method, asked.count) == ("area", 3)
    assert [tuple(args) for args in asked.each()] == [(1, 10), (), (3,)]


@pytest.mark.parametrize(
    ("args", "kwargs", "complaint"),
    [
        ((), {}, 'takes "method" and either "columns" or "rows"'),
        ((), {"method": "f"}, 'takes "method" and either'),
        ((), {"columns": [[1]]}, 'takes "method" and either'),
        ((), {"method": 7, "columns": [[1]]}, 'takes "method" and either'),
        ((), {"method": "f", "columns": [[1]], "rows": [[1]]}, 'takes "method" and either'),
        (("f",), {"method": "f", "rows": [[1]]}, 'takes "method" and either'),
        ((), {"method": "f", "columns": "ab"}, "arrays of arrays"),
        ((), {"method": "f", "columns": {"0": [1]}}, "arrays of arrays"),
        ((), {"method": "f", "columns": [[1], (2,)]}, "arrays of arrays"),
        ((), {"method": "f", "rows": 7}, "arrays of arrays"),
        ((), {"method": "f", "rows": [1, 2]}, "arrays of arrays"),
        ((), {"method": "f", "columns": []}, "1 to 10000 calls in one message, not 0"),
        ((), {"method": "f", "columns": [[]]}, "not 0"),
        ((), {"method": "f", "rows": []}, "not 0"),
        ((), {"method": "f", "columns": [[0] * (MAX_CALLS + 1)]}, "not 10001"),
        ((), {"method": "f", "rows": [[]] * (MAX_CALLS + 1)}, "not 10001"),
        ((), {"method": "f", "columns": [[1, 2], [1]]}, "of one length"),
        ((), {"method": "f", "columns": [[1], [1, 2]]}, "of one length"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_params_that_are_not_as_they_should_be_are_refused_with_a_sentence(
    args: tuple[Any, ...], kwargs: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(InvalidParams, match=complaint):
        read(args, kwargs)


def test_as_many_calls_as_are_allowed_are_allowed() -> None:
    assert read((), {"method": "f", "columns": [[0] * MAX_CALLS]}).count == MAX_CALLS
    assert read((), {"method": "f", "rows": [[]] * MAX_CALLS}).count == MAX_CALLS


def test_params_made_of_encoded_rows_are_read_as_those_rows() -> None:
    rows = [[1, "ü"], [2**70, b"\x00"], [(1, 2), {3}]]

    document = values.decode(params("möbius", [values.encode(row) for row in rows], ["1", "2", "ü"]))

    asked = read((), document)
    assert (asked.method, asked.count, asked.rows, asked.ids) == ("möbius", 3, rows, ["1", "2", "ü"])


def test_arguments_nested_as_deeply_as_a_call_may_have_them_do_not_spoil_the_message_for_the_others() -> None:
    deep: list[Any] = []
    for _ in range(98):
        deep = [deep]
    row = jsonrpc.encode_params([deep], {})
    assert isinstance(row, bytes)
    with pytest.raises(EncodingError):
        jsonrpc.encode_params([[deep]], {})

    message = jsonrpc.parse(jsonrpc.encode_request("7", MAP, params("f", [row, b"[1]"], ["1", "2"])))

    assert isinstance(message, jsonrpc.Request)
    assert [list(args) for args in read(message.args, message.kwargs).each()] == [[deep], [1]]


@pytest.mark.parametrize("count", [0, MAX_CALLS + 1])
def test_a_message_of_no_calls_or_of_too_many_is_an_error_as_a_whole_and_nothing_runs(count: int) -> None:
    ran: list[int] = []

    with pytest.raises(InvalidParams, match=f"{MAP} takes 1 to 10000 calls in one message, not {count}"):
        map_result(serving(ran.append), columns=[list(range(count))])

    assert ran == []


@pytest.mark.parametrize("ids", [["1"], ["1", "2", "3"], [1, 2], "12", {"1": 2}])
def test_ids_are_one_string_for_each_call(ids: Any) -> None:
    with pytest.raises(InvalidParams, match="ids"):
        read((), {"method": "f", "rows": [[1], [2]], "ids": ids})
