"""The properties of a message: what calls say of themselves, and what a message may say besides.

A content header (AMQP 0-9-1, section 4.2.6.1) has sixteen flags, the first property being the highest bit, and then the
properties that they announce, in that order. The five that calls need are read as a delivery comes, and written by
`fastpath`. The others are written where somebody sets them, and read, from the bytes as they came, when somebody asks
for them: a header table costs more to decode than a call to send, and a hostile one (a timestamp of the year 146
million, say) must not take down a consumer that does not look at it.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import pika.data
import pika.exceptions

from ..errors import DecodingError

CONTENT_TYPE, CONTENT_ENCODING, HEADERS, DELIVERY_MODE, PRIORITY = 1 << 15, 1 << 14, 1 << 13, 1 << 12, 1 << 11
CORRELATION_ID, REPLY_TO, EXPIRATION, MESSAGE_ID, TIMESTAMP, TYPE = 1 << 10, 1 << 9, 1 << 8, 1 << 7, 1 << 6, 1 << 5
_MORE_FLAGS = 1
PERSISTENT = 2
"""The delivery mode of a message that a durable queue keeps when its broker restarts; 1 is the other."""

TEXT = "surrogateescape"
"""How bytes that are not UTF-8 pass through a property: a correlation_id goes back as it came."""
_OTHERS = 2048
"""Bytes that the properties of calls take at most, with what frames a content header."""
_SHORT, _LONG, _LONG_LONG = struct.Struct("!H"), struct.Struct("!I"), struct.Struct("!Q")
_CONTENT = struct.Struct("!HHQH")
_FLAGS_AT = _CONTENT.size - _SHORT.size


def short_string(text: str) -> bytes:
    """A short string: its length in one byte, then UTF-8.

    Raises:
        ValueError: it takes more than 255 bytes.
    """
    data = text.encode("utf-8", TEXT)
    if len(data) > 255:
        raise ValueError(f"a short string of AMQP holds 255 bytes, not {len(data)}: {text[:40]!r}…")
    return bytes((len(data),)) + data


# ---- out --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Properties:
    """What a message says of itself beyond what calls say. Made once, it does for any number of messages.

    Attributes:
        headers: a table; text, bytes, whole numbers, bools, None, lists and tables of these.
        persistent: whether a durable queue keeps the message when its broker restarts.
        priority: 0 to 255, where the queue knows priorities; None sets none.
        content_type: None has the channel's.
        timestamp: seconds since 1970; None sets none.
    """

    headers: Mapping[str, Any] | None = None
    persistent: bool = False
    priority: int | None = None
    content_type: str | None = None
    timestamp: int | None = None

    def encoded(self, content_type: bytes, most: int = 2**32 - 1) -> tuple[int, bytes, bytes]:
        """As they are sent: their flags, what comes before the correlation_id, and the timestamp.

        Args:
            content_type: the channel's, encoded.
            most: bytes that fit into a frame, as all properties of a message must (section 4.2.6.1).

        Raises:
            ValueError: one of them cannot be sent, or they are too long.
        """
        flags = CONTENT_TYPE
        pieces = [content_type if self.content_type is None else short_string(self.content_type)]
        timestamp = b""
        try:
            if self.headers is not None:
                flags |= HEADERS
                pika.data.encode_table(pieces, dict(self.headers))
            if self.persistent:
                flags |= DELIVERY_MODE
                pieces.append(bytes((PERSISTENT,)))
            if self.priority is not None:
                flags |= PRIORITY
                pieces.append(bytes((self.priority,)))
            if self.timestamp is not None:
                flags |= TIMESTAMP
                timestamp = _LONG_LONG.pack(self.timestamp)
        except (pika.exceptions.AMQPError, ValueError, struct.error) as error:
            raise ValueError(f"a property of the message cannot be sent: {error!r}") from None
        encoded = b"".join(pieces)
        if len(encoded) > most - _OTHERS:
            raise ValueError(f"the headers take {len(encoded)} bytes, more than fit into a frame of {most}")
        return flags, encoded, timestamp


# ---- in ---------------------------------------------------------------------------------------------------------


class MalformedFrame(Exception):
    """The peer sent bytes that are no frames of AMQP 0-9-1."""


def read_content_header(data: bytes, position: int, end: int, delivery: Any) -> int:
    """Read the payload of a content header frame into a `Delivery`; the size of its body in bytes."""
    if position + _CONTENT.size > end:
        raise MalformedFrame("a content header is cut short")
    _, _, size, flags = _CONTENT.unpack_from(data, position)
    delivery.content_bytes = data[position + _FLAGS_AT : end]
    position += _CONTENT.size
    if flags & _MORE_FLAGS:
        position = _first_property(data, position, flags)
    for step in _PLANS.get(flags) or _plan(flags):
        position = step(data, position, delivery)
    if position > end:
        raise MalformedFrame("a property runs over the end of its content header")
    return int(size)


def read(content: bytes) -> dict[int, Any]:
    """The properties up to `type`, by their flags, from the `content_bytes` of a `Delivery`; the headers as bytes."""
    (flags,) = _SHORT.unpack_from(content, 0)
    position = _first_property(content, _SHORT.size, flags)
    found = {}
    for flag, kind, _ in _PROPERTIES:
        if flags & flag:
            found[flag], position = kind(content, position)
    return found


def table(encoded: bytes) -> dict[str, Any]:
    """A header table, decoded: text, bytes where they are not UTF-8, numbers (whole ones only), times, lists, tables.

    Raises:
        DecodingError: it is none.
    """
    try:
        decoded, end = pika.data.decode_table(encoded, 0)
        if end != len(encoded):
            raise ValueError("a value runs over the end")
        return {name: _plain(value) for name, value in decoded.items()}
    except Exception as error:  # whatever a publisher has made up
        raise DecodingError(f"the headers of the message cannot be read: {type(error).__name__}: {error}") from None


def _plain(value: Any) -> Any:
    """A value of a header table, with whole numbers as Python's own: pika has a type of its own for some."""
    if isinstance(value, int) and type(value) is not bool:
        return int(value)
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, list) else value


