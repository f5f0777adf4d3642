"""Hostile messages: what a publisher may put into the queue by mistake or on purpose.

`messages(seed)` makes them, without end and the same ones for the same seed; `publish_all` sends them as raw frames,
because pika refuses to write some of them. The broker carries every one to a server: those that it refuses itself never
reach one, and would only end the publisher's channel. `REFUSED` holds some of these, to show that they are no threat.

No message here asks for a long computation. That is no attack but a call, and what time limits are for.
"""

from __future__ import annotations

import asyncio
import base64
import random
import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, TypeAlias

from hostile_bodies import BODIES, a_wrong_map, request

from rpcsvc.amqp import Channel, Connection
from rpcsvc.settings import BrokerUrl

Properties: TypeAlias = dict[str, bytes | int]
"""By name; text as the bytes that travel, `headers` as the bytes of the whole table without its length."""

NOBODY = "amq.gen-nobody"
_NAMES = (
    *("content_type", "content_encoding", "headers", "delivery_mode", "priority", "correlation_id", "reply_to"),
    *("expiration", "message_id", "timestamp", "type", "user_id", "app_id", "cluster_id"),
)
_NUMBERS = {"delivery_mode": "!B", "priority": "!B", "timestamp": "!Q"}
_BUFFERED = 1_000_000


@dataclass(frozen=True, slots=True)
class Hostile:
    """One message.

    Attributes:
        kind: what is wrong with it, for whoever looks at a failure.
        body: the payload.
        properties: the message properties.
    """

    kind: str
    body: bytes = field(repr=False)
    properties: Properties

    def frames(self, channel: int, queue: str, frame_max: int) -> bytes:
        """The frames that publish it to a queue (AMQP 0-9-1, section 2.3.5)."""
        method = struct.pack("!HHH", 60, 40, 0) + b"\0" + _short(queue.encode()) + b"\0"
        header = struct.pack("!HHQ", 60, 0, len(self.body)) + encode_properties(self.properties)
        most = frame_max - 8
        pieces = [self.body[at : at + most] for at in range(0, len(self.body), most)]
        return b"".join(
            [_frame(1, channel, method), _frame(2, channel, header), *(_frame(3, channel, p) for p in pieces)]
        )


def messages(seed: int, callback_queue: str = NOBODY) -> Iterator[Hostile]:
    """Hostile messages without end, the same for the same seed.

    Args:
        seed: of the choice.
        callback_queue: where those that want an answer to a proper place want it.
    """
    rng = random.Random(seed)
    kinds, weights = zip(*BODIES.items(), strict=True)
    while True:
        (make,) = rng.choices(kinds, weights)
        body = make(rng)
        kind = [make.__name__.strip("_")]
        properties: Properties = {"reply_to": callback_queue.encode(), "correlation_id": b"%d" % rng.getrandbits(32)}
        if make is a_wrong_map:
            properties["type"] = b"rpc.map"
        for odd in rng.sample(_ODDITIES, rng.choice((0, 1, 1, 2, 4))):
            odd(rng, properties)
            kind.append(odd.__name__.strip("_"))
        yield Hostile(" with ".join([kind[0], ", ".join(kind[1:])] if kind[1:] else kind), body, properties)


def publish_all(url: str, queue: str, hostile: Iterable[Hostile]) -> int:
    """Publish messages as they are; how many. It is held back as the broker holds it back.

    Raises:
        ConnectionLost: the broker refused one.
    """
    return asyncio.run(_publish_all(url, queue, hostile))


async def _publish_all(url: str, queue: str, hostile: Iterable[Hostile]) -> int:
    connection = await Connection.open(BrokerUrl.parse(url), role="hostile publisher", timeout=10)
    try:
        channel = await connection.channel()
        stream = connection._stream
        assert stream._transport is not None
        count = 0
        for count, message in enumerate(hostile, 1):
            stream.write((message.frames(channel._number, queue, stream.params.frame_max),))
            if count % 50 == 0:
                await _let_go_out(channel, stream)
        # The broker reads in order: when it answers this, it has taken all that went before.
        await channel.declare_queue(queue, passive=True)
        return count
    finally:
        await connection.close()


