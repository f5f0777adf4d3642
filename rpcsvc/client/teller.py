"""Helper threads that tell the standard library of outcomes: they may wait for locks, a client's own thread may not."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from _queue import SimpleQueue  # the real one, also where `queue` has been patched

from .futures import PATIENCE, RpcFuture

_STUCK_AFTER, _MOST_HELPERS = 0.05, 32
"""Seconds without one that was told of, after which another helper starts; and how many there are at most."""


class Teller:
    """The helper threads of one client, which tell the standard library of outcomes; they start when they are needed.

    One does, until it stands at a lock inside of what waits (an event's, say), held by a thread that a signal handler
    has interrupted. The handler may wait for another future that is to be told of; so then a second thread goes on.
    """

    def __init__(self) -> None:
        self._futures: SimpleQueue[RpcFuture | None] = SimpleQueue()
        self._threads = 0
        self._progress, self._progress_seen = 0, 0  # it grows while they get on
        self._look: asyncio.TimerHandle | None = None

    def add(self, future: RpcFuture) -> None:
        """Have one told of. For the client's own thread only."""
        self._futures.put(future)
        if not self._threads:
            self._start()
        if self._look is None:
            with contextlib.suppress(RuntimeError):  # its loop has ended: the last futures of a client that is closed
                self._look_later(asyncio.get_running_loop())

    def end(self) -> None:
        """End the threads, when all are told of."""
        self._futures.put(None)

    def _start(self) -> None:
        self._threads += 1
        threading.Thread(target=self._live, name="rpcsvc-teller", daemon=True).start()

    def _look_later(self, loop: asyncio.AbstractEventLoop) -> None:
        self._look = loop.call_later(_STUCK_AFTER, self._look_now, loop)

    def _look_now(self, loop: asyncio.AbstractEventLoop) -> None:
        self._look = None
        if not self._futures.empty():
            if self._progress == self._progress_seen and self._threads < _MOST_HELPERS:
                self._start()
            self._look_later(loop)
        self._progress_seen = self._progress

    def _live(self) -> None:
        while (future := self._futures.get()) is not None or not self._futures.empty():
            if future is None:
                self._futures.put(None)  # after the others
            elif not future.tell_the_standard_library(PATIENCE):
                self._futures.put(future)  # its lock's holder was interrupted, perhaps to wait for another future
            self._progress += 1
            del future  # the last one would live until the next comes
        self._futures.put(None)  # for the next thread
