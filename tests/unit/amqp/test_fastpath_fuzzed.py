"""The frame parser fed with what no broker sends: its own error or nothing, and no difference where it is cut."""

from __future__ import annotations

import struct
from itertools import combinations
from typing import Any

from hypothesis import HealthCheck, example, given
from hypothesis import strategies as st
from support.examples import examples

from rpcsvc.amqp.fastpath import FrameParser, MalformedFrame

BOUNDED = examples(120, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
DELIVER = struct.pack("!HH", 60, 60) + b"\x01t" + struct.pack("!QB", 7, 0) + b"\0\x01q"
# The properties in the order of their flags; for each, bytes that are right, and what the parser reads of them.
PROPERTIES: list[tuple[str, bytes]] = [
    ("content_type", b"\x02ct"),
    ("content_encoding", b"\xff" + b"\xfe" * 255),
    ("headers", b"\0\0\0\x0b\x01xT" + struct.pack("!Q", 2**62)),
    ("delivery_mode", b"\x02"),
    ("priority", b"\xff"),
    ("correlation_id", b"\x05c\xff\xfe\0d"),
    ("reply_to", b"\0"),
    ("expiration", b"\x04soon"),
    ("message_id", b"\x05again"),
    ("timestamp", b"\xff" * 8),
    ("type", b"\x07rpc.map"),
    ("user_id", b"\x01u"),
    ("app_id", b"\xff" + b"a" * 255),
    ("cluster_id", b"\0"),
]
READ = ("correlation_id", "reply_to", "expiration", "message_id", "type")


def frame(kind: int, payload: bytes, channel: int = 1) -> bytes:
    return struct.pack("!BHI", kind, channel, len(payload)) + payload + b"\xce"


def header(flags: int, properties: bytes, size: int) -> bytes:
    return frame(2, struct.pack("!HHQH", 60, 0, size, flags) + properties)


def delivery(body: bytes, flags: int = 0, properties: bytes = b"") -> bytes:
    """The frames of one delivery, the body in pieces of 5,000 bytes."""
    pieces = [frame(3, body[at : at + 5000]) for at in range(0, len(body), 5000)]
    return frame(1, DELIVER) + header(flags, properties, len(body)) + b"".join(pieces)


def parse(*pieces: bytes) -> tuple[list[Any], bool]:
    """What came out, and whether it ended as malformed. Any other exception is a fault."""
    items: list[Any] = []
    parser = FrameParser(items.append, lambda *delivered: items.append(delivered))
    try:
        for piece in pieces:
            parser.feed(piece)
    except MalformedFrame:
        return items, True
    assert held_by(parser) <= sum(map(len, pieces)), "it holds no more than it was given"
    return items, False


def held_by(parser: FrameParser) -> int:
    """Bytes in unfinished frames and deliveries."""
    arriving = [part for each in parser._arriving.values() for part in each.parts or ()]
    return sum(map(len, parser._pieces)) + sum(map(len, arriving))


def test_each_set_of_properties_is_read_right() -> None:
    for count in range(len(PROPERTIES) + 1):
        for chosen in combinations(range(len(PROPERTIES)), count):
            flags = sum(1 << (15 - place) for place in chosen)
            properties = b"".join(PROPERTIES[place][1] for place in chosen)
            ((_, _, found),), malformed = parse(delivery(b"30", flags, properties))
            assert not malformed
            expected = {
                PROPERTIES[place][0]: PROPERTIES[place][1][1:].decode("utf-8", "surrogateescape") for place in chosen
            }
            assert {name: getattr(found, name) for name in READ} == {name: expected.get(name) for name in READ}
            assert found.body == b"30"


def _entry(value: bytes) -> bytes:
    return b"\x01x" + value


tables = st.recursive(
    st.sampled_from(
        [
            _entry(b"T" + struct.pack("!Q", 2**62)),
            _entry(b"?"),
            _entry(b"S" + struct.pack("!I", 2**32 - 1)),
            _entry(b"S" + struct.pack("!I", 9) + b"cut"),
            _entry(b"F" + struct.pack("!I", 2**31)),
            _entry(b"D\xff" + b"\xff" * 4),
            b"\xff",
            b"",
        ]
    )
    | st.binary(max_size=30),
    lambda inner: st.lists(inner, max_size=3).map(
        lambda entries: _entry(b"F" + struct.pack("!I", sum(map(len, entries))) + b"".join(entries))
    ),
    max_leaves=5,
)


@BOUNDED
@given(tables)
@example(_entry(b"A" * 60_000))
def test_any_header_table_is_stepped_over_unread(table: bytes) -> None:
    properties = struct.pack("!I", len(table)) + table + b"\x02id"
    ((_, _, found),), malformed = parse(delivery(b"30", (1 << 13) | (1 << 10), properties))
    assert not malformed
    assert (found.correlation_id, found.body) == ("id", b"30")


@BOUNDED
@given(st.integers(0, 2**16 - 1), st.binary(max_size=60), st.integers(0, 2**64 - 1))
@example(1 << 13, struct.pack("!I", 2**32 - 1), 0)
@example(1 << 13, struct.pack("!I", 2**32 - 1), 2**64 - 1)
@example(1, b"\0\x01" * 30, 0)
def test_any_content_header_is_read_or_malformed(flags: int, properties: bytes, size: int) -> None:
    stream = frame(1, DELIVER) + header(flags, properties, size) + frame(1, b"\0\x14\0\x29") + frame(8, b"", 0)
    assert parse(stream) == parse(*(stream[at : at + 1] for at in range(len(stream))))


streams = st.lists(
    st.sampled_from(
        [
            delivery(b""),
            delivery(b"30", 1 << 10, b"\x02id"),
            delivery(bytes(12_000)),
            delivery(bytes(4_990), 1 << 13, b"\0\0\0\x01x"),
            frame(8, b"", 0),
            frame(1, b"\0\x14\0\x29", 2),
            frame(1, DELIVER),
            frame(3, b"a body of nobody"),
            header(0, b"", 3),
            header(0, b"", 2**63),
            frame(3, bytes(5000)),
        ]
    )
    | st.binary(max_size=20),
    max_size=5,
).map(b"".join)
damages = st.lists(st.tuples(st.integers(0, 30_000), st.integers(0, 255)), max_size=3)
cuts = st.lists(st.integers(0, 30_000), max_size=8)


@examples(120, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(streams, damages, cuts)
def test_a_damaged_stream_comes_to_the_same_wherever_it_is_cut(
    stream: bytes, damage: list[tuple[int, int]], places: list[int]
) -> None:
    damaged = bytearray(stream)
    for place, byte in damage:
        if place < len(damaged):
            damaged[place] = byte
    stream = bytes(damaged)
    ends = [*sorted(place for place in places if place < len(stream)), len(stream)]

    pieces = [stream[start:end] for start, end in zip([0, *ends], ends, strict=False)]

    assert parse(*pieces) == parse(stream)
