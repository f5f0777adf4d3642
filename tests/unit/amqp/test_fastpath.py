"""The fast path's reader against pika's own codec, the oracle: the same messages, however the stream is split."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

import pika
import pika.frame
import pika.spec
import pytest
from frames import FRAME_MAX, bodies, content_frames, deliver_frame, published, raw_frame, short_text, table
from hypothesis import given
from hypothesis import strategies as st

from rpcsvc.amqp.fastpath import FrameParser
from rpcsvc.amqp.messages import Delivery
from rpcsvc.amqp.properties import MalformedFrame

# ---- in ---------------------------------------------------------------------------------------------------------


@dataclass
class Collected:
    """What came out of a parser, in order."""

    parser: FrameParser
    items: list[Any]


def collecting() -> Collected:
    items: list[Any] = []
    return Collected(FrameParser(items.append, lambda *delivered: items.append(delivered)), items)


any_properties = st.fixed_dictionaries(
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
        "timestamp": st.integers(0, 2**40),
        "type": short_text,
        "user_id": short_text,
        "app_id": short_text,
        "cluster_id": short_text,
    },
)


@st.composite
def messages(draw: st.DrawFn) -> tuple[list[bytes], Any]:
    """A message's frames on a channel to be chosen, and what must come out."""
    channel = draw(st.integers(1, 3))
    properties = draw(any_properties)
    body = draw(bodies)
    if draw(st.booleans()):
        tag, number, redelivered = draw(short_text), draw(st.integers(0, 2**64 - 1)), draw(st.booleans())
        method = pika.spec.Basic.Deliver(tag, number, redelivered, draw(short_text), draw(short_text))
        names = ("correlation_id", "reply_to", "expiration", "type", "message_id")
        delivery = Delivery(number, redelivered, body, *(properties.get(name) for name in names))
        return content_frames(channel, method, pika.BasicProperties(**properties), body), (
            channel,
            tag.encode(),
            delivery,
        )
    other = draw(
        st.sampled_from(
            [
                [pika.frame.Method(channel, pika.spec.Channel.CloseOk()).marshal()],
                [pika.frame.Heartbeat().marshal()],
                content_frames(
                    channel, pika.spec.Basic.Return(312, "NO_ROUTE", "", "q"), pika.BasicProperties(**properties), body
                ),
            ]
        )
    )
    return other, None


@given(st.lists(messages(), max_size=5), st.randoms(use_true_random=False), st.data())
def test_any_messages_come_out_whole_however_the_stream_is_split(
    sent: list[tuple[list[bytes], Any]], random: Any, data: st.DataObject
) -> None:
    stream = b"".join(frame for frames, _ in sent for frame in frames)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    collected = collecting()

    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        collected.parser.feed(stream[start:end])

    expected: list[Any] = []
    for frames, delivered in sent:
        expected += [delivered] if delivered is not None else frames
    assert collected.items == expected


def test_a_stream_may_come_byte_by_byte() -> None:
    frames = content_frames(
        1, pika.spec.Basic.Deliver("t", 7, False, "", "q"), pika.BasicProperties(type="fib"), b"[30]"
    )
    collected = collecting()
    for byte in b"".join(frames):
        collected.parser.feed(bytes([byte]))
    assert collected.items == [(1, b"t", Delivery(7, False, b"[30]", None, None, None, "fib"))]


def test_a_stream_may_be_cut_at_any_one_place() -> None:
    frames = content_frames(
        1, pika.spec.Basic.Deliver("t", 7, False, "", "q"), pika.BasicProperties(type="fib"), b"[30]"
    )
    stream = b"".join([*frames, pika.frame.Heartbeat().marshal(), *frames])
    for cut in range(len(stream)):
        collected = collecting()
        collected.parser.feed(stream[:cut])
        collected.parser.feed(stream[cut:])
        assert len(collected.items) == 3, cut


def test_a_large_body_may_be_cut_at_any_two_places() -> None:
    body = bytes(range(256)) * 60
    frames = content_frames(1, pika.spec.Basic.Deliver("t", 7, False, "", "q"), pika.BasicProperties(), body)
    stream = b"".join([*frames, pika.frame.Heartbeat().marshal(), *frames])
    edges = [
        at for at in range(len(stream)) if at % 700 == 0 or at < 100 or 9_990 < at < 10_100 or at > len(stream) - 20
    ]
    for first in edges:
        for second in (first, first + 1, first + 5000, len(stream) - 1):
            collected = collecting()
            for piece in (stream[:first], stream[first:second], stream[second:]):
                collected.parser.feed(piece)
            assert [item if type(item) is bytes else item[2].body for item in collected.items] == [
                body,
                pika.frame.Heartbeat().marshal(),
                body,
            ], (first, second)


