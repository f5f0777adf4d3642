"""Dead letters, as they are written and read."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from rpcsvc.wire.letters import MOST_ERROR, Letter, letter_headers

BODY = b'{"jsonrpc":"2.0","method":"resize","params":["a.png"]}'
ERROR = {"code": -32000, "message": "OSError: no space", "data": {"type": "OSError", "traceback": "Traceback…"}}


def written(error: dict[str, Any], headers: dict[str, Any] | None = None) -> dict[str, Any]:
    return letter_headers(
        headers or {}, error=error, attempts=3, first_published=17, died=99, host="here", came_from="q.casts"
    )


def test_a_letter_is_read_as_it_was_written() -> None:
    letter = Letter.read(BODY, written(ERROR, {"trace": "1", "x-death": []}), "id-1")
    assert letter == Letter(
        letter_id="id-1",
        message_id="id-1",
        method="resize",
        body=BODY,
        error="OSError: no space",
        error_type="OSError",
        traceback="Traceback…",
        attempts=3,
        first_published=17,
        died=99,
        host="here",
        came_from="q.casts",
        headers={"trace": "1"},
    )


@pytest.mark.parametrize(
    ("reason", "sentence"),
    [
        ("delivery_limit", "delivered too often"),
        ("expired", "waited longer"),
        ("maxlen", "full"),
        ("rejected", "refused"),
        ("something new", "something new"),
    ],
)
def test_a_letter_that_the_broker_wrote_says_why(reason: str, sentence: str) -> None:
    letter = Letter.read(b"plain", {"x-death": [{"reason": reason, "queue": "task_queue"}]}, None)
    assert sentence in letter.error
    assert (letter.error_type, letter.came_from, letter.method, letter.host) == (reason, "task_queue", None, "")
    assert letter.died is None


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"x-death": "no"},
        {"x-death": [1]},
        {"rpcsvc-error": "{", "rpcsvc-died": "yesterday", "rpcsvc-queue": 7},
        {"rpcsvc-error": "[]"},
        {"rpcsvc-error": '{"data": 3}'},
        {"rpcsvc-error": 3},
    ],
)
@pytest.mark.parametrize("body", [b"", b"{", b"{}", b'{"method": 3}', b"[]", b"\xff", b"3"])
def test_whatever_lies_there_is_read(headers: dict[str, Any], body: bytes) -> None:
    letter = Letter.read(body, headers, None)
    assert len(letter.letter_id) == 16
    assert (letter.method, letter.traceback, letter.died, letter.came_from) == (None, "", None, None)
    assert letter.error or headers.get("rpcsvc-error") == '{"data": 3}'


@pytest.mark.parametrize(
    ("error", "name"),
    [
        ({"code": -32003, "message": "m"}, "OutcomeUnknown"),
        ({"code": -32000, "message": "m", "data": {"type": "OSError"}}, "OSError"),
        ({"code": 7, "message": "m"}, "7"),
        ({"message": "m"}, ""),
    ],
)
def test_an_error_has_a_name(error: dict[str, Any], name: str) -> None:
    assert Letter.read(BODY, written(error), None).error_type == name


def test_letters_without_an_id_are_told_apart_by_what_is_in_them() -> None:
    first, second = (Letter.read(BODY, {**written(ERROR), "rpcsvc-died": died}, None) for died in (1, 2))
    assert first.letter_id != second.letter_id
    assert first.letter_id == Letter.read(BODY, {**written(ERROR), "rpcsvc-died": 1}, None).letter_id


@pytest.mark.parametrize("error", [
    {"code": 1, "message": "m" * 10**6},
    {"code": 1, "message": "m", "data": {"traceback": "t" * 10**6 + "the end"}},
    {"code": 1, "message": "m", "data": ["x" * 10**6]},
])  # fmt: skip
def test_a_long_error_is_cut(error: dict[str, Any]) -> None:
    text = written(error)["rpcsvc-error"]
    assert len(text) <= MOST_ERROR
    traceback = orjson.loads(text).get("data", {}).get("traceback", "…the end")
    assert traceback.startswith("…")
    assert traceback.endswith("the end")


def test_what_json_does_not_know_is_written_as_text() -> None:
    assert "OSError" in written({"code": 1, "message": "m", "data": {"type": OSError}})["rpcsvc-error"]
