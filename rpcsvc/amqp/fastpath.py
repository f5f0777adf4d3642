"""The hot shapes of AMQP 0-9-1, built and parsed directly: Basic.Publish and Basic.Ack out; Basic.Deliver, Basic.GetOk,
which brings a message too, and the confirms Basic.Ack and Basic.Nack in.

Everything else on the connection stays pika's, byte for byte. This module is pure: bytes in, bytes and `Delivery`s out.
A property test holds it against pika's own codec.

Frames (section 2.3.5 of the specification): type (1 byte), channel (2), payload size (4), payload, 0xCE. A message is
a method frame, a content header frame and as many body frames as its body needs, with no other frame of its channel
between them; frames of other channels may come between.

A delivery's properties are read as far as calls need them; the others, and where the message was published to, stay
bytes until somebody asks the delivery for them (`properties`).
"""

from __future__ import annotations

import copy
import struct
from collections.abc import Callable

from ..errors import RpcError
from .messages import Delivery
from .properties import (
    CONTENT_TYPE,
    CORRELATION_ID,
    EXPIRATION,
    MESSAGE_ID,
    REPLY_TO,
    TYPE,
    MalformedFrame,
    Properties,
    read_content_header,
    short_string,
)

_FRAME = struct.Struct("!BHI")
_METHOD = struct.Struct("!HH")
_CONTENT = struct.Struct("!HHQH")
_FRAME_AND_CONTENT = struct.Struct("!BHIHHQH")
_ACK = struct.Struct("!BHIHHQBB")
_DELIVERY_TAG = struct.Struct("!QB")

_METHOD_FRAME, _HEADER_FRAME, _BODY_FRAME = 1, 2, 3
_END = b"\xce"
_END_BYTE = 0xCE
_OVERHEAD = _FRAME.size + 1
_BASIC = 60
_PUBLISH, _DELIVER, _ACK_METHOD, _NACK_METHOD = 40, 60, 80, 120
_DELIVER_METHOD = _METHOD.pack(_BASIC, _DELIVER)
_GET_OK_METHOD = _METHOD.pack(_BASIC, 71)
_CONFIRMS = {_METHOD.pack(_BASIC, _ACK_METHOD): False, _METHOD.pack(_BASIC, _NACK_METHOD): True}
"""Basic.Ack and Basic.Nack as a broker sends them, and whether they refuse."""
_PUBLISH_METHOD = _METHOD.pack(_BASIC, _PUBLISH) + b"\0\0"

_REMEMBERED_ROUTES = 1000
"""A server answers to as many callback queues as it has clients; their method frames are kept up to this many."""
_VIEW_FROM = 4096
"""Bytes of a body's piece from which a view costs less than a copy."""


# ---- out --------------------------------------------------------------------------------------------------------


class Publisher:
    """Publishes messages on one channel.

    Args:
        channel: the channel's number.
        frame_max: the negotiated largest frame in bytes; 0 means no limit.
        content_type: of messages that do not say another.
        write: called with the frames of a message, in pieces that may be joined.

    Attributes:
        ended: why the channel has ended; None while it is open.
    """

    def __init__(self, channel: int, frame_max: int, content_type: str, write: Callable[[list[bytes]], object]) -> None:
        self._channel = channel
        self._most = frame_max - _OVERHEAD if frame_max else 2**32 - 1
        self._content_type = short_string(content_type)
        self._methods: dict[tuple[str, str, bool], bytes] = {}
        self._write = write
        self._properties: Properties | None = None  # of the last message that had any
        self._encoded = (0, b"", b"")
        self.ended: RpcError | None = None

    def publish(
        self,
        routing_key: str,
        body: bytes,
        *,
        exchange: str = "",
        mandatory: bool = False,
        correlation_id: str | None = None,
        reply_to: str | None = None,
        expiration: str | None = None,
        message_id: str | None = None,
        type: str | None = None,  # noqa: A002 the property's name in AMQP
        properties: Properties | None = None,
    ) -> None:
        """Publish a message; nothing is waited for.

        Args:
            routing_key, body: on the default exchange the routing key is the name of a queue.
            exchange: "" is the default one. If there is none of that name, or it is forbidden, the channel is closed.
            mandatory: whether it comes back (`Channel.on_return`) if no queue takes it; else it is dropped then.
            correlation_id, reply_to, expiration, message_id, type: the properties of those names; None sets none.
            properties: the others. Without any the message is transient.

        Raises:
            ConnectionLost: the channel has ended.
            ValueError: a name or property is too long, or cannot be sent.
        """
        if self.ended is not None:
            raise copy.copy(self.ended)
        if properties is None:
            flags, content, timestamp = CONTENT_TYPE, self._content_type, b""
        else:
            flags, content, timestamp = self._encode(properties)
        if correlation_id is not None:
            flags |= CORRELATION_ID
            content += short_string(correlation_id)
        if reply_to is not None:
            flags |= REPLY_TO
            content += short_string(reply_to)
        if expiration is not None:
            flags |= EXPIRATION
            content += short_string(expiration)
        if message_id is not None:
            flags |= MESSAGE_ID
            content += short_string(message_id)
        content += timestamp
        if type is not None:
            flags |= TYPE
            content += short_string(type)
        size = len(body)
        pieces = [
            self._methods.get(route := (exchange, routing_key, mandatory)) or self._method(route),
            _FRAME_AND_CONTENT.pack(_HEADER_FRAME, self._channel, _CONTENT.size + len(content), _BASIC, 0, size, flags),
            content + _END,
        ]
        if 0 < size <= self._most:
            pieces += (_FRAME.pack(_BODY_FRAME, self._channel, size), body, _END)
        elif size:
            self._add_parts(pieces, memoryview(body))
        self._write(pieces)

    def _encode(self, properties: Properties) -> tuple[int, bytes, bytes]:
        if properties is not self._properties:  # those of many messages in a row are the same, and encoded once
            self._properties, self._encoded = properties, properties.encoded(self._content_type, self._most)
        return self._encoded

    def _add_parts(self, pieces: list[bytes], body: memoryview) -> None:
        for start in range(0, len(body), self._most):
            part = body[start : start + self._most]
            pieces += (_FRAME.pack(_BODY_FRAME, self._channel, len(part)), part, _END)  # type: ignore[arg-type]

    def _method(self, route: tuple[str, str, bool]) -> bytes:
        exchange, routing_key, mandatory = route
        payload = b"".join((_PUBLISH_METHOD, short_string(exchange), short_string(routing_key), bytes((mandatory,))))
        method = _FRAME.pack(_METHOD_FRAME, self._channel, len(payload)) + payload + _END
        if len(self._methods) >= _REMEMBERED_ROUTES:
            del self._methods[next(iter(self._methods))]  # the oldest
        self._methods[route] = method
        return method