def test_a_large_body_frame_without_its_end_byte_is_malformed() -> None:
    frames = content_frames(1, pika.spec.Basic.Deliver("t", 7, False, "", "q"), pika.BasicProperties(), bytes(9_000))
    stream = b"".join(frames)[:-1] + b"\0"
    collected = collecting()
    collected.parser.feed(stream[:5000])
    with pytest.raises(MalformedFrame):
        collected.parser.feed(stream[5000:])


def test_deliveries_of_different_channels_may_be_interleaved() -> None:
    body = bytes(2 * FRAME_MAX)
    first = content_frames(1, pika.spec.Basic.Deliver("a", 1, False, "", "q"), pika.BasicProperties(), body)
    second = content_frames(2, pika.spec.Basic.Deliver("b", 1, False, "", "q"), pika.BasicProperties(), b"two")
    collected = collecting()
    for frame in [first[0], second[0], first[1], first[2], second[1], first[3], second[2], first[4]]:
        collected.parser.feed(frame)
    assert [(channel, delivery.body) for channel, _, delivery in collected.items] == [(2, b"two"), (1, body)]


def pika_cannot_decode(properties: bytes) -> bool:
    try:
        pika.spec.BasicProperties().decode(properties)
    except Exception:
        return True
    return False


@pytest.mark.parametrize(
    "value",
    [
        b"T" + struct.pack("!Q", 2**62),  # a timestamp that no datetime can hold: kills pika's decoder
        b"?" + b"\0",  # a type that does not exist
        b"S" + struct.pack("!I", 2**31),  # a string that runs over the end of the table
        b"S" + struct.pack("!I", 40) + b"F" * 10,
    ],
)
def test_a_hostile_header_table_passes_unread(value: bytes) -> None:
    entry = b"\x01x" + value
    header_table = struct.pack("!I", len(entry)) + entry
    properties = header_table + b"\x02id"
    payload = struct.pack("!HHQH", 60, 0, 2, (1 << 13) | (1 << 10)) + properties
    frames = [
        pika.frame.Method(1, pika.spec.Basic.Deliver("t", 1, False, "", "q")).marshal(),
        struct.pack("!BHI", 2, 1, len(payload)) + payload + b"\xce",
        pika.frame.Body(1, b"30").marshal(),
    ]
    assert pika_cannot_decode(payload[12:])
    collected = collecting()
    collected.parser.feed(b"".join(frames))
    assert collected.items == [(1, b"t", Delivery(1, False, b"30", "id", None, None, None))]


def test_a_correlation_id_that_is_not_utf_8_goes_back_as_it_came() -> None:
    payload = struct.pack("!HHQH", 60, 0, 0, 1 << 10) + b"\x03\xff\xfe\x80"
    collected = collecting()
    collected.parser.feed(pika.frame.Method(1, pika.spec.Basic.Deliver("t", 1, False, "", "q")).marshal())
    collected.parser.feed(struct.pack("!BHI", 2, 1, len(payload)) + payload + b"\xce")
    ((_, _, delivery),) = collected.items
    assert b"\x03\xff\xfe\x80" in published("q", b"", correlation_id=delivery.correlation_id)


def test_a_channel_that_closes_in_the_middle_of_a_delivery_begins_anew() -> None:
    collected = collecting()
    deliver = content_frames(1, pika.spec.Basic.Deliver("t", 1, False, "", "q"), pika.BasicProperties(), b"body")
    closed = pika.frame.Method(1, pika.spec.Channel.Close(404, "NOT_FOUND", 0, 0)).marshal()
    returned = content_frames(1, pika.spec.Basic.Return(312, "NO_ROUTE", "", "q"), pika.BasicProperties(), b"back")
    collected.parser.feed(b"".join([deliver[0], deliver[1], closed, *returned]))
    assert collected.items == [closed, *returned]


@pytest.mark.parametrize(
    "stream",
    [
        deliver_frame()[:-1] + b"\0",
        deliver_frame() + raw_frame(3, b"a body before its header"),
        deliver_frame()
        + raw_frame(2, struct.pack("!HHQH", 60, 0, 9, 0))
        + raw_frame(2, struct.pack("!HHQH", 60, 0, 9, 0)),
        deliver_frame() + raw_frame(2, struct.pack("!HHQH", 60, 0, 1, 0)) + raw_frame(3, b"too long"),
        deliver_frame() + raw_frame(2, b"\0"),
        deliver_frame() + raw_frame(2, struct.pack("!HHQH", 60, 0, 0, 1 << 15) + b"\xffshort"),
        deliver_frame() + raw_frame(2, struct.pack("!HHQH", 60, 0, 0, 1)),
        deliver_frame() + raw_frame(2, struct.pack("!HHQH", 60, 0, 0, 1 << 13)),
        raw_frame(1, b"\0\x3c\0\x3c"),
        raw_frame(1, b"\0\x3c\0\x3c\x05abcde"),
    ],
)
def test_what_is_no_frame_is_malformed(stream: bytes) -> None:
    with pytest.raises(MalformedFrame):
        collecting().parser.feed(stream)


