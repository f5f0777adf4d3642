"""The frames on the socket between the server process and one worker. Pure: bytes in, frames out.

A frame is a kind (1 byte), the payload's length (4 bytes, network order), and the payload. A worker takes one call at a
time and answers in order, so frames need no ids.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

HEADER = struct.Struct("!BI")

CALL = 1
"""Server to worker: the body of a request."""
READY = 2
"""Worker to server: it can compute."""
RESULT = 3
"""Worker to server: the body of the response."""
NO_RESPONSE = 4
"""Worker to server: the request is done and wants no response."""


def frame(kind: int, payload: bytes = b"") -> bytes:
    """The bytes of one frame."""
    return HEADER.pack(kind, len(payload)) + payload


class FrameReader:
    """Cuts a stream of bytes, which may be split anywhere, into frames."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """Take bytes from the stream; yield each frame they complete, as (kind, payload)."""
        buffer = self._buffer
        buffer += data
        start = 0
        try:
            while len(buffer) - start >= HEADER.size:
                kind, length = HEADER.unpack_from(buffer, start)
                end = start + HEADER.size + length
                if len(buffer) < end:
                    break
                payload = bytes(memoryview(buffer)[start + HEADER.size : end])
                start = end
                yield kind, payload
        finally:  # whoever stops in the middle of the loop must not get the same frames again
            del buffer[:start]
