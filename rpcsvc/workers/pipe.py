"""The frames on the socket between the server process and one worker. Pure: bytes in, frames out.

A frame is a kind (1 byte), an id (8 bytes), the payload's length (4 bytes; both in network order), and the payload. The
id is the number of the message that a frame is about, counted from 1 in each worker; READY is about none, and has 0.
Of each message come any number of partial results, where its caller wants such, and then one RESULT, FAILURE or
NO_RESPONSE.

Both ends know which ids can come next and take no other: an answer is that of its call, or of none. Functions may fork,
and may write to whatever descriptors they find; what is not a frame breaks the stream, and then nothing that comes
after it is one.
"""

from __future__ import annotations

import struct

from ..wire.sizes import MAX_BODY

HEADER = struct.Struct("!BQI")
_LENGTH = struct.Struct("!I")

CALL = 1
"""Server to worker: the body of a request."""
READY = 2
"""Worker to server: it can compute."""
RESULT = 3
"""Worker to server: the body of the response."""
NO_RESPONSE = 4
"""Worker to server: the request is done and wants no response."""
FAILED = 5
"""Worker to server, in place of READY: it cannot start, and ends; the payload is the traceback that says why."""
LACKS = 6
"""Likewise, for want of something that may be there later."""
PARTIAL = 7
"""Worker to server: a part of the response, before RESULT or NO_RESPONSE."""
JOB = 8
"""Server to worker, in place of CALL: the length of a context (4 bytes), the context (`job`), and a body."""
FAILURE = 9
"""Worker to server, in place of RESULT: likewise, and the response is an error, or has errors in it."""
_MOST = 4 * MAX_BODY
"""Bytes. No message comes near it."""
_KINDS = frozenset((CALL, READY, RESULT, NO_RESPONSE, FAILED, LACKS, PARTIAL, JOB, FAILURE))


def frame(kind: int, number: int, payload: bytes = b"") -> bytes:
    """The bytes of one frame about message `number`."""
    return HEADER.pack(kind, number, len(payload)) + payload


def job_head(number: int, context: bytes, size: int) -> bytes:
    """What stands before the body of a JOB, which has so many bytes."""
    length = len(context)
    return HEADER.pack(JOB, number, _LENGTH.size + length + size) + _LENGTH.pack(length) + context


def read_job(payload: bytes) -> tuple[bytes, bytes]:
    """The context and the body in the payload of a JOB.

    Raises:
        ValueError: it is none.
    """
    end = _LENGTH.size + int.from_bytes(payload[: _LENGTH.size], "big")
    if not _LENGTH.size <= end <= len(payload):
        raise ValueError("the payload of a job is shorter than its context")
    return payload[_LENGTH.size : end], payload[end:]


class FrameReader:
    """Cuts a stream of bytes, which may be split anywhere, into frames. A large payload is copied once.

    Attributes:
        is_broken: whether something came that is no frame; what comes after it is ignored.
    """

    def __init__(self) -> None:
        self.is_broken = False
        self._head = b""
        self._kind = self._number = 0
        self._missing: int | None = None  # of the payload; None within a header
        self._parts: list[memoryview] = []

    def feed(self, data: bytes) -> list[tuple[int, int, bytes]]:
        """Take bytes from the stream; the frames they complete, as (kind, id, payload)."""
        frames: list[tuple[int, int, bytes]] = []
        position, size = 0, len(data)
        while position < size and not self.is_broken:
            if self._missing is None:
                position = self._read_header(data, position)
            if self._missing is not None and not self.is_broken:
                position = self._read_payload(data, position, frames)
        return frames

    def _read_header(self, data: bytes, position: int) -> int:
        end = position + HEADER.size - len(self._head)
        self._head += data[position:end]
        if len(self._head) == HEADER.size:
            self._kind, self._number, self._missing = HEADER.unpack(self._head)
            self._head = b""
            self.is_broken = self._kind not in _KINDS or self._missing > _MOST
        return end

    def _read_payload(self, data: bytes, position: int, frames: list[tuple[int, int, bytes]]) -> int:
        assert self._missing is not None
        end = position + self._missing
        if end <= len(data) and not self._parts:
            payload = data[position:end]
        else:
            self._parts.append(memoryview(data)[position:end])
            if end > len(data):
                self._missing = end - len(data)
                return end
            payload = b"".join(self._parts)
            self._parts.clear()
        self._missing = None
        frames.append((self._kind, self._number, payload))
        return end
