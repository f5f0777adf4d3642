"""What a worker is told besides a body, and what it reports: it arrives as it was said."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from rpcsvc.workers.job import Context, Report


@pytest.mark.parametrize(
    "context",
    [
        Context(kind="call"),
        Context(kind="cast", message_id="m", attempt=3, first_published=17, headers={"a": {"b": [1, None]}}, bare=True),
        Context(kind="event", handler="paid", topic="order.7.paid", content_type="text/plain", redelivered=True),
    ],
)
def test_a_context_arrives_as_it_was_told(context: Context) -> None:
    assert Context.read(context.encode()) == context


def test_a_context_names_only_what_there_is_to_tell() -> None:
    assert Context(kind="cast").encode() == b'{"kind":"cast"}'


def test_headers_for_which_json_has_no_word_arrive_as_text() -> None:
    headers = {"price": Decimal("1.50"), "raw": b"a\xff", "at": datetime(2026, 1, 2, tzinfo=UTC), "text": "한글"}
    assert Context.read(Context(kind="call", headers=headers).encode()).headers == {
        "price": "1.50",
        "raw": "a\\xff",
        "at": "2026-01-02T00:00:00+00:00",
        "text": "한글",
    }


@pytest.mark.parametrize("report", [Report(), Report({"code": -1}), Report({"code": -1, "data": {"a": 1}}, 2.5)])
def test_a_report_arrives_as_it_was_said(report: Report) -> None:
    assert Report.read(report.encode()) == report


def test_a_report_is_json_that_says_ok_or_an_error() -> None:
    assert Report().encode() == b'{"ok":true}'
    assert Report({"code": -1}, 1.0).encode() == b'{"error":{"code":-1},"retry_in":1.0,"counts":true}'


@pytest.mark.parametrize(
    "context",
    [
        Context(kind="event", topic="a.\udcff", message_id="\udcfe"),
        Context(kind="event", topic="a.\ufffd", headers={"x": "\udcff"}),
    ],
)
def test_what_is_no_utf_8_reaches_a_worker_replaced(context: Context) -> None:
    read = Context.read(context.encode())
    assert (read.topic, read.headers) == ("a.\ufffd", {})
    assert read.message_id in (None, "\ufffd")
