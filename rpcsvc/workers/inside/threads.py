"""Several messages at a time in one worker, each in a thread with a slot of its own on the scoreboard.

    socket ──> main thread ──a message, and the slot that it has on the scoreboard──> a thread that is free
       ^                                                                                    │
       └──────────────────────────────an answer, whole, in any order────────────────────────┘

The main thread reads, and hears signals; it runs no function. It notes a message on the scoreboard before it hands it
over, so messages are taken in their order. The server gives no more of them than there are threads, and a thread is
free before its answer goes out: one is free for each message that comes.

A process that functions have forked has only the thread that forked, and ends where its function does.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable
from contextvars import copy_context
from functools import partial
from queue import SimpleQueue
from types import FrameType
from typing import Any

from ...functions.function import Function
from ...functions.registration import Registry
from ...host import logs
from ...settings.limits import Limits
from .. import output
from ..job import Context
from ..memory import private_bytes
from ..pipe import FAILURE, HEADER, NO_RESPONSE, RESULT, frame
from ..scoreboard import Row, Slot
from . import context
from .casts import do
from .dispatch import Rules, dispatch
from .exceptions import SoftLimit, StopCall, Stray
from .incoming import BrokenStream, Calls
from .interrupts import CANCEL_SIGNAL
from .limits import new_tasks
from .own import Belongings, leave
from .spent import Spending
from .stops import Clock, Stopped, Ticket, soft_limit

_JOIN_BELOW = 64 * 1024
"""Answers up to this many bytes are copied behind their header, to be sent by one system call."""


class Thread(threading.Thread):
    """A thread that computes one message at a time.

    Attributes:
        slot: its numbers on the scoreboard.
        message: the number of the one that it has, or had last; written by the main thread.
        ticket: of the function that runs in it, or ran last.
        began: when its message began, in seconds of `time.perf_counter`.
        has_failed: whether its answer is an error, or has errors in it.
    """

    def __init__(self, number: int, slot: Slot, compute: Callable[[bytes, bytes | None], None]) -> None:
        super().__init__(name=f"rpcsvc-{number}", daemon=True)
        self.slot = slot
        self.message = 0
        self.ticket: Ticket | None = None
        self.began = 0.0
        self.has_failed = False
        self._compute = compute
        self._messages: SimpleQueue[tuple[float, bytes, bytes | None] | None] = SimpleQueue()

    def give(self, message: int, ends: float, body: bytes, told: bytes | None) -> None:
        """Give it a message.

        Args:
            message: its number.
            ends: its deadline on the monotonic clock; 0 for none.
            body: what came.
            told: the context that came with it, if any.
        """
        self.slot.take(message)
        self.message = message
        self._messages.put((ends, body, told))

    def end(self) -> None:
        """Have it end when it is over what it has, and wait for that."""
        self._messages.put(None)
        self.join()

    def run(self) -> None:
        """Compute what it is given."""
        while (given := self._messages.get()) is not None:
            self.began, self.has_failed = time.perf_counter(), False
            copy_context().run(self._run, *given)  # what a function sets of its own there ends with its message

    def _run(self, ends: float, body: bytes, told: bytes | None) -> None:
        context.begin(ends or None)
        self._compute(body, told)


class Threads:
    """The threads of a worker, which begin at once.

    Args:
        registry: the functions.
        rules: what they may do; `threads` says how many there are.
        row: the worker's numbers, with a slot for each.
        channel: the socket.
        own: what is the worker's own.

    Raises:
        RuntimeError: they cannot be started.
    """

    def __init__(self, registry: Registry, rules: Rules, row: Row, channel: socket.socket, own: Belongings) -> None:
        self._rules, self._row, self._channel, self._own = rules, row, channel, own
        self._cancelled: frozenset[int] = frozenset()
        self._writing = threading.Lock()
        self._failure: BaseException | None = None
        self._registry = self._limited(registry)
        context.keep_apart()
        logs.use_seconds(_seconds)
        logs.note_failures(_note_failure)
        self._threads = [Thread(number, slot, self._compute) for number, slot in enumerate(row.slots, 1)]
        self._free = self._threads[::-1]
        own.handle(CANCEL_SIGNAL, self._cancel)
        for thread in self._threads:
            thread.start()

    def serve(self, calls: Calls) -> None:
        """Hand over messages until the other end closes, and wait for the end of what runs then."""
        ends = self._row.ends
        while (body := calls.next()) is not None:
            if not self._free:
                raise BrokenStream(f"call {calls.number} came where all threads had one")
            told, calls.context = calls.context, None
            self._free.pop().give(calls.number, ends[calls.number % len(ends)], body, told)
        if self._failure is not None:
            raise self._failure
        for thread in self._threads:
            thread.end()

    # ---- in the threads

    def _compute(self, body: bytes, told: bytes | None) -> None:
        thread = _this_thread()
        response = None
        try:
            if thread.message not in self._cancelled:
                response = self._dispatch(thread.slot, body, told)
        except StopCall:
            pass
        except Stray as stray:
            leave(stray.error)
        except BaseException as error:
            self._end(error)
        if os.getpid() != self._own.pid:
            leave(None)  # forked where Python does not see it
        output.flush()
        message, kind = thread.message, FAILURE if thread.has_failed else RESULT
        self._free.append(thread)  # before its answer is out, after which the next message may come
        self._answer(message, kind, response)

    def _dispatch(self, slot: Slot, body: bytes, told: bytes | None) -> bytes | None:
        if told is None:
            return dispatch(self._registry, body, self._rules, slot.item, time.perf_counter)
        given = Context.read(told)
        with Spending(slot, given):
            return do(self._registry, body, given, self._rules, progress=slot.item, clock=time.perf_counter)

    def _answer(self, message: int, kind: int, response: bytes | None) -> None:
        try:
            with self._writing:
                if response is None:
                    self._channel.sendall(frame(NO_RESPONSE, message))
                elif len(response) <= _JOIN_BELOW:
                    self._channel.sendall(frame(kind, message, response))
                else:
                    self._channel.sendall(HEADER.pack(kind, message, len(response)))
                    self._channel.sendall(response)
        except BaseException as error:
            self._end(error)

    def _end(self, error: BaseException) -> None:
        """Have the main thread end this process: an answer could not be given."""
        self._failure = self._failure or error
        with contextlib.suppress(OSError):
            self._channel.shutdown(socket.SHUT_RDWR)

    # ---- what ends a call softly

    def _cancel(self, _signal: int, _frame: FrameType | None) -> None:
        """Stop what is cancelled. What is in no function just now is stopped when the signal comes again."""
        self._cancelled = self._row.cancelled
        for thread in self._threads:
            if thread.message in self._cancelled and thread.ticket is not None:
                thread.ticket.stop(Stopped)

    def _limited(self, registry: Registry) -> Registry:
        """The registry with every function held to its limits, and to be stopped."""
        defaults = Limits(self._rules.soft_time_limit, self._rules.time_limit, self._rules.memory_limit)
        functions = (*registry, *(handler.function for handler in registry.handlers.values()))
        every = [function.limits.or_else(defaults) for function in functions]
        clock = Clock()
        if any(limits.soft is not None for limits in every):
            clock.start()
        if any(limits.memory is not None for limits in every):
            self._row.memory_at_start = private_bytes(os.getpid())
        tasks = new_tasks(functions)
        return registry.wrapped(lambda function: _limited(function, function.limits.or_else(defaults), clock, tasks))


def _limited(function: Function, limits: Limits, clock: Clock, tasks: Callable[[], Ticket]) -> Callable[..., Any]:
    call, hard = function.call, limits.hard
    new_ticket = tasks if function.is_async else Ticket
    soft, over = limits.soft, soft_limit(limits.soft or 0.0)

    def limited(*args: Any, **kwargs: Any) -> Any:
        thread = _this_thread()
        slot, ticket = thread.slot, new_ticket()
        try:
            slot.memory_limit = limits.memory or 0
            slot.deadline = 0 if hard is None else time.monotonic_ns() + int(hard * 1e9)
            if soft is not None:
                clock.set(ticket, soft, over)
            thread.ticket = ticket
            return ticket.run(partial(call, *args, **kwargs))
        except over as error:
            raise SoftLimit(error.message, data=error.data) from None
        finally:
            if soft is not None:
                clock.unset(ticket)
            slot.deadline = slot.memory_limit = 0

    return limited


def _this_thread() -> Thread:
    thread = threading.current_thread()
    assert isinstance(thread, Thread)
    return thread


def _note_failure() -> None:
    """What runs in this thread has failed."""
    _this_thread().has_failed = True


def _seconds() -> float:
    """Seconds since the message of this thread began."""
    return time.perf_counter() - _this_thread().began
