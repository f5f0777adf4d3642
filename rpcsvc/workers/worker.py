"""The main loop of a worker process: take a call, compute it, answer; until the server closes the socket.

The worker blocks on its socket, holds no state between calls, and touches no broker.
"""

from __future__ import annotations

import random
import signal
import socket
import sys
import time
from collections import deque
from types import FrameType

from ..dispatch import Rules, dispatch
from ..raising import StopCall
from ..registry import Registry
from .frames import CALL, HEADER, NO_RESPONSE, READY, RESULT, FrameReader, frame
from .interrupts import Interrupts
from .limits import enforce
from .progress import WorkerProgress

_JOIN_BELOW = 64 * 1024
"""Payloads up to this many bytes are copied behind their header, to be sent by one system call."""
_CHUNK = 256 * 1024
_WAIT_FOR_MORE = 0.0005
"""Seconds that an answer may wait for those of the calls that came with its own."""


def serve(channel: socket.socket, registry: Registry, rules: Rules, progress: WorkerProgress) -> None:
    """Answer calls until the other end closes."""
    _become_a_worker()
    interrupts = Interrupts(progress)
    registry = enforce(registry, rules, progress, interrupts)
    channel.sendall(frame(READY))
    calls = _Calls(channel)
    answers: list[bytes] = []
    size = 0
    while (call := calls.next()) is not None:
        progress.take()
        if not interrupts.cancelled or not interrupts.call_off():
            try:
                response = dispatch(registry, call, rules, progress.item, time.perf_counter)
            except StopCall:
                response = None
        else:
            response = None
        if response is None:
            answers.append(frame(NO_RESPONSE))
        else:
            answers += (HEADER.pack(RESULT, len(response)), response)
            size += len(response)
        # Calls that came together are answered together, but none waits for a slow one behind it.
        if size > _JOIN_BELOW or not calls.has_more() or calls.age() > _WAIT_FOR_MORE:
            _send(channel, answers, size)
            answers, size = [], 0


def _send(channel: socket.socket, answers: list[bytes], size: int) -> None:
    if size <= _JOIN_BELOW:
        channel.sendall(b"".join(answers))
    else:
        for each in answers:
            channel.sendall(each)


def _become_a_worker() -> None:
    # A service manager that stops a whole control group, or Ctrl-C in a terminal, signals every process; only the
    # server acts on it. A handler that does nothing, not SIG_IGN, because programs that a function starts would
    # inherit SIG_IGN and could not be terminated.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, _ignore)
    # Python reseeds `random` in a forked child, numpy does not: every worker would draw the same numbers.
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is not None:
        numpy_random.seed(random.SystemRandom().getrandbits(32))


def _ignore(_signal: int, _frame: FrameType | None) -> None:
    pass


class _Calls:
    """The calls that come through the socket."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._buffer = memoryview(bytearray(_CHUNK))  # one for all: a new one for each call costs more than the call
        self._frames = FrameReader()
        self._here: deque[bytes] = deque()
        self._received = 0.0

    def next(self) -> bytes | None:
        """The next call, waiting for it; None at the end of the stream."""
        while not self._here:
            count = self._channel.recv_into(self._buffer)
            if not count:
                return None
            for kind, payload in self._frames.feed(bytes(self._buffer[:count])):
                assert kind == CALL, f"a server sends calls only, not {kind}"
                self._here.append(payload)
            self._received = time.perf_counter()
        return self._here.popleft()

    def has_more(self) -> bool:
        """Whether another call is here already."""
        return bool(self._here)

    def age(self) -> float:
        """Seconds since the last bytes were received."""
        return time.perf_counter() - self._received
