"""The three hot shapes of AMQP 0-9-1, built and parsed directly: Basic.Publish and Basic.Ack out, Basic.Deliver in.

Everything else on the connection stays pika's, byte for byte. This module is pure: bytes in, bytes and `Delivery`s out.
A property test holds it against pika's own codec.

Frames (section 2.3.5 of the specification): type (1 byte), channel (2), payload size (4), payload, 0xCE. A message is
a method frame, a content header frame and as many body frames as its body needs, with no other frame of its channel
between them; frames of other channels may come between.

A delivery's properties are read up to the ones that RPC uses. The header table is stepped over as bytes: decoding it
would let a publisher's hostile table (a timestamp of the year 146 million, say) take the consumer's connection down.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import TypeAlias

from .messages import Delivery

_FRAME = struct.Struct("!BHI")
_METHOD = struct.Struct("!HH")
_CONTENT = struct.Struct("!HHQH")
_FRAME_AND_CONTENT = struct.Struct("!BHIHHQH")
_ACK = struct.Struct("!BHIHHQBB")
_DELIVERY_TAG = struct.Struct("!QB")
_LONG = struct.Struct("!I")
_SHORT = struct.Struct("!H")

_METHOD_FRAME, _HEADER_FRAME, _BODY_FRAME = 1, 2, 3
_END = b"\xce"
_END_BYTE = 0xCE
_OVERHEAD = _FRAME.size + 1
_BASIC = 60
_PUBLISH, _DELIVER, _ACK_METHOD = 40, 60, 80
_DELIVER_METHOD = _METHOD.pack(_BASIC, _DELIVER)

# Property flags of the content header (section 4.2.6.1): the first property is the highest bit.
_CONTENT_TYPE, _CONTENT_ENCODING, _HEADERS, _DELIVERY_MODE, _PRIORITY = 1 << 15, 1 << 14, 1 << 13, 1 << 12, 1 << 11
_CORRELATION_ID, _REPLY_TO, _EXPIRATION, _MESSAGE_ID, _TIMESTAMP, _TYPE = (
    1 << 10,
    1 << 9,
    1 << 8,
    1 << 7,
    1 << 6,
    1 << 5,
)
_MORE_FLAGS = 1

_REMEMBERED_KEYS = 1000
"""A server answers to as many callback queues as it has clients; their method frames are kept up to this many."""
_VIEW_FROM = 4096
"""Bytes of a body's piece from which a view costs less than a copy."""
_TEXT = "surrogateescape"
"""How bytes that are not UTF-8 pass through a property: a correlation_id goes back as it came."""


_Step: TypeAlias = Callable[[bytes, int, Delivery], int]
_PLANS: dict[int, tuple[_Step, ...]] = {}
_REMEMBERED_PLANS = 256


class MalformedFrame(Exception):
    """The peer sent bytes that are no frames of AMQP 0-9-1."""


# ---- out --------------------------------------------------------------------------------------------------------


class Publisher:
    """Makes the frames of messages for one channel.

    Args:
        channel: the channel's number.
        frame_max: the negotiated largest frame in bytes; 0 means no limit.
        content_type: of every message.
    """

    def __init__(self, channel: int, frame_max: int, content_type: str) -> None:
        self._channel = channel
        self._most = frame_max - _OVERHEAD if frame_max else 2**32 - 1
        self._content_type = short_string(content_type)
        self._methods: dict[tuple[str, bool], bytes] = {}

    def publish(
        self,
        routing_key: str,
        body: bytes,
        *,
        mandatory: bool = False,
        correlation_id: str | None = None,
        reply_to: str | None = None,
        expiration: str | None = None,
        message_id: str | None = None,
        type: str | None = None,  # noqa: A002 the property's name in AMQP
    ) -> list[bytes]:
        """The frames of one message to the default exchange, in pieces that may be joined."""
        flags = _CONTENT_TYPE
        properties = self._content_type
        if correlation_id is not None:
            flags |= _CORRELATION_ID
            properties += short_string(correlation_id)
        if reply_to is not None:
            flags |= _REPLY_TO
            properties += short_string(reply_to)
        if expiration is not None:
            flags |= _EXPIRATION
            properties += short_string(expiration)
        if message_id is not None:
            flags |= _MESSAGE_ID
            properties += short_string(message_id)
        if type is not None:
            flags |= _TYPE
            properties += short_string(type)
        size = len(body)
        pieces = [
            self._methods.get((routing_key, mandatory)) or self._method(routing_key, mandatory),
            _FRAME_AND_CONTENT.pack(
                _HEADER_FRAME, self._channel, _CONTENT.size + len(properties), _BASIC, 0, size, flags
            ),
            properties,
            _END,
        ]
        if 0 < size <= self._most:
            pieces += (_FRAME.pack(_BODY_FRAME, self._channel, size), body, _END)
        elif size:
            view = memoryview(body)
            for start in range(0, size, self._most):
                part = view[start : start + self._most]
                pieces += (_FRAME.pack(_BODY_FRAME, self._channel, len(part)), part, _END)  # type: ignore[arg-type]
        return pieces

    def _method(self, routing_key: str, mandatory: bool) -> bytes:
        payload = b"".join(
            (_METHOD.pack(_BASIC, _PUBLISH), b"\0\0", short_string(""), short_string(routing_key), bytes([mandatory]))
        )
        method = _FRAME.pack(_METHOD_FRAME, self._channel, len(payload)) + payload + _END
        if len(self._methods) > _REMEMBERED_KEYS:
            self._methods.clear()
        self._methods[routing_key, mandatory] = method
        return method