async def _let_go_out(channel: Channel, stream: Any) -> None:
    stream.flush()
    await asyncio.sleep(0)
    while stream._transport is not None and stream._transport.get_write_buffer_size() > _BUFFERED:
        await asyncio.sleep(0.001)
    if channel.lost.done():
        raise channel.lost.result()


# ---- the encoding of properties, which checks nothing ------------------------------------------------------------


def encode_properties(properties: Properties) -> bytes:
    """The flags and the values of a content header (section 4.2.6.1)."""
    flags, encoded = 0, b""
    for place, name in enumerate(_NAMES):
        value = properties.get(name)
        if value is None:
            continue
        flags |= 1 << (15 - place)
        if isinstance(value, int):
            encoded += struct.pack(_NUMBERS[name], value)
        else:
            encoded += struct.pack("!I", len(value)) + value if name == "headers" else _short(value)
    return struct.pack("!H", flags) + encoded


def _frame(kind: int, channel: int, payload: bytes) -> bytes:
    return struct.pack("!BHI", kind, channel, len(payload)) + payload + b"\xce"


def _short(data: bytes) -> bytes:
    return bytes((len(data),)) + data


def _long(data: bytes) -> bytes:
    return struct.pack("!I", len(data)) + data


# ---- properties --------------------------------------------------------------------------------------------------


def _entry(name: bytes, value: bytes) -> bytes:
    return _short(name) + value


def _hostile_headers(rng: random.Random, properties: Properties) -> None:
    nested = b""
    for _ in range(rng.choice([2, 100, 2000])):
        nested = _entry(b"x", b"F" + _long(nested))
    properties["headers"] = rng.choice(
        [
            _entry(b"x", b"T" + struct.pack("!Q", 2**62)),
            _entry(b"x", b"T" + struct.pack("!Q", 2**64 - 1)),
            nested,
            _entry(b"x", b"A" + _long(b"A" + _long(b"t\x01" * 100))),
            _entry(b"x", b"S" + _long(b"\xff" * 10_000)),
            _entry(b"\xff" * 255, b"V"),
            _entry(b"", b"V") * 1000,
            _entry(b"x", b"D\xff" + struct.pack("!i", -1)),
            _entry(b"x", b"x" + _long(rng.randbytes(200))),
            b"",
        ]
    )


def _every_property(rng: random.Random, properties: Properties) -> None:
    for name in _NAMES:
        if name in ("user_id", "headers", "expiration", "delivery_mode", "reply_to"):
            continue  # the broker looks at these
        properties[name] = rng.getrandbits(8) if name in _NUMBERS else rng.randbytes(rng.choice([0, 1, 255]))


def _a_timestamp_beyond_time(_: random.Random, properties: Properties) -> None:
    properties["timestamp"] = 2**64 - 1


def _no_correlation_id(_: random.Random, properties: Properties) -> None:
    properties.pop("correlation_id", None)


def _an_odd_correlation_id(rng: random.Random, properties: Properties) -> None:
    properties["correlation_id"] = rng.choice(
        [b"", b"x" * 255, b"\xff\xfe\x80", b"\0", b"\n" * 255, "é".encode() * 127]
    )


def _no_reply_to(_: random.Random, properties: Properties) -> None:
    properties.pop("reply_to", None)


def _a_reply_to_elsewhere(rng: random.Random, properties: Properties) -> None:
    properties["reply_to"] = rng.choice(
        [
            b"",
            b"rpc_queue",
            b"somebody-else",
            b"amq.topic",
            b"AMQ.GEN-x",
            b"amq.gen-",
            b"amq.gen-[*?",
            b"amq.gen-" + b"x" * 247,
            b"amq.gen-\xff\xfe\n\0",
            b"amq.gen-" + rng.randbytes(20),
            b"x" * 255,
        ]
    )


