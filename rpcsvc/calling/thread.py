"""A link on an event loop in a thread of its own, for programs with threads.

    any thread: make and encode the call -> inbox -> wake the loop
    the link's thread: publish, match replies, keep time -> resolve the future -> the calling thread goes on

All calls that are made before the loop comes round travel behind one wake-up.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import threading
import time
from collections import deque
from collections.abc import Coroutine
from typing import Any, TypeVar, cast

from ..errors import ClientClosed, RpcError, RpcTimeout
from ..loops import new_event_loop
from ..settings import BrokerUrls
from .calls import CallFactory, ClientOptions, PendingCall
from .link import CallLink

T = TypeVar("T")


class RpcFuture(concurrent.futures.Future[Any]):
    """The future of one call.

    `cancel` ends it if the call has no outcome yet, and tells the servers: the call does not start, or is stopped.

    Attributes:
        method: the method's name.
        call_id: the call's id (its JSON-RPC id and AMQP correlation_id).
        request_bytes: the size of its arguments as they travel.
    """

    def __init__(self, method: str, call_id: str) -> None:
        super().__init__()
        self.method = method
        self.call_id = call_id
        self.request_bytes = 0

    def __repr__(self) -> str:
        return f"<RpcFuture {self._state.lower()} of {self.method!r} (call {self.call_id})>"


class Waiter:
    """The outcome of a call whose thread waits for it: what a future is, without what that thread does not need."""

    __slots__ = ("_error", "_lock", "_result")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()
        self._result: Any = None
        self._error: BaseException | None = None

    def done(self) -> bool:
        """Whether there is an outcome."""
        return not self._lock.locked()

    def set_result(self, result: Any, /) -> None:
        """The call has its result."""
        self._result = result
        self._lock.release()

    def set_exception(self, exception: BaseException, /) -> None:
        """The call has its error."""
        self._error = exception
        self._lock.release()

    def wait(self) -> Any:
        """The result, when there is one; or raise the error."""
        with self._lock:
            if self._error is not None:
                raise self._error
            return self._result


class LinkThread:
    """A CallLink on an event loop in a daemon thread, which starts at the first use."""

    def __init__(self, url: BrokerUrls, options: ClientOptions, calls: CallFactory) -> None:
        self.link = CallLink(url, options, calls)
        self._room = _Room(options.max_in_flight)
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._inbox: deque[PendingCall] = deque()
        self._waking = False
        self._closed = False
        self._is_over = False

    @property
    def pending(self) -> int:
        """How many calls wait, those included that the loop has not seen yet."""
        return len(self._inbox) + self.link.pending

    def __repr__(self) -> str:
        return f"{self.link!r}, {len(self._inbox)} in the inbox" if self._inbox else repr(self.link)

    def connect(self) -> None:
        """Open the connection now."""
        self._run(self.link.connect())

    def workers(self) -> int:
        """How many workers were seen behind the queue; at least 1."""
        return self.link.workers()

    def see_workers(self, timeout: float) -> None:
        """Look how many there are, if nobody looked yet; for at most so many seconds."""
        if not self.link.has_seen_workers and threading.current_thread() is not self._thread:
            with contextlib.suppress(RpcError):
                self._run(self.link.see_workers(timeout))

    def send(self, call: PendingCall, future: RpcFuture) -> None:
        """Begin a call, when there is room for it; its outcome comes to `future`."""
        if not self._room.enter(call.deadline, is_loop=threading.current_thread() is self._thread):
            future.set_exception(self._no_room(call))
            return
        future.add_done_callback(self._ended)
        self._put(call)

    def call(self, call: PendingCall, answer: Waiter) -> Any:
        """Begin a call, and wait for its outcome, which comes to `answer`."""
        if not self._room.enter(call.deadline, is_loop=threading.current_thread() is self._thread):
            raise self._no_room(call)
        try:
            self._put(call)
            return answer.wait()
        except BaseException:
            if not answer.done():  # Ctrl-C: nobody waits for it any more
                self._forget(call.call_id)
            raise
        finally:
            self._room.leave()

    def _no_room(self, call: PendingCall) -> RpcError:
        if self._closed:
            return ClientClosed("the client was closed while the call waited to be sent")
        return RpcTimeout(call.method, call.timeout, call.call_id)

    def _put(self, call: PendingCall) -> None:
        self._inbox.append(call)
        if self._is_over:
            self._end_inbox()
        elif not self._waking:
            self._waking = True
            self._wake()

    def _ended(self, future: concurrent.futures.Future[Any]) -> None:
        """A future's done callback."""
        self._room.leave()
        if future.cancelled():
            self._forget(cast(RpcFuture, future).call_id)

    def _forget(self, call_id: str) -> None:
        with contextlib.suppress(RuntimeError, ClientClosed):  # the loop is closed
            self._started().call_soon_threadsafe(self.link.forget, call_id)

    def close(self) -> None:
        """End every call, the connection and the thread."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            loop, thread = self._loop, self._thread
        self._room.close()
        if loop is None or thread is None:
            self._end_inbox()
            return
        self._run_on(loop, self.link.close())
        loop.call_soon_threadsafe(loop.stop)
        if thread is not threading.current_thread():
            thread.join()

    def _wake(self) -> None:
        try:
            self._started().call_soon_threadsafe(self._take_inbox)
        except (RuntimeError, ClientClosed):  # closed in between
            self._end_inbox()

    def _take_inbox(self) -> None:
        # Cleared first: a call that arrives from here on wakes the loop again.
        self._waking = False
        inbox = self._inbox
        while inbox:
            self.link.send(inbox.popleft())
        self.link.flush()

    def _end_inbox(self) -> None:
        while self._inbox:
            with contextlib.suppress(concurrent.futures.InvalidStateError, IndexError):
                self._inbox.popleft().outcome.set_exception(ClientClosed("the client is closed"))

    # ---- the thread

    def _started(self) -> asyncio.AbstractEventLoop:
        if self._loop is not None:
            return self._loop
        with self._lock:
            if self._closed:
                raise ClientClosed("the client is closed")
            if self._loop is None:
                loop = new_event_loop()
                self._thread = threading.Thread(target=self._live, args=(loop,), name="rpcsvc-client", daemon=True)
                self._thread.start()
                self._loop = loop
        return self._loop

    def _live(self, loop: asyncio.AbstractEventLoop) -> None:
        asyncio.set_event_loop(loop)
        try:
            loop.run_forever()
        finally:
            loop.close()
            # In this order: who puts a call into the inbox after this sees the flag, and ends the call itself.
            self._is_over = True
            self._end_inbox()

    def _run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        try:
            loop = self._started()
        except ClientClosed:
            coroutine.close()
            raise
        return self._run_on(loop, coroutine)

    def _run_on(self, loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, loop).result()


class _Room:
    """Counts the calls that wait, and makes callers wait beyond a limit: a slow broker slows its callers down."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._count = 0
        self._changed = threading.Condition(threading.Lock())
        self._queueing = 0
        self._closed = False

    def enter(self, deadline: float, *, is_loop: bool) -> bool:
        """Take a place, waiting for one until `deadline` on the monotonic clock; whether there was one.

        Args:
            is_loop: the loop's own thread must not wait: it is the one that makes room.
        """
        with self._changed:
            if self._count >= self._limit and not is_loop:
                self._queueing += 1
                try:
                    remaining = deadline - time.monotonic()
                    self._changed.wait_for(lambda: self._count < self._limit or self._closed, max(0.0, remaining))
                    if self._count >= self._limit or self._closed:
                        return False
                finally:
                    self._queueing -= 1
            self._count += 1
            return True

    def leave(self) -> None:
        """Give the place back."""
        with self._changed:
            self._count -= 1
            if self._queueing:
                self._changed.notify()

    def close(self) -> None:
        """Send everybody away who waits for a place."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