def ack(channel: int, delivery_tag: int) -> bytes:
    """The frame that acknowledges one delivery."""
    return _ACK.pack(_METHOD_FRAME, channel, 13, _BASIC, _ACK_METHOD, delivery_tag, 0, _END_BYTE)


def short_string(text: str) -> bytes:
    """A short string: its length in one byte, then UTF-8.

    Raises:
        ValueError: it takes more than 255 bytes.
    """
    data = text.encode("utf-8", _TEXT)
    if len(data) > 255:
        raise ValueError(f"a short string of AMQP holds 255 bytes, not {len(data)}: {text[:40]!r}…")
    return bytes((len(data),)) + data


# ---- in ---------------------------------------------------------------------------------------------------------


class _Arriving:
    """A delivery whose content is not all here yet."""

    __slots__ = ("consumer_tag", "delivery", "missing", "parts")

    def __init__(self, consumer_tag: bytes, delivery: Delivery) -> None:
        self.consumer_tag = consumer_tag
        self.delivery = delivery
        self.parts: list[bytes | memoryview] | None = None  # None until the content header came
        self.missing = 0


class FrameParser:
    """Cuts the incoming stream, split anywhere, into frames: deliveries are assembled here, the rest is handed on.

    A large body is copied once: its pieces stay views of what was received until it is complete.

    Args:
        frame: called with each complete frame that is not part of a delivery, as it came.
        deliver: called with the channel's number, the consumer tag and the delivery, when its body is complete.
    """

    def __init__(self, frame: Callable[[bytes], None], deliver: Callable[[int, bytes, Delivery], None]) -> None:
        self._frame = frame
        self._deliver = deliver
        self._arriving: dict[int, _Arriving] = {}
        # A frame that is not all here: its beginning, and how many bytes more must come before it is looked at again.
        self._pieces: list[bytes] = []
        self._wanted = 0
        # A body frame that is not all here: its channel, and what is left of its payload and its end byte.
        self._body_channel = 0
        self._body_left = 0

    def feed(self, data: bytes) -> None:
        """Take bytes of the stream.

        Raises:
            MalformedFrame: they are no frames.
        """
        position = 0
        if self._wanted:
            # The rest of a frame: joined once, when it is all here, however many pieces it comes in.
            self._pieces.append(data)
            self._wanted -= len(data)
            if self._wanted > 0:
                return
            data = b"".join(self._pieces)
            self._pieces.clear()
            self._wanted = 0
        elif self._body_left:
            position = self._go_on_with_body(data)
        size = len(data)
        while size - position >= _OVERHEAD:
            kind, channel, length = _FRAME.unpack_from(data, position)
            end = position + _FRAME.size + length
            if end >= size:
                break
            if data[end] != _END_BYTE:
                raise MalformedFrame("a frame does not end with 0xCE")
            try:
                self._take(kind, channel, data, position, end)
            except (IndexError, struct.error) as error:
                raise MalformedFrame(f"a frame is cut short: {error}") from error
            position = end + 1
        if position < size:
            self._keep(data, position)

    def _keep(self, data: bytes, position: int) -> None:
        """The beginning of a frame, whose rest is still to come."""
        here = len(data) - position
        if here < _FRAME.size:
            self._pieces.append(data[position:])
            self._wanted = _FRAME.size - here
            return
        kind, channel, length = _FRAME.unpack_from(data, position)
        arriving = self._arriving.get(channel) if kind == _BODY_FRAME else None
        if arriving is None or arriving.parts is None or length < _VIEW_FROM:
            self._pieces.append(data[position:])
            self._wanted = max(1, length + _OVERHEAD - here)
            return
        arriving.missing -= length
        arriving.parts.append(memoryview(data)[position + _FRAME.size : position + _FRAME.size + length])
        self._body_channel = channel
        self._body_left = length + _OVERHEAD - here

    def _go_on_with_body(self, data: bytes) -> int:
        """The rest of a body frame, or a part of it; where the next frame begins."""
        arriving = self._arriving[self._body_channel]
        assert arriving.parts is not None
        left = self._body_left
        if left > 1:
            arriving.parts.append(memoryview(data)[: left - 1])
        self._body_left = max(0, left - len(data))
        if self._body_left:
            return len(data)
        if data[left - 1] != _END_BYTE:
            raise MalformedFrame("a frame does not end with 0xCE")
        if arriving.missing <= 0:
            self._complete(self._body_channel, arriving)
        return left

    def _take(self, kind: int, channel: int, data: bytes, start: int, end: int) -> None:
        first = start + _FRAME.size
        if kind == _METHOD_FRAME:
            if data[first : first + 4] == _DELIVER_METHOD:
                self._arriving[channel] = _deliver_method(data, first + 4, end)
            else:
                # A channel that was closed in the middle of a delivery begins anew.
                self._arriving.pop(channel, None)
                self._frame(data[start : end + 1])
            return
        arriving = self._arriving.get(channel)
        if arriving is None or kind not in (_HEADER_FRAME, _BODY_FRAME):
            self._frame(data[start : end + 1])
            return
        if kind == _HEADER_FRAME:
            if arriving.parts is not None:
                raise MalformedFrame("a second content header for one delivery")
            arriving.missing = _content_header(data, first, end, arriving.delivery)
            arriving.parts = []
        else:
            if arriving.parts is None:
                raise MalformedFrame("a body without a content header")
            arriving.parts.append(memoryview(data)[first:end] if end - first >= _VIEW_FROM else data[first:end])
            arriving.missing -= end - first
        if arriving.missing <= 0:
            self._complete(channel, arriving)

    def _complete(self, channel: int, arriving: _Arriving) -> None:
        parts = arriving.parts
        assert parts is not None
        if arriving.missing < 0:
            raise MalformedFrame("a body is longer than its content header says")
        del self._arriving[channel]
        delivery = arriving.delivery
        delivery.body = parts[0] if len(parts) == 1 and type(parts[0]) is bytes else b"".join(parts)
        self._deliver(channel, arriving.consumer_tag, delivery)