def process_id(node: bytes, number: int) -> bytes:
    """An Erlang process id in the external term format, as the name of a direct callback queue holds it."""
    return b"\x83Xw" + _short(node) + struct.pack("!III", number, 0, 1)


def direct(process: bytes, key: bytes = b"TJMKjuuD7J/OiwapwBATLQ==") -> bytes:
    """The name of a direct callback queue (amq.rabbitmq.reply-to) as the broker makes it, but of anything."""
    return b"amq.rabbitmq.reply-to." + base64.b64encode(process) + b"." + key


def _a_made_up_direct_reply_to(rng: random.Random, properties: Properties) -> None:
    suffix = rng.choice([b".", b"..", b".garbage", b".\xff\xff", b".a.b.c", b".AAAA.key", b".\xff.\xff", b".%%%.==="])
    properties["reply_to"] = rng.choice(
        [
            b"amq.rabbitmq.reply-to" + suffix,
            direct(b"\x83a\x05"),
            direct(process_id(b"reply@%d" % rng.randrange(5), rng.getrandbits(32))),
            direct(process_id(b"rabbit@nowhere", 1)),
            direct(process_id(b"reply@1", 1) + b"more"),
            direct(process_id(b"reply@1", 1), b"\xff\xfe"),
        ]
    )


def _an_odd_expiration(rng: random.Random, properties: Properties) -> None:
    properties["expiration"] = rng.choice([b"0", b"1", b"10", b"0000000000000000001000", b"+5", b"4294967295"])


def _said_to_be_sent_again(_: random.Random, properties: Properties) -> None:
    properties["message_id"] = b"again"


def _an_odd_message_id(rng: random.Random, properties: Properties) -> None:
    properties["message_id"] = rng.choice([b"", b"AGAIN", b"again\0", b"\xff" * 255])


def _said_to_be_a_map(rng: random.Random, properties: Properties) -> None:
    properties["type"] = rng.choice([b"rpc.map", b"rpc.map", b"rpc.cancel", b"", b"\xff" * 255])


_ODDITIES: list[Callable[[random.Random, Properties], None]] = [
    _hostile_headers,
    _every_property,
    _a_timestamp_beyond_time,
    _no_correlation_id,
    _an_odd_correlation_id,
    _no_reply_to,
    _a_reply_to_elsewhere,
    _a_made_up_direct_reply_to,
    _an_odd_expiration,
    _said_to_be_sent_again,
    _an_odd_message_id,
    _said_to_be_a_map,
]

_WELL = request()
REFUSED = [
    Hostile("an expiration that is no number", _WELL, {"expiration": b"soon"}),
    Hostile("an expiration below zero", _WELL, {"expiration": b"-1"}),
    Hostile("an expiration of 20 digits", _WELL, {"expiration": b"9" * 20}),
    Hostile("an expiration of digits that are not ASCII", _WELL, {"expiration": "٣".encode()}),
    Hostile("somebody else's user id", _WELL, {"user_id": b"somebody"}),
    Hostile("a header that is cut short", _WELL, {"headers": b"\x01xS\0\0\1\0abc"}),
    Hostile("a header of a type that does not exist", _WELL, {"headers": b"\x01x?\0"}),
    Hostile("a header that is not a number", _WELL, {"headers": b"\x01xd\x7f\xf8\0\0\0\0\0\0"}),
]
"""What the broker refuses by itself, and so never comes to a server."""

REFUSED_BEFORE_4 = Hostile("a delivery mode that does not exist", _WELL, {"delivery_mode": 3})
"""What it refused before RabbitMQ 4, and carries since."""


def first(count: int, seed: int, callback_queue: str = NOBODY) -> list[Hostile]:
    """So many of them."""
    return list(islice(messages(seed, callback_queue), count))
