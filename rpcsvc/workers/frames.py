"""The frames on the socket between the server process and one worker. Pure: bytes in, frames out.

A frame is a kind (1 byte), the payload's length (4 bytes, network order), and the payload. A worker takes one call at a
time and answers in order, so frames need no ids.
"""

from __future__ import annotations

import struct

HEADER = struct.Struct("!BI")

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


def frame(kind: int, payload: bytes = b"") -> bytes:
    """The bytes of one frame."""
    return HEADER.pack(kind, len(payload)) + payload


class FrameReader:
    """Cuts a stream of bytes, which may be split anywhere, into frames. A large payload is copied once."""

    def __init__(self) -> None:
        self._head = b""
        self._kind = 0
        self._missing: int | None = None  # of the payload; None within a header
        self._parts: list[memoryview] = []

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """Take bytes from the stream; the frames they complete, as (kind, payload)."""
        frames: list[tuple[int, bytes]] = []
        position, size = 0, len(data)
        while position < size:
            if self._missing is None:
                position = self._read_header(data, position)
            if self._missing is not None:
                position = self._read_payload(data, position, frames)
        return frames

    def _read_header(self, data: bytes, position: int) -> int:
        end = position + HEADER.size - len(self._head)
        self._head += data[position:end]
        if len(self._head) == HEADER.size:
            self._kind, self._missing = HEADER.unpack(self._head)
            self._head = b""
        return end

    def _read_payload(self, data: bytes, position: int, frames: list[tuple[int, bytes]]) -> int:
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
        frames.append((self._kind, payload))
        return end