def _deliver_method(data: bytes, position: int, end: int) -> _Arriving:
    """Read the arguments of Basic.Deliver (section 1.8.3.14)."""
    after_tag = position + 1 + data[position]
    consumer_tag = data[position + 1 : after_tag]
    if after_tag + _DELIVERY_TAG.size > end:
        raise MalformedFrame("Basic.Deliver is cut short")
    delivery_tag, redelivered = _DELIVERY_TAG.unpack_from(data, after_tag)
    # What follows, exchange and routing key, a server that consumes one queue knows.
    return _Arriving(consumer_tag, Delivery(delivery_tag, bool(redelivered & 1), b"", None, None, None, None))


def _content_header(data: bytes, position: int, end: int, delivery: Delivery) -> int:
    """Read the properties into the delivery; the size of the body in bytes."""
    if position + _CONTENT.size > end:
        raise MalformedFrame("a content header is cut short")
    _, _, size, flags = _CONTENT.unpack_from(data, position)
    position += _CONTENT.size
    more = flags
    while more & _MORE_FLAGS:
        (more,) = _SHORT.unpack_from(data, position)
        position += _SHORT.size
    for step in _PLANS.get(flags) or _plan(flags):
        position = step(data, position, delivery)
    if position > end:
        raise MalformedFrame("a property runs over the end of its content header")
    return int(size)


def _plan(flags: int) -> tuple[_Step, ...]:
    """The steps for the properties that these flags announce, kept for the next message like it."""
    plan = tuple(step for flag, step in _STEPS if flags & flag)
    if len(_PLANS) < _REMEMBERED_PLANS:
        _PLANS[flags] = plan
    return plan


def _skip_short_string(data: bytes, position: int, _: Delivery) -> int:
    return position + 1 + data[position]


def _skip_table(data: bytes, position: int, _: Delivery) -> int:
    (length,) = _LONG.unpack_from(data, position)
    return position + _LONG.size + int(length)


def _skip_octet(_data: bytes, position: int, _: Delivery) -> int:
    return position + 1


def _skip_timestamp(_data: bytes, position: int, _: Delivery) -> int:
    return position + 8


def _read(name: str) -> _Step:
    def step(data: bytes, position: int, delivery: Delivery) -> int:
        end = position + 1 + data[position]
        setattr(delivery, name, data[position + 1 : end].decode("utf-8", _TEXT))
        return end

    return step


_STEPS: tuple[tuple[int, _Step], ...] = (
    (_CONTENT_TYPE, _skip_short_string),
    (_CONTENT_ENCODING, _skip_short_string),
    (_HEADERS, _skip_table),
    (_DELIVERY_MODE, _skip_octet),
    (_PRIORITY, _skip_octet),
    (_CORRELATION_ID, _read("correlation_id")),
    (_REPLY_TO, _read("reply_to")),
    (_EXPIRATION, _read("expiration")),
    (_MESSAGE_ID, _read("message_id")),
    (_TIMESTAMP, _skip_timestamp),
    (_TYPE, _read("type")),
)
"""The properties in their order, each with how to step over or read it; those after `type` are not looked at."""
