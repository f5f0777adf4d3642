"""What is said to all servers: what one side writes the other reads, and whatever else comes is refused."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.examples import examples

from rpcsvc.deadline import MAX_TIMEOUT
from rpcsvc.errors import DecodingError
from rpcsvc.wire.control import MAX_BYTES, MAX_IDS, Cancel, cancels, read

BOUNDED = examples(40)


def body(**changes: Any) -> bytes:
    params = {"reply_to": "amq.gen-1", "ids": ["7", "8"], "remaining": 2.5, **changes}
    kept = {name: value for name, value in params.items() if value is not ...}
    return json.dumps({"jsonrpc": "2.0", "method": "rpc.cancel", "params": kept}).encode()


def test_what_a_client_writes_a_server_reads() -> None:
    (message,) = cancels("amq.gen-1", {"7": 2.5, "8": 0.1})
    assert read(message) == Cancel("amq.gen-1", ["7", "8"], 2.5)


@BOUNDED
@given(st.integers(0, 3 * MAX_IDS))
def test_any_number_of_calls_is_told_once_each_in_as_few_messages_as_may_be(count: int) -> None:
    messages = [read(message) for message in cancels("q", {str(n): float(n) for n in range(count)})]

    assert [call_id for message in messages if message for call_id in message.ids] == [str(n) for n in range(count)]
    assert len(messages) == -(-count // MAX_IDS)


def test_a_call_without_a_time_out_is_given_up_for_as_long_as_a_message_may_wait() -> None:
    (message,) = cancels("amq.gen-1", {"7": math.inf, "8": 2.5})
    cancel = read(message)
    assert cancel is not None
    assert MAX_TIMEOUT - 1 < cancel.remaining <= MAX_TIMEOUT


def test_the_remaining_time_may_be_left_out() -> None:
    assert read(body(remaining=...)) == Cancel("amq.gen-1", ["7", "8"], 0.0)


def test_a_message_of_a_kind_that_is_not_known_is_left_alone() -> None:
    assert read(b'{"jsonrpc":"2.0","method":"rpc.something.new","params":7}') is None


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"\xff",
        b"7",
        b"[]",
        b"[" * 10_000,
        b"{}",
        b'{"jsonrpc":"1.0","method":"rpc.cancel"}',
        b'{"jsonrpc":"2.0","method":7}',
        b'{"jsonrpc":"2.0","method":"rpc.cancel"}',
        b'{"jsonrpc":"2.0","method":"rpc.cancel","params":[]}',
        body(reply_to=...),
        body(reply_to=7),
        body(reply_to="x" * 256),
        body(ids=...),
        body(ids="7"),
        body(ids=[7]),
        body(ids=["x" * 256]),
        body(ids=[""] * (MAX_IDS + 1)),
        body(remaining=-1),
        body(remaining=None),
        body(remaining=True),
        body(remaining="1"),
        body(remaining=MAX_TIMEOUT + 1),
        body().replace(b"2.5", b"1e999"),
        body(more="x" * MAX_BYTES),
    ],
    ids=lambda message: repr(message[:70]),
)
def test_anything_else_is_refused(message: bytes) -> None:
    with pytest.raises(DecodingError):
        read(message)


@BOUNDED
@given(st.binary())
def test_bytes_are_read_or_refused(message: bytes) -> None:
    with pytest.raises(DecodingError):
        read(message)