def _first_property(data: bytes, position: int, flags: int) -> int:
    """Where the properties begin: further flags may come before them."""
    while flags & _MORE_FLAGS:
        (flags,) = _SHORT.unpack_from(data, position)
        position += _SHORT.size
    return position


def _text(data: bytes, position: int) -> tuple[str, int]:
    end = position + 1 + data[position]
    return data[position + 1 : end].decode("utf-8", TEXT), end


def _table(data: bytes, position: int) -> tuple[bytes, int]:
    end = position + _LONG.size + int(_LONG.unpack_from(data, position)[0])
    return data[position:end], end


def _octet(data: bytes, position: int) -> tuple[int, int]:
    return data[position], position + 1


def _moment(data: bytes, position: int) -> tuple[int, int]:
    return int(_LONG_LONG.unpack_from(data, position)[0]), position + _LONG_LONG.size


_PROPERTIES: tuple[tuple[int, Callable[[bytes, int], tuple[Any, int]], str | None], ...] = (
    (CONTENT_TYPE, _text, None),
    (CONTENT_ENCODING, _text, None),
    (HEADERS, _table, None),
    (DELIVERY_MODE, _octet, None),
    (PRIORITY, _octet, None),
    (CORRELATION_ID, _text, "correlation_id"),
    (REPLY_TO, _text, "reply_to"),
    (EXPIRATION, _text, "expiration"),
    (MESSAGE_ID, _text, "message_id"),
    (TIMESTAMP, _moment, None),
    (TYPE, _text, "type"),
)
"""The properties in their order: flag, form, and the attribute of a `Delivery` that is set as it comes. What is behind
`type` nobody looks at."""


# ---- as a delivery comes: what a call needs is read, the rest stepped over

_Step: TypeAlias = Callable[[bytes, int, Any], int]
_PLANS: dict[int, tuple[_Step, ...]] = {}
_REMEMBERED_PLANS = 256


def _plan(flags: int) -> tuple[_Step, ...]:
    """The steps for the properties that these flags announce, kept for the next message like it."""
    plan = tuple(_SKIPS[kind] if name is None else _reader(name) for flag, kind, name in _PROPERTIES if flags & flag)
    if len(_PLANS) < _REMEMBERED_PLANS:
        _PLANS[flags] = plan
    return plan


def _reader(name: str) -> _Step:
    def step(data: bytes, position: int, delivery: Any) -> int:
        end = position + 1 + data[position]
        setattr(delivery, name, data[position + 1 : end].decode("utf-8", TEXT))
        return end

    return step


_SKIPS: dict[Any, _Step] = {
    _text: lambda data, position, _: position + 1 + data[position],
    _table: lambda data, position, _: position + _LONG.size + int(_LONG.unpack_from(data, position)[0]),
    _octet: lambda _data, position, _: position + 1,
    _moment: lambda _data, position, _: position + _LONG_LONG.size,
}
