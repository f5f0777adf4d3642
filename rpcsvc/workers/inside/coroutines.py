"""Functions that are coroutines: they run on one event loop in the worker, in a thread of its own.

    a thread with a slot ──the call──> event loop: a task ──its outcome──> that thread, which waits for it

So a message has its thread and its slot, whatever its function is; as many tasks run at a time as messages do. What
ends a call softly cancels its task: `CancelledError` is raised where it waits, and what it does then, with `await` too,
is waited for. If it ends by that, the call ends with what had been the reason; if it returns something, with that.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from contextvars import copy_context
from typing import Any

from . import exceptions as raising
from .own import leave
from .stops import Ticket, wait

_LOOK_EVERY = 0.05
"""Seconds."""


class Loop:
    """An event loop in a thread of its own, which begins with this."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._run, name="rpcsvc-loop", daemon=True).start()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        while True:
            with contextlib.suppress(KeyboardInterrupt, SystemExit):  # a task that a function has left behind
                self._loop.run_forever()

    def begin(self, task: Task) -> None:
        """Have a task run, with what is in the context of this thread."""
        context = copy_context()
        self._loop.call_soon_threadsafe(lambda: task.begin(self._loop.create_task(task.keep(), context=context)))

    def soon(self, call: Callable[[], object]) -> None:
        """Have something called there."""
        self._loop.call_soon_threadsafe(call)


class Task(Ticket):
    """One call of a coroutine function. It may be stopped, once."""

    __slots__ = ("_call", "_ended", "_error", "_is_over", "_loop", "_reason", "_task", "_value")

    def __init__(self, loop: Loop) -> None:
        super().__init__()
        self._loop = loop
        self._call: Callable[[], Any] | None = None
        self._task: asyncio.Task[None] | None = None
        self._value: Any = None
        self._error: BaseException | None = None
        self._reason: BaseException | None = None
        self._is_over = False
        self._ended = threading.Lock()
        self._ended.acquire()

    # ---- in the thread of the loop

    def begin(self, task: asyncio.Task[None]) -> None:
        """Note what is to be cancelled, and that it is over when that has ended."""
        self._task = task
        task.add_done_callback(self._end)

    async def keep(self) -> None:
        """Run the coroutine, and keep what becomes of it, for the thread that waits."""
        try:
            assert self._call is not None
            self._value = await self._call()
        except BaseException as error:
            self._error = error
        if raising.strayed:
            leave(self._error)

    def _end(self, task: asyncio.Task[None]) -> None:
        if task.cancelled():  # before its first step
            self._error = asyncio.CancelledError()
        self._is_over = True
        self._ended.release()

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()

    # ---- in other threads

    def run(self, call: Callable[[], Any]) -> Any:
        """Run what a coroutine function gives; what that returns, or raises."""
        self._call = call
        self._loop.begin(self)
        reason = wait(self._ended)
        if reason is not None:
            self._stop(reason)
            while not self._is_over:
                self._ended.acquire(timeout=_LOOK_EVERY)
        return self.outcome()

    def stop(self, error: type[BaseException]) -> bool:
        """Have it cancelled for a reason; whether that is so, or it has ended or was stopped before."""
        if not self._take():
            return False
        self._stop(error())
        return True

    def _stop(self, reason: BaseException) -> None:
        self._reason = reason
        self._loop.soon(self._cancel)

    def outcome(self) -> Any:
        """What it has returned.

        Raises:
            BaseException: what it has raised, or why it was stopped.
        """
        self._take()
        if self._error is None:
            return self._value
        error, self._error = self._error, None  # its traceback knows this object
        if self._reason is not None and isinstance(error, asyncio.CancelledError):
            raise self._reason.with_traceback(None) from None
        raise error
