"""What a worker is sent, message by message, through its socket.

Messages are numbered from 1. What is not the next one is none: somebody else reads from the socket, or writes to it.
"""

from __future__ import annotations

import socket
import time
from collections import deque

from .. import output
from ..job import Context
from ..orphans import Zombies
from ..pipe import CALL, JOB, FrameReader, read_job

_CHUNK = 256 * 1024


class BrokenStream(Exception):
    """What came through the worker's socket is not the next call: somebody else reads from it or writes to it."""


class Calls:
    """The calls that come through the socket.

    Attributes:
        number: that of the call which was taken last; they are counted from 1.
        context: what came with it besides its body, if anything, until it is taken.
    """

    context: bytes | None = None

    def __init__(self, channel: socket.socket, zombies: Zombies) -> None:
        self.number = 0
        self._zombies = zombies
        self._channel = channel
        self._buffer = memoryview(bytearray(_CHUNK))  # one for all: a new one for each call costs more than the call
        self._frames = FrameReader()
        self._here: deque[tuple[int, int, bytes]] = deque()
        self._received = self._began = 0.0

    def next(self) -> bytes | None:
        """The next call, waiting for it; None at the end of the stream.

        Raises:
            BrokenStream: what came is not that. It has not been taken, so nothing is lost if this process ends.
        """
        while not self._here:
            output.flush()
            self._zombies.look()
            count = self._channel.recv_into(self._buffer)
            if not count:
                return None
            self._here += self._frames.feed(bytes(self._buffer[:count]))
            if self._frames.is_broken:
                raise BrokenStream("what came is no frame")
            self._received = self._began = time.perf_counter()
        kind, number, payload = self._here.popleft()
        if (kind, number) != (CALL, self.number + 1):
            payload = self._job(kind, number, payload)
        self.number = number
        return payload

    def _job(self, kind: int, number: int, payload: bytes) -> bytes:
        if (kind, number) != (JOB, self.number + 1):
            raise BrokenStream(f"frame {number} of kind {kind} came where call {self.number + 1} was next")
        try:
            self.context, body = read_job(payload)
        except ValueError as error:
            raise BrokenStream(str(error)) from None
        return body

    def take_context(self) -> Context:
        """What the server has told of the message that was taken last; it is over with it then."""
        assert self.context is not None
        context, self.context = self.context, None
        return Context.read(context)

    def has_more(self) -> bool:
        """Whether another call is here already."""
        return bool(self._here)

    def age(self) -> float:
        """Seconds since the last bytes were received. To be asked between two calls: the next begins then."""
        self._began = time.perf_counter()
        return self._began - self._received

    def seconds(self) -> float:
        """Seconds since the last call was begun."""
        return time.perf_counter() - self._began
