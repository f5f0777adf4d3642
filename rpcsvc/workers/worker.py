"""The main loop of a worker process: take a call, compute it, answer; until the server closes the socket.

The worker blocks on its socket. It never reads two calls ahead of what it has answered, holds no state between calls,
and touches no broker.
"""

from __future__ import annotations

import random
import signal
import socket
import sys
from collections.abc import Callable
from types import FrameType

from ..dispatch import Rules, dispatch
from ..registry import Registry
from .frames import CALL, HEADER, NO_RESPONSE, READY, RESULT, frame

_JOIN_BELOW = 64 * 1024
"""Payloads up to this many bytes are copied behind their header, to be sent by one system call."""
_CHUNK = 256 * 1024


def serve(channel: socket.socket, registry: Registry, rules: Rules, took_one: Callable[[], None]) -> None:
    """Answer calls until the other end closes; `took_one` is called before each call runs."""
    _become_a_worker()
    channel.sendall(frame(READY))
    while (call := _receive(channel)) is not None:
        took_one()
        response = dispatch(registry, call, rules)
        if response is None:
            channel.sendall(frame(NO_RESPONSE))
        elif len(response) <= _JOIN_BELOW:
            channel.sendall(frame(RESULT, response))
        else:
            channel.sendall(HEADER.pack(RESULT, len(response)))
            channel.sendall(response)


def _become_a_worker() -> None:
    # A service manager that stops a whole control group, or Ctrl-C in a terminal, signals every process; only the
    # server acts on it. A handler that does nothing, not SIG_IGN, because programs that a function starts would
    # inherit SIG_IGN and could not be terminated.
    signal.signal(signal.SIGTERM, _ignore)
    signal.signal(signal.SIGINT, _ignore)
    # Python reseeds `random` in a forked child, numpy does not: every worker would draw the same numbers.
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is not None:
        numpy_random.seed(random.SystemRandom().getrandbits(32))


def _ignore(_signal: int, _frame: FrameType | None) -> None:
    pass


def _receive(channel: socket.socket) -> bytes | None:
    """The payload of the next call frame, or None at the end of the stream."""
    first = channel.recv(_CHUNK)
    while 0 < len(first) < HEADER.size:
        more = channel.recv(_CHUNK)
        if not more:
            return None
        first += more
    if not first:
        return None
    kind, length = HEADER.unpack_from(first)
    assert kind == CALL, f"a server sends calls only, not {kind}"
    if len(first) == HEADER.size + length:
        return first[HEADER.size :]
    payload = bytearray(length)
    got = len(first) - HEADER.size
    payload[:got] = first[HEADER.size :]
    view = memoryview(payload)
    while got < length:
        count = channel.recv_into(view[got:])
        if count == 0:
            return None
        got += count
    return bytes(payload)
