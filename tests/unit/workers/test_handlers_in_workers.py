"""An event in its worker: what its handler is given, and what is reported."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from rpcsvc import CurrentCall, Event, Registry, Retry, RetryLater, current_call
from rpcsvc.workers.inside.casts import perform
from rpcsvc.workers.inside.dispatch import Rules
from rpcsvc.workers.job import Context, Report

CONTEXT = Context(
    kind="event",
    handler="receipt",
    topic="order.7.paid",
    content_type="application/json",
    message_id="m-1",
    first_published=1500,
    headers={"trace": "t"},
    redelivered=True,
    attempt=2,
)


def report(registry: Registry, body: bytes, context: Context = CONTEXT) -> Report:
    return Report.read(perform(registry, body, Context.read(context.encode()), Rules()))


def test_a_handler_is_given_the_event() -> None:
    registry, given = Registry(), []

    @registry.on("order.*.paid")
    def receipt(event: Event) -> None:
        given.append((event, current_call()))

    assert report(registry, b'{"id": 7}') == Report()
    ((event, call),) = given
    assert event == Event(
        "order.7.paid",
        datetime.fromtimestamp(1.5, UTC),
        {"id": 7},
        headers={"trace": "t"},
        redelivered=True,
        message_id="m-1",
    )
    assert call == CurrentCall(
        kind="event", method="receipt", message_id="m-1", attempt=2, first_published=1.5, headers={"trace": "t"}
    )
    assert current_call() is None


def raising(error: BaseException, **options: Any) -> Registry:
    registry = Registry()

    @registry.on("#", **options)
    def receipt(_: Event) -> None:
        raise error

    return registry


@pytest.mark.parametrize(
    ("registry", "retry_in"),
    [
        (raising(OSError("no space")), None),
        (raising(OSError("no space"), retry=Retry(attempts=3, back_off=4.0)), 8.0),
        (raising(RetryLater(60)), 60),
    ],
)
def test_one_that_raises_is_tried_again_as_a_cast_is(registry: Registry, retry_in: float | None) -> None:
    told = report(registry, b"7")
    assert told.error is not None
    assert told.retry_in == retry_in


def test_one_that_is_not_here_any_more_may_be_elsewhere() -> None:
    registry = Registry()
    registry.on("#", name="another")(print)
    told = report(registry, b"7")
    assert told.error is not None
    assert told.error["code"] == -32601
    assert "no handler 'receipt'" in told.error["message"]
    assert told.retry_in == 1.0
    told = report(registry, b"7", replace(CONTEXT, attempt=20))
    assert told.retry_in is None
