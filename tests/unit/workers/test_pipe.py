"""Frames between server and worker, however the stream is cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.examples import examples

from rpcsvc.workers.pipe import (
    CALL,
    HEADER,
    JOB,
    NO_RESPONSE,
    PARTIAL,
    READY,
    RESULT,
    FrameReader,
    frame,
    job_head,
    read_job,
)

BOUNDED = examples(60)
NUMBERS = st.integers(0, 2**64 - 1)
FRAMES = st.lists(
    st.tuples(st.sampled_from([CALL, READY, RESULT, NO_RESPONSE, PARTIAL]), NUMBERS, st.binary(max_size=30)), max_size=8
)


@BOUNDED
@given(FRAMES, st.data())
def test_frames_arrive_whole_and_in_order_however_the_stream_is_cut(
    frames: list[tuple[int, int, bytes]], data: st.DataObject
) -> None:
    stream = b"".join(frame(*each) for each in frames)
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=10).map(sorted))

    reader = FrameReader()
    arrived = []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        arrived += reader.feed(stream[start:end])

    assert arrived == frames


def test_a_frame_is_announced_by_the_byte_that_completes_it_and_not_before() -> None:
    reader = FrameReader()
    stream = frame(RESULT, 7, b"832040")

    before = [list(reader.feed(stream[i : i + 1])) for i in range(len(stream) - 1)]

    assert before == [[]] * (HEADER.size + 5)
    assert list(reader.feed(stream[-1:])) == [(RESULT, 7, b"832040")]


def test_a_payload_is_not_changed_by_what_comes_after_it() -> None:
    reader = FrameReader()
    ((_, _, payload),) = reader.feed(frame(RESULT, 1, b"first"))

    list(reader.feed(frame(RESULT, 2, b"other")))

    assert payload == b"first"
    assert type(payload) is bytes


def test_a_header_is_a_kind_an_id_and_a_length_in_network_order() -> None:
    assert frame(CALL, 258, b"ab") == b"\x01" + b"\x00\x00\x00\x00\x00\x00\x01\x02" + b"\x00\x00\x00\x02" + b"ab"
    assert frame(READY, 0) == b"\x02" + b"\x00" * 12


@pytest.mark.parametrize(("context", "body"), [(b'{"kind":"cast"}', b"{}"), (b"", b""), (b"x" * 300, bytes(70_000))])
def test_a_job_is_a_context_and_a_body(context: bytes, body: bytes) -> None:
    ((kind, number, payload),) = FrameReader().feed(job_head(7, context, len(body)) + body)
    assert (kind, number) == (JOB, 7)
    assert read_job(payload) == (context, body)


@pytest.mark.parametrize("payload", [b"", b"\0\0\0", b"\0\0\0\1", b"\0\0\0\3ab", b"\xff\xff\xff\xff" + bytes(99)])
def test_a_job_without_all_of_its_context_is_none(payload: bytes) -> None:
    with pytest.raises(ValueError, match="shorter than its context"):
        read_job(payload)


def test_a_large_payload_may_come_in_pieces_of_any_size() -> None:
    payload = bytes(range(256)) * 100
    stream = frame(RESULT, 1, payload) + frame(RESULT, 2, b"") + frame(RESULT, 3, b"next")
    for size in (1, 3, 5, 1000, 25_612, 25_613, 25_614, 25_618, len(stream)):
        reader = FrameReader()
        frames = [each for at in range(0, len(stream), size) for each in reader.feed(stream[at : at + size])]
        assert frames == [(RESULT, 1, payload), (RESULT, 2, b""), (RESULT, 3, b"next")], size


@BOUNDED
@given(FRAMES, st.binary(max_size=60), st.data())
def test_any_bytes_after_a_frame_are_frames_or_still_to_come_or_break_the_stream_wherever_they_are_cut(
    frames: list[tuple[int, int, bytes]], rubbish: bytes, data: st.DataObject
) -> None:
    """The two processes trust each other, but a function may write to whatever descriptors it finds."""
    stream = b"".join(frame(*each) for each in frames) + rubbish
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=6).map(sorted))
    whole, cut = FrameReader(), FrameReader()
    arrived = []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        arrived += cut.feed(stream[start:end])

    assert arrived == whole.feed(stream)
    assert arrived[: len(frames)] == frames
    assert cut.is_broken == whole.is_broken
    assert sum(HEADER.size + len(payload) for _, _, payload in arrived) <= len(stream)


@pytest.mark.parametrize(
    "rubbish", [b"\x00" * 13, b"Traceback (most", frame(10, 1, b""), HEADER.pack(RESULT, 1, 2**31)]
)
def test_what_is_no_frame_breaks_the_stream_and_what_comes_after_it_is_not_read(rubbish: bytes) -> None:
    reader = FrameReader()

    arrived = reader.feed(frame(RESULT, 1, b"good") + rubbish + frame(RESULT, 2, b"wrong"))

    assert arrived == [(RESULT, 1, b"good")]
    assert reader.is_broken
    assert reader.feed(frame(RESULT, 2, b"wrong")) == []
