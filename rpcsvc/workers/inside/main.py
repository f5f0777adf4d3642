"""The main loop of a worker process: take a call, compute it, answer; until the server closes the socket.

The worker blocks on its socket, holds no state between calls, and touches no broker. Where it is to compute several at
a time, `threads` has the loop.

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
from collections.abc import Callable
from functools import partial
from types import FrameType

from ...functions.registration import Registry
from ...host import logs
from .. import output
from ..orphans import Zombies
from ..pipe import FAILED, FAILURE, HEADER, LACKS, NO_RESPONSE, READY, RESULT, frame
from ..scoreboard import MAX_GIVEN, Row
from ..shortage import is_passing
from .casts import do
from .context import running
from .dispatch import Rules, dispatch
from .exceptions import StopCall, Stray
from .incoming import Calls
from .interrupts import Interrupts
from .limits import enforce
from .own import Belongings, leave, leave_if_strayed
from .spent import Spending
from .threads import Threads

_JOIN_BELOW = 64 * 1024
"""Payloads up to this many bytes are copied behind their header, to be sent by one system call."""
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
        work = _work(_start(load, own), channel, rules, row, own)
    except BaseException as error:
        leave_if_strayed(error)
        output.flush()
        kind = LACKS if is_passing(error) else FAILED
        channel.sendall(frame(kind, 0, traceback.format_exc().encode(errors="replace")))
        raise SystemExit(1) from None
    channel.sendall(frame(READY, 0))
    work(Calls(channel, zombies))


def _work(
    registry: Registry, channel: socket.socket, rules: Rules, row: Row, own: Belongings
) -> Callable[[Calls], None]:
    """What answers calls until there are none."""
    if rules.threads > 1:
        return Threads(registry, rules, row, channel, own).serve
    interrupts = Interrupts(row, own)
    return partial(_one_by_one, enforce(registry, rules, row, interrupts), channel, rules, interrupts)


def _one_by_one(registry: Registry, channel: socket.socket, rules: Rules, interrupts: Interrupts, calls: Calls) -> None:
    pid, row = os.getpid(), interrupts.row
    slot = row.slots[0]
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
                    context = calls.take_context()
                    with Spending(slot, context):
                        response = do(registry, call, context, rules, progress=slot.item, clock=time.perf_counter)
            else:
                calls.context = None
        except StopCall:
            pass
        except Stray as stray:
            leave(stray.error)
        if os.getpid() != pid:
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


def _send(channel: socket.socket, answers: list[bytes], size: int) -> None:
    if size <= _JOIN_BELOW:
        channel.sendall(b"".join(answers))
    else:
        for each in answers:
            channel.sendall(each)


def _start(load: Callable[[], Registry], own: Belongings) -> Registry:
    _leave_signals_to_the_server(own)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    _seed_anew()
    registry = load()
    for initialize in registry.worker_inits:
        initialize()
    output.settle_logging()
    leave_if_strayed()
    _leave_signals_to_the_server(own)  # all of that may have changed them
    return registry


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
