"""Frames between server and worker, however the stream is cut."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from rpcsvc.workers.frames import CALL, HEADER, NO_RESPONSE, READY, RESULT, FrameReader, frame

BOUNDED = settings(max_examples=150, derandomize=True, deadline=None, database=None)
FRAMES = st.lists(st.tuples(st.sampled_from([CALL, READY, RESULT, NO_RESPONSE]), st.binary(max_size=30)), max_size=8)


@BOUNDED
@given(FRAMES, st.data())
def test_frames_arrive_whole_and_in_order_however_the_stream_is_cut(
    frames: list[tuple[int, bytes]], data: st.DataObject
) -> None:
    stream = b"".join(frame(kind, payload) for kind, payload in frames)
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=10).map(sorted))

    reader = FrameReader()
    arrived = []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        arrived += reader.feed(stream[start:end])

    assert arrived == frames


def test_a_frame_is_announced_by_the_byte_that_completes_it_and_not_before() -> None:
    reader = FrameReader()
    stream = frame(RESULT, b"832040")

    before = [list(reader.feed(stream[i : i + 1])) for i in range(len(stream) - 1)]

    assert before == [[]] * (HEADER.size + 5)
    assert list(reader.feed(stream[-1:])) == [(RESULT, b"832040")]


def test_a_payload_is_not_changed_by_what_comes_after_it() -> None:
    reader = FrameReader()
    ((_, payload),) = reader.feed(frame(RESULT, b"first"))

    list(reader.feed(frame(RESULT, b"other")))

    assert payload == b"first"
    assert type(payload) is bytes


def test_a_header_is_a_kind_and_a_length_in_network_order() -> None:
    assert frame(CALL, b"ab") == b"\x01\x00\x00\x00\x02ab"
    assert frame(READY) == b"\x02\x00\x00\x00\x00"


def test_a_large_payload_may_come_in_pieces_of_any_size() -> None:
    payload = bytes(range(256)) * 100
    stream = frame(RESULT, payload) + frame(RESULT, b"") + frame(RESULT, b"next")
    for size in (1, 3, 5, 1000, 25_604, 25_605, 25_606, 25_610, len(stream)):
        reader = FrameReader()
        frames = [each for at in range(0, len(stream), size) for each in reader.feed(stream[at : at + size])]
        assert frames == [(RESULT, payload), (RESULT, b""), (RESULT, b"next")], size


@BOUNDED
@given(st.binary(max_size=60), st.lists(st.integers(0, 60), max_size=6).map(sorted))
def test_any_bytes_are_frames_that_are_there_or_still_to_come_wherever_they_are_cut(
    data: bytes, cuts: list[int]
) -> None:
    """The two processes trust each other, but a function may write to whatever descriptors it finds."""
    whole, cut = FrameReader(), FrameReader()
    arrived = []
    for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True):
        arrived += cut.feed(data[start:end])

    assert arrived == whole.feed(data)
    assert sum(HEADER.size + len(payload) for _, payload in arrived) <= len(data)
