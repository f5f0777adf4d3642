"""The main loop of a worker process: take a call, compute it, answer; until the server closes the socket.

The worker blocks on its socket, holds no state between calls, and touches no broker.

A function may fork, and its child may come back from it. Only the process that was made as the worker goes on here; any
other ends at the place where its function did.
"""

from __future__ import annotations

import os
import random
import signal
import socket
import sys
import time
import traceback
from collections import deque
from collections.abc import Callable
from types import FrameType

from ...functions.registration import Registry
from ...host import logs
from .. import output
from ..job import Context
from ..orphans import Zombies
from ..pipe import CALL, FAILED, FAILURE, HEADER, JOB, LACKS, NO_RESPONSE, READY, RESULT, FrameReader, frame, read_job
from ..scoreboard import MAX_GIVEN, Row, Slot
from ..shortage import is_passing
from .casts import perform
from .context import running
from .dispatch import Rules, dispatch
from .exceptions import StopCall, Stray
from .interrupts import Interrupts
from .limits import enforce
from .own import Belongings, leave, leave_if_strayed

_JOIN_BELOW = 64 * 1024
"""Payloads up to this many bytes are copied behind their header, to be sent by one system call."""
_CHUNK = 256 * 1024
_WAIT_FOR_MORE = 0.0005
"""Seconds that an answer may wait for those of the calls that came with its own."""


def serve(channel: socket.socket, load: Callable[[], Registry], rules: Rules, row: Row, zombies: Zombies) -> None:
    """Answer calls until the other end closes.

    Args:
        load: gives the registry; it may take its time, and may fail.

    Raises:
        SystemExit: the worker could not start; the server knows why.
    """
    own = Belongings.of_this_process()
    own.add(channel.close)
    own.add(row.detach)
    try:
        registry, interrupts = _start(load, rules, row, own)
    except BaseException as error:
        leave_if_strayed(error)
        output.flush()
        kind = LACKS if is_passing(error) else FAILED
        channel.sendall(frame(kind, 0, traceback.format_exc().encode(errors="replace")))
        raise SystemExit(1) from None
    channel.sendall(frame(READY, 0))
    calls, slot = _Calls(channel, zombies), row.slots[0]
    logs.use_seconds(calls.seconds)
    running.ends = lambda: row.ends[calls.number % MAX_GIVEN] or None
    answers: list[bytes] = []
    size = 0
    while (call := calls.next()) is not None:
        slot.take(calls.number)
        response = None
        try:
            if not interrupts.cancelled or not interrupts.call_off():
                if calls.context is None:
                    response = dispatch(registry, call, rules, slot.item, time.perf_counter)
                else:
                    response = _do(registry, call, calls.take_context(), rules, slot)
            else:
                calls.context = None
        except StopCall:
            pass
        except Stray as stray:
            leave(stray.error)
        if os.getpid() != own.pid:
            leave(None)  # forked where Python does not see it
        if response is None:
            answers.append(frame(NO_RESPONSE, calls.number))
        else:
            kind = _failure() if logs.failures else RESULT
            answers += (HEADER.pack(kind, calls.number, len(response)), response)
            size += len(response)
        # Calls that came together are answered together, but none waits for a slow one behind it.
        if not calls.has_more() or calls.age() > _WAIT_FOR_MORE or size > _JOIN_BELOW:
            _send(channel, answers, size)
            answers, size = [], 0


def _failure() -> int:
    """The kind of an answer that tells of a failure, which is told with that."""
    logs.failures.clear()
    return FAILURE


def _do(registry: Registry, body: bytes, context: Context, rules: Rules, slot: Slot) -> bytes | None:
    """Do a message of which the server has told more than its body."""
    if context.kind != "call":
        return perform(registry, body, context, rules)
    running.context = context
    try:
        return dispatch(registry, body, rules, slot.item, time.perf_counter)
    finally:
        running.context = None


def _send(channel: socket.socket, answers: list[bytes], size: int) -> None:
    if size <= _JOIN_BELOW:
        channel.sendall(b"".join(answers))
    else:
        for each in answers:
            channel.sendall(each)


def _start(load: Callable[[], Registry], rules: Rules, row: Row, own: Belongings) -> tuple[Registry, Interrupts]:
    _leave_signals_to_the_server(own)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    _seed_anew()
    registry = load()
    for initialize in registry.worker_inits:
        initialize()
    output.settle_logging()
    leave_if_strayed()
    _leave_signals_to_the_server(own)  # all of that may have changed them
    interrupts = Interrupts(row, own)
    return enforce(registry, rules, row, interrupts), interrupts


def _leave_signals_to_the_server(own: Belongings) -> None:
    # A service manager that stops a whole control group, or Ctrl-C in a terminal, signals every process; only the
    # server acts on it. A handler that does nothing, not SIG_IGN, because programs that a function starts would
    # inherit SIG_IGN and could not be terminated.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        own.handle(number, ignore)


def _seed_anew() -> None:
    # Python reseeds `random` in a forked child, numpy does not: every worker would draw the same numbers.
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is not None:
        numpy_random.seed(random.SystemRandom().getrandbits(32))


def ignore(_signal: int, _frame: FrameType | None) -> None:
    """A handler that does nothing."""


class BrokenStream(Exception):
    """What came through the worker's socket is not the next call: somebody else reads from it or writes to it."""


class _Calls:
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
