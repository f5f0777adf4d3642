"""What a channel publishes, against pika's own codec, the oracle: the same bytes."""

from __future__ import annotations

import struct
from typing import Any

import pika
import pika.frame
import pika.spec
import pytest
from frames import FRAME_MAX, bodies, channels, content_frames, published, short_text, table
from hypothesis import given
from hypothesis import strategies as st

from rpcsvc.amqp import fastpath
from rpcsvc.amqp.fastpath import Publisher
from rpcsvc.amqp.properties import Properties
from rpcsvc.errors import ConnectionLost


def assert_sent_as_by_pika(
    channel: int,
    exchange: str,
    routing_key: str,
    body: bytes,
    mandatory: bool,
    said: dict[str, str],
    more: dict[str, Any] | None,
) -> None:
    """Publish, and compare with the bytes that pika sends for the same; `more` are the members of `Properties`."""
    sent: list[bytes] = []
    publisher = Publisher(channel, FRAME_MAX, "application/json", sent.extend)
    method = pika.spec.Basic.Publish(exchange=exchange, routing_key=routing_key, mandatory=mandatory)
    others = {"content_type": "application/json"} | (more or {})
    if others.pop("persistent", False):
        others["delivery_mode"] = 2
    expected = content_frames(channel, method, pika.BasicProperties(**others, **said), body)
    properties = None if more is None else Properties(**more)
    for _ in range(2):  # the second time the method frame comes from memory
        sent.clear()
        publisher.publish(
            routing_key,
            body,
            exchange=exchange,
            mandatory=mandatory,
            properties=properties,
            **said,  # type: ignore[arg-type]
        )
        assert b"".join(sent) == b"".join(expected)


SAID = {"correlation_id": "c", "reply_to": "r", "expiration": "60000", "message_id": "m", "type": "fib"}
MORE = {
    "headers": {"a": [1, None]},
    "persistent": True,
    "priority": 9,
    "content_type": "text/plain",
    "timestamp": 2**40,
}


@pytest.mark.parametrize("size", [0, 1, FRAME_MAX - 8, FRAME_MAX - 7, 3 * FRAME_MAX])
@pytest.mark.parametrize(("said", "more"), [({}, None), ({}, {}), (SAID, None), (SAID, MORE)])
def test_a_publish_of_any_size_that_says_all_or_nothing_is_what_pika_sends(
    size: int, said: dict[str, str], more: dict[str, Any] | None
) -> None:
    assert_sent_as_by_pika(1, "", "jobs", b"x" * size, size > 0, said, more)


@given(
    channel=channels,
    exchange=short_text,
    routing_key=short_text,
    body=bodies,
    mandatory=st.booleans(),
    said=st.fixed_dictionaries({}, optional=dict.fromkeys(SAID, short_text)),
    more=st.none()
    | st.fixed_dictionaries(
        {},
        optional={
            "headers": table,
            "persistent": st.just(True),
            "priority": st.integers(0, 255),
            "content_type": short_text,
            "timestamp": st.integers(0, 2**64 - 1),
        },
    ),
)
def test_a_publish_is_byte_for_byte_what_pika_sends(**given: Any) -> None:
    assert_sent_as_by_pika(**given)


@pytest.mark.parametrize("tag", [0, 2**64 - 1])
def test_an_ack_is_what_pika_sends(tag: int) -> None:
    assert fastpath.ack(65535, tag) == pika.frame.Method(65535, pika.spec.Basic.Ack(tag)).marshal()


@given(channels, st.integers(0, 2**64 - 1))
def test_an_ack_is_byte_for_byte_what_pika_sends(channel: int, tag: int) -> None:
    assert fastpath.ack(channel, tag) == pika.frame.Method(channel, pika.spec.Basic.Ack(tag)).marshal()


def test_many_callback_queues_do_not_pile_up_in_memory() -> None:
    publisher = Publisher(1, FRAME_MAX, "application/json", list)
    for number in range(5000):
        publisher.publish(f"amq.gen-{number}", b"")
    assert len(publisher._methods) == 1000
    assert ("", "amq.gen-4999", False) in publisher._methods


def test_a_property_over_255_bytes_is_refused() -> None:
    with pytest.raises(ValueError, match="255"):
        published("x" * 256, b"")


def test_on_a_channel_that_has_ended_nothing_is_published_and_each_time_the_error_is_another() -> None:
    publisher = Publisher(1, FRAME_MAX, "", lambda _: pytest.fail("nothing is written"))
    publisher.ended = ConnectionLost("gone")
    raised = []
    for _ in range(2):
        with pytest.raises(ConnectionLost, match="gone") as caught:
            publisher.publish("q", b"")
        raised.append(caught.value)
    assert raised[0] is not raised[1], "a traceback is of one raise"


def test_without_a_negotiated_limit_a_body_is_one_frame() -> None:
    body = bytes(10 * FRAME_MAX)
    data = published("queue", body, frame_max=0)
    assert data.count(struct.pack("!BHI", 3, 1, len(body))) == 1
