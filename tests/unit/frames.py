"""Frames of AMQP 0-9-1: those of a message as pika writes them, and others as a broker would not."""

from __future__ import annotations

import struct
from typing import Any

import pika
import pika.frame
import pika.spec
from hypothesis import strategies as st

from rpcsvc.amqp.fastpath import Publisher

FRAME_MAX = 10_000

short_text = st.text(max_size=60)
channels = st.integers(1, 65535)
table = st.dictionaries(
    st.text(max_size=20),
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**31), 2**31 - 1) | st.text(max_size=20) | st.binary(max_size=20),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
        max_leaves=5,
    ),
    max_size=4,
)
bodies = st.binary(max_size=100) | st.integers(FRAME_MAX - 10, 3 * FRAME_MAX).map(
    lambda size: bytes(i % 251 for i in range(size))
)


def content_frames(channel: int, method: Any, properties: pika.BasicProperties, body: bytes) -> list[bytes]:
    """A message's frames as pika writes them."""
    most = FRAME_MAX - 8
    return [
        pika.frame.Method(channel, method).marshal(),
        pika.frame.Header(channel, len(body), properties).marshal(),
        *(pika.frame.Body(channel, body[at : at + most]).marshal() for at in range(0, len(body), most)),
    ]


def deliver_frame() -> bytes:
    return bytes(pika.frame.Method(1, pika.spec.Basic.Deliver("t", 1, False, "", "q")).marshal())


def raw_frame(kind: int, payload: bytes) -> bytes:
    return struct.pack("!BHI", kind, 1, len(payload)) + payload + b"\xce"


def published(
    routing_key: str, body: bytes, *, channel: int = 1, frame_max: int = FRAME_MAX, content_type: str = "", **say: Any
) -> bytes:
    """What a channel sends for one message."""
    sent: list[bytes] = []
    Publisher(channel, frame_max, content_type, sent.extend).publish(routing_key, body, **say)
    return b"".join(sent)
