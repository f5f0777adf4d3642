"""What a worker is told of a call besides its body: mostly nothing."""

from __future__ import annotations

from typing import Any

import pytest
from support.cast import unreadable
from support.served import DIED, Server, request

from rpcsvc.amqp.messages import Delivery
from rpcsvc.amqp.properties import Properties
from rpcsvc.server.told import MOST_PROPERTIES, context_of_call
from rpcsvc.wire.names import ATTEMPTS
from rpcsvc.workers.job import Context
from rpcsvc.workers.work import Answer


def delivery(headers: dict[str, Any] | None = None, message_id: str | None = None) -> Delivery:
    content = b"\0\0"
    if headers is not None:
        flags, values, _ = Properties(headers=headers).encoded(b"\x04text")
        content = flags.to_bytes(2) + values
    return Delivery(1, False, request(), "7", "q", None, None, message_id, content_bytes=content)


def told(delivery: Delivery, attempt: int = 1) -> Context | None:
    context = context_of_call(delivery, attempt)
    return None if context is None else Context.read(context)


def test_of_a_call_without_headers_nothing_is_told() -> None:
    assert told(delivery()) is None
    assert told(delivery({})) is None


def test_a_call_that_is_tried_again_is_told_so() -> None:
    assert told(delivery(), 2) == Context(kind="call", attempt=2)


def test_headers_are_told_but_those_of_the_broker_and_ours() -> None:
    headers = {"tenant": "blue", "x-death": [], ATTEMPTS: 3}
    assert told(delivery(headers, "m")) == Context(kind="call", message_id="m", headers={"tenant": "blue"})
    assert told(delivery({"x-death": []})) is None


def test_large_headers_are_not_told_and_not_even_decoded() -> None:
    assert told(delivery({"a": "x" * (MOST_PROPERTIES // 2)})) is not None
    assert told(delivery({"a": "x" * MOST_PROPERTIES})) is None


def test_headers_that_cannot_be_read_are_not_told(caplog: pytest.LogCaptureFixture) -> None:
    call = delivery()
    call.content_bytes = unreadable()
    assert told(call) is None
    assert "without its headers" in caplog.text


def test_each_attempt_of_a_call_is_told_its_number() -> None:
    server = Server()
    server.deliver(request(method="twice"))
    server.workers.end(DIED)
    server.workers.end(Answer(b"1"))
    contexts = [None if work.context is None else Context.read(work.context) for work in server.workers.works]
    assert contexts == [None, Context(kind="call", attempt=2)]