def ack(channel: int, delivery_tag: int, *, multiple: bool = False) -> bytes:
    """The frame that acknowledges one delivery, or with `multiple` all up to it."""
    return _ACK.pack(_METHOD_FRAME, channel, 13, _BASIC, _ACK_METHOD, delivery_tag, multiple, _END_BYTE)


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
        frame: called with each complete frame that is not part of a delivery, nor taken by `confirm`, as it came.
        deliver: called with the channel's number, the consumer tag and the delivery, when its body is complete; what
            was asked for (basic.get) has an empty tag.
        confirm: called with the channel's number, whether it refuses, the delivery tag, and whether all up to it are
            meant, for each confirm; it returns whether that channel is in confirm mode.
    """

    def __init__(
        self,
        frame: Callable[[bytes], None],
        deliver: Callable[[int, bytes, Delivery], None],
        confirm: Callable[[int, bool, int, bool], bool] = lambda *_: False,
    ) -> None:
        self._frame = frame
        self._deliver = deliver
        self._confirm = confirm
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
            elif not self._takes_method(channel, data, first, end):
                self._frame(data[start : end + 1])
            return
        arriving = self._arriving.get(channel)
        if arriving is None or kind not in (_HEADER_FRAME, _BODY_FRAME):
            self._frame(data[start : end + 1])
            return
        if kind == _HEADER_FRAME:
            if arriving.parts is not None:
                raise MalformedFrame("a second content header for one delivery")
            arriving.missing = read_content_header(data, first, end, arriving.delivery)
            arriving.parts = []
        else:
            if arriving.parts is None:
                raise MalformedFrame("a body without a content header")
            arriving.parts.append(memoryview(data)[first:end] if end - first >= _VIEW_FROM else data[first:end])
            arriving.missing -= end - first
        if arriving.missing <= 0:
            self._complete(channel, arriving)

    def _takes_method(self, channel: int, data: bytes, first: int, end: int) -> bool:
        """Take a method other than Basic.Deliver; false if it is for pika."""
        # A channel that was closed in the middle of a delivery begins anew.
        self._arriving.pop(channel, None)
        method = data[first : first + 4]
        refuses = _CONFIRMS.get(method)
        if refuses is not None:
            tag, bits = _DELIVERY_TAG.unpack_from(data, first + 4)
            return self._confirm(channel, refuses, tag, bool(bits & 1))
        if method == _GET_OK_METHOD:
            self._arriving[channel] = _Arriving(b"", _delivery(data, first + 4, end))
            return True
        return False

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
    return _Arriving(consumer_tag, _delivery(data, after_tag, end))


def _delivery(data: bytes, position: int, end: int) -> Delivery:
    """Read what Basic.Deliver and Basic.GetOk (section 1.8.3.11) have in common; a count may come behind it."""
    if position + _DELIVERY_TAG.size > end:
        raise MalformedFrame("a delivery is cut short")
    delivery_tag, redelivered = _DELIVERY_TAG.unpack_from(data, position)
    delivery = Delivery(delivery_tag, bool(redelivered & 1), b"", None, None, None, None)
    delivery.route_bytes = data[position + _DELIVERY_TAG.size : end]
    return delivery
