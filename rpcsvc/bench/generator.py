"""One thread that calls, on a plan.

    closed, 1 in flight   call, call, call …                                  plain `RpcClient.call`
    closed, K in flight   submit until K are under way; each end makes room   ┐ ends come from the client's thread
    open                  submit what is due by now; ends are only noted      ┘ through a queue, with their time

Rules: a latency counts from the *intended* start. In an open loop that is the schedule's, so a call that could not be
sent in time has waited already (no coordinated omission). What is under way is bounded; a call that is due while the
bound is reached waits in the schedule, which takes no memory.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from ..errors import ClientClosed, ConnectionFailed, ConnectionLost, FunctionRaised, NoServer, RpcError
from .load import Load
from .schedule import intended_starts, not_reached
from .tally import Tally

_clock = time.monotonic
_LOOK_EVERY = 0.1
"""Seconds between looks at the clock and the stop event while nothing happens."""
_BACK_OFF = 0.02
"""Seconds without a new call after one that found no way to a server: it would fail at once, again and again."""
_GRACE = 2.0
"""Seconds after its time-out at which a call that has not ended is given up."""
_NO_WAY = (ClientClosed, ConnectionFailed, ConnectionLost, NoServer)


class Future(Protocol):
    """The future that `submit` returns, as far as it is used here."""

    def exception(self) -> BaseException | None: ...
    def add_done_callback(self, done: Callable[[Any], object], /) -> None: ...


class Client(Protocol):
    """The client that is called: an RpcClient."""

    def call(self, method: str, /, *args: Any, timeout: float | None = None, **kwargs: Any) -> Any: ...
    def submit(self, method: str, /, *args: Any, timeout: float | None = None, **kwargs: Any) -> Future: ...


def generate(client: Client, load: Load, number: int, tally: Tally, stop: threading.Event) -> None:
    """Call until the window has ended and what is under way has too, or `stop` is set.

    Args:
        number: which of the load's generators this is, from 0.
    """
    if not load.is_open and load.most_under_way == 1:
        _one_after_the_other(client, load, tally, stop)
    else:
        _Submitter(client, load, number, tally, stop).run()


def error_name(error: BaseException) -> str:
    """What an error is counted as: its class, and what was raised where a function did."""
    name = type(error).__name__
    if isinstance(error, FunctionRaised) and error.exception_type:
        return f"{name}: {error.exception_type}"
    return name


def _one_after_the_other(client: Client, load: Load, tally: Tally, stop: threading.Event) -> None:
    method, args, kwargs = load.call()
    call, end = client.call, tally.window.end
    while (started := _clock()) < end and not stop.is_set():
        tally.note_sent(started, started)
        try:
            call(method, *args, timeout=load.timeout, **kwargs)
        except RpcError as error:
            ended = _clock()
            if stop.is_set():
                tally.note_unfinished(started)
                return
            tally.note_ended(started, ended, error_name(error))
            if isinstance(error, _NO_WAY):
                stop.wait(_BACK_OFF)
        else:
            tally.note_ended(started, _clock(), None)


class _Submitter:
    """Calls with `submit`, and takes their ends from a queue."""

    def __init__(self, client: Client, load: Load, number: int, tally: Tally, stop: threading.Event) -> None:
        self._submit = client.submit
        self._load = load
        self._method, self._args, self._kwargs = load.call()
        self._tally = tally
        self._stop = stop
        self._most = load.most_under_way
        self._ended: queue.SimpleQueue[tuple[Future, float, float]] = queue.SimpleQueue()
        self._under_way: dict[Future, float] = {}
        self._not_before = 0.0
        self._starts: Iterator[float] | None = None
        self._next = 0.0
        if load.is_open:
            self._starts = intended_starts(load, number, tally.window.begin)
            self._next = next(self._starts)

    def run(self) -> None:
        """Send and take until the end; then only take."""
        end = self._tally.window.end
        while (now := _clock()) < end and not self._stop.is_set():
            self._send(now)
            self._take(min(self._pause(), end - now))
        if self._starts is not None and not self._stop.is_set():
            first = max(self._next, self._tally.window.start)
            self._tally.never_sent += not_reached(self._load, first, end)
        give_up = end + self._load.timeout + _GRACE
        while self._under_way and _clock() < give_up and not self._stop.is_set():
            self._take(_LOOK_EVERY)
        for intended in self._under_way.values():
            self._tally.note_unfinished(intended)

    def _send(self, now: float) -> None:
        """Send what is due and may go."""
        if now < self._not_before:
            return
        if self._starts is None:
            while len(self._under_way) < self._most:
                started = _clock()
                if not self._send_one(started, started):
                    return
            return
        start, end = self._tally.window.start, self._tally.window.end
        while self._next < start <= now:  # of the warm-up, and not sent in it: the window begins without a backlog
            self._next = next(self._starts)
        while self._next <= now < end and len(self._under_way) < self._most:
            intended = self._next
            self._next = next(self._starts)
            if not self._send_one(intended, now):
                return
            now = _clock()

    def _send_one(self, intended: float, now: float) -> bool:
        """Send a call; False if that failed."""
        self._tally.note_sent(intended, now)
        try:
            future = self._submit(self._method, *self._args, timeout=self._load.timeout, **self._kwargs)
        except RpcError as error:
            self._note(intended, _clock(), error)
            return False
        self._under_way[future] = intended
        ended = self._ended.put
        future.add_done_callback(lambda done: ended((done, intended, _clock())))
        return True

    def _pause(self) -> float:
        """Seconds until something may be due that no end of a call tells of."""
        now = _clock()
        if now < self._not_before:
            return self._not_before - now
        if self._starts is None or len(self._under_way) >= self._most:
            return _LOOK_EVERY
        return min(_LOOK_EVERY, max(0.0, self._next - now))

    def _take(self, seconds: float) -> None:
        """Wait for the end of a call, and note all that have come."""
        try:
            if seconds > 0:
                self._take_one(*self._ended.get(timeout=seconds))
            # Bounded: those that come meanwhile must not keep the next call from being sent.
            for _ in range(len(self._under_way)):
                self._take_one(*self._ended.get_nowait())
        except queue.Empty:
            return

    def _take_one(self, future: Future, intended: float, ended: float) -> None:
        del self._under_way[future]
        self._note(intended, ended, future.exception())

    def _note(self, intended: float, ended: float, error: BaseException | None) -> None:
        if error is None:
            self._tally.note_ended(intended, ended, None)
        elif self._stop.is_set():
            self._tally.note_unfinished(intended)
        else:
            self._tally.note_ended(intended, ended, error_name(error))
            if isinstance(error, _NO_WAY):
                self._not_before = ended + _BACK_OFF
