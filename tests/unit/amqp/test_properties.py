"""What a message says of itself besides what calls say: read when it is asked for, and not before."""

from __future__ import annotations

import struct
from typing import Any

import pika
import pika.frame
import pika.spec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rpcsvc.amqp import Delivery, Properties, properties
from rpcsvc.amqp.fastpath import FrameParser
from rpcsvc.errors import DecodingError

short_text = st.text(max_size=60)
table = st.dictionaries(st.text(max_size=20), st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(max_size=9))


def delivered(exchange: str, routing_key: str, header: bytes) -> Delivery:
    found: list[Delivery] = []
    parser = FrameParser(lambda _: None, lambda _channel, _tag, delivery: found.append(delivery))
    method = pika.spec.Basic.Deliver("t", 1, False, exchange, routing_key)
    parser.feed(pika.frame.Method(1, method).marshal() + header)
    return found[0]


def said(**given: Any) -> Delivery:
    return delivered("", "q", pika.frame.Header(1, 0, pika.BasicProperties(**given)).marshal())


def assert_tells(exchange: str, routing_key: str, given: dict[str, Any]) -> None:
    """Let pika write a message, and ask the delivery for all that was given."""
    header = pika.frame.Header(1, 0, pika.BasicProperties(**given)).marshal()
    delivery = delivered(exchange, routing_key, header)
    assert (delivery.exchange, delivery.routing_key) == (exchange, routing_key)
    for name in ("content_type", "priority", "correlation_id", "reply_to", "expiration", "message_id", "timestamp"):
        assert getattr(delivery, name) == given.get(name)
    assert delivery.type == given.get("type")
    assert delivery.is_persistent is (given.get("delivery_mode") == 2)
    assert delivery.headers == given.get("headers", {})


@pytest.mark.parametrize("mode", [1, 2])
def test_a_publisher_that_says_everything_is_told_of_in_full(mode: int) -> None:
    texts = ("content_type", "content_encoding", "correlation_id", "reply_to", "expiration", "message_id")
    texts += ("type", "user_id", "app_id")
    given = {name: f"the {name}" for name in texts}
    assert_tells("x", "q", given | {"headers": {"a": 1}, "delivery_mode": mode, "priority": 9, "timestamp": 2**40})


def test_a_publisher_that_says_nothing_is_told_of_as_that() -> None:
    assert_tells("", "q", {})


@given(
    exchange=short_text,
    routing_key=short_text,
    given=st.fixed_dictionaries(
        {},
        optional={
            "content_type": short_text,
            "content_encoding": short_text,
            "headers": table,
            "delivery_mode": st.sampled_from([1, 2]),
            "priority": st.integers(0, 255),
            "correlation_id": short_text,
            "reply_to": short_text,
            "expiration": short_text,
            "message_id": short_text,
            "timestamp": st.integers(0, 2**64 - 1),
            "type": short_text,
            "user_id": short_text,
            "app_id": short_text,
        },
    ),
)
def test_what_a_publisher_said_is_what_a_delivery_tells(exchange: str, routing_key: str, given: dict[str, Any]) -> None:
    assert_tells(exchange, routing_key, given)


def test_headers_hold_what_a_broker_writes_into_them() -> None:
    death = {"queue": "q", "reason": "rejected", "count": 2**40, "routing-keys": ["a", "b"], "nothing": None}
    assert said(headers={"x-death": [death], "raw": b"\xff\xfe"}).headers == {"x-death": [death], "raw": b"\xff\xfe"}


def test_whole_numbers_in_headers_are_pythons_own_however_large() -> None:
    """pika makes a type of its own of what takes 64 bits, and who looks for `int` would not find it."""
    given = {"n": 2**40, "list": [2**40, [2**40]], "table": {"n": 2**40}, "small": 7, "flag": True}
    headers = said(headers=given).headers
    assert headers == given
    assert type(headers["n"]) is type(headers["list"][0]) is type(headers["list"][1][0]) is int
    assert type(headers["table"]["n"]) is type(headers["small"]) is int
    assert headers["flag"] is True


def test_a_delivery_that_nobody_has_parsed_says_nothing() -> None:
    delivery = Delivery(1, False, b"", None, None, None, None)
    assert (delivery.exchange, delivery.routing_key, delivery.headers, delivery.priority) == ("", "", {}, None)


@pytest.mark.parametrize(
    "value",
    [
        b"T" + struct.pack("!Q", 2**62),  # a timestamp that no datetime can hold
        b"?" + b"\0",  # a type that does not exist
        b"S" + struct.pack("!I", 2**31),
        b"A" + struct.pack("!I", 2**31) + b"V" * 10,
        (b"F" + struct.pack("!I", 2**20) + b"\x01x") * 5000,  # nested deeper than Python goes
    ],
    ids=["time", "type", "string", "array", "depth"],
)
def test_a_hostile_table_costs_who_asks_for_it_and_nobody_else(value: bytes) -> None:
    entry = b"\x01x" + value
    payload = struct.pack("!HHQH", 60, 0, 0, (1 << 13) | (1 << 11)) + struct.pack("!I", len(entry)) + entry + b"\x07"
    delivery = delivered("", "q", struct.pack("!BHI", 2, 1, len(payload)) + payload + b"\xce")
    assert delivery.priority == 7
    with pytest.raises(DecodingError, match="headers of the message"):
        _ = delivery.headers


def test_flags_that_continue_are_stepped_over_later_too() -> None:
    payload = struct.pack("!HHQHHH", 60, 0, 0, (1 << 11) | 1, 1, 0) + b"\x09"
    assert delivered("", "q", struct.pack("!BHI", 2, 1, len(payload)) + payload + b"\xce").priority == 9


@pytest.mark.parametrize(
    "given",
    [
        Properties(headers={"x": object()}),
        Properties(headers={"x" * 256: 1}),
        Properties(headers={"x": 2**64}),
        Properties(priority=256),
        Properties(priority=-1),
        Properties(timestamp=-1),
        Properties(content_type="x" * 256),
        Properties(headers={"x": "y" * 2048}),
    ],
    ids=[
        "no type of AMQP",
        "a long name",
        "a large number",
        "priority",
        "below zero",
        "timestamp",
        "content type",
        "more than a frame",
    ],
)
def test_what_cannot_be_sent_is_refused(given: Properties) -> None:
    with pytest.raises(ValueError, match=r"cannot be sent|255|fit into a frame of 4096"):
        given.encoded(b"", 4096)


def test_no_more_plans_are_remembered_than_there_is_room_for() -> None:
    for flags in range(2 * properties._REMEMBERED_PLANS):
        properties._plan(flags << 5)
    assert len(properties._PLANS) <= properties._REMEMBERED_PLANS
