"""Frames of AMQP 0-9-1: those of a message as pika writes them, and others as a broker would not."""

from __future__ import annotations

import struct
from typing import Any

import pika
import pika.frame
import pika.spec

FRAME_MAX = 10_000


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