def test_flags_that_continue_are_stepped_over() -> None:
    payload = struct.pack("!HHQHH", 60, 0, 0, (1 << 10) | 1, 0) + b"\x01x"
    collected = collecting()
    collected.parser.feed(deliver_frame() + raw_frame(2, payload))
    assert collected.items[0][2].correlation_id == "x"


@given(st.lists(st.binary(max_size=40) | st.sampled_from([deliver_frame(), raw_frame(2, b"\0" * 14)]), max_size=8))
def test_any_bytes_are_frames_or_malformed(chunks: list[bytes]) -> None:
    collected = collecting()
    try:
        for chunk in chunks:
            collected.parser.feed(chunk)
    except MalformedFrame:
        pass


# ---- confirms ---------------------------------------------------------------------------------------------------


def assert_confirm_is_read(method: Any, expected: tuple[Any, ...], cut: int = 0) -> None:
    """Read a confirm that pika writes, cut in two, on channel 7."""
    confirms: list[Any] = []
    frames: list[bytes] = []

    def confirm(*said: Any) -> bool:
        confirms.append(said)
        return True

    frame = pika.frame.Method(7, method).marshal()
    parser = FrameParser(frames.append, lambda *_: None, confirm)
    parser.feed(frame[:cut])
    parser.feed(frame[cut:])
    assert confirms == [(7, *expected)]
    assert frames == []


@pytest.mark.parametrize("multiple", [False, True])
def test_a_confirm_is_read(multiple: bool) -> None:
    assert_confirm_is_read(pika.spec.Basic.Ack(2**64 - 1, multiple), (False, 2**64 - 1, multiple))
    assert_confirm_is_read(pika.spec.Basic.Nack(1, multiple), (True, 1, multiple))


@given(
    tag=st.integers(0, 2**64 - 1),
    multiple=st.booleans(),
    requeue=st.booleans(),
    refuses=st.booleans(),
    cut=st.integers(0, 30),
)
def test_a_confirm_is_read_as_pika_writes_it(tag: int, multiple: bool, requeue: bool, refuses: bool, cut: int) -> None:
    method = pika.spec.Basic.Nack(tag, multiple, requeue) if refuses else pika.spec.Basic.Ack(tag, multiple)
    assert_confirm_is_read(method, (refuses, tag, multiple), cut)


def test_a_confirm_of_a_channel_that_is_not_in_confirm_mode_is_left_to_pika() -> None:
    frames: list[bytes] = []
    frame = pika.frame.Method(3, pika.spec.Basic.Ack(7, multiple=True)).marshal()
    FrameParser(frames.append, lambda *_: None).feed(frame)
    assert frames == [frame]


def test_a_confirm_that_is_cut_short_is_malformed() -> None:
    frame = b"\x01\x00\x01\x00\x00\x00\x06" + b"\x00\x3c\x00\x50\x00\x00" + b"\xce"
    with pytest.raises(MalformedFrame):
        FrameParser(lambda _: None, lambda *_: None).feed(frame)


# ---- what was asked for -----------------------------------------------------------------------------------------


def assert_asked_for(channel: int, number: int, redelivered: bool, route: tuple[str, str], body: bytes) -> None:
    """Read a message that was asked for (basic.get) as pika writes it."""
    collected = collecting()
    method = pika.spec.Basic.GetOk(number, redelivered, *route, message_count=7)
    properties = pika.BasicProperties(message_id="m", headers={"a": 1})
    collected.parser.feed(b"".join(content_frames(channel, method, properties, body)))

    ((at, tag, delivery),) = collected.items
    assert (at, tag) == (channel, b"")
    assert (delivery.delivery_tag, delivery.redelivered, delivery.body) == (number, redelivered, body)
    assert (delivery.exchange, delivery.routing_key) == route
    assert (delivery.message_id, delivery.headers) == ("m", {"a": 1})


@pytest.mark.parametrize("body", [b"", b"30", b"x" * (2 * FRAME_MAX)], ids=len)
def test_what_was_asked_for_is_a_delivery_without_a_consumer(body: bytes) -> None:
    assert_asked_for(1, 7, False, ("", "q"), body)
    assert_asked_for(2, 8, True, ("x", "a.b"), body)


@given(
    channel=st.integers(1, 65535),
    number=st.integers(0, 2**64 - 1),
    redelivered=st.booleans(),
    route=st.tuples(short_text, short_text),
    body=bodies,
)
def test_any_message_that_was_asked_for_is_a_delivery_without_a_consumer(**given: Any) -> None:
    assert_asked_for(**given)


def test_that_nothing_is_there_is_left_to_pika() -> None:
    collected = collecting()
    frame = pika.frame.Method(1, pika.spec.Basic.GetEmpty()).marshal()
    collected.parser.feed(frame)
    assert collected.items == [frame]
