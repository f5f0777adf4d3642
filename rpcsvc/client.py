"""The client for ordinary, threaded programs: `AsyncRpcClient`'s machinery on an event loop in a thread of its own.

    any thread: make and encode the call -> inbox -> wake the loop
    the client's thread: publish, match replies, keep time -> resolve the future -> the calling thread goes on

All calls that are made before the loop comes round travel behind one wake-up.
"""

from __future__ import annotations

import asyncio
import atexit
import concurrent.futures
import contextlib
import ctypes
import os
import threading
import weakref
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, Self, TypeVar

from .aio import CallFactory, CallLink, ClientOptions, PendingCall
from .errors import ClientClosed
from .loops import new_event_loop
from .pending import ReplyCounts
from .settings import DEFAULT_CONNECT_TIMEOUT, DEFAULT_QUEUE, DEFAULT_TIMEOUT, BrokerUrl, find_url

T = TypeVar("T")


class RpcFuture(concurrent.futures.Future[Any]):
    """The future of one call.

    Attributes:
        method: the method's name.
        call_id: the call's id (its JSON-RPC id and AMQP correlation_id).
    """

    def __init__(self, method: str, call_id: str) -> None:
        super().__init__()
        self.method = method
        self.call_id = call_id

    def __repr__(self) -> str:
        return f"<RpcFuture {self._state.lower()} of {self.method!r} (call {self.call_id})>"


class RpcClient:
    """Calls functions on the servers of one queue.

        with RpcClient() as client:
            client.call("fib", 30)

    Any number of threads may use one client; it holds one connection and one exclusive callback queue. A process that
    was forked opens a connection of its own at its first call.

    Args:
        url: the broker's; None asks RPCSVC_URL, then the running private node, then guest at localhost.
        queue: where the servers listen.
        timeout: seconds a call waits for its reply, unless the call says otherwise.
        connect_timeout: seconds to open the connection.
        wait_for_server: seconds a call waits for a server to appear on the queue before it ends with NoServer; by
            default none beyond the moment that tells a missing server from a reconnecting one.

    Raises:
        ConnectionFailed: no broker can be reached; AuthenticationFailed and AccessRefused are kinds of it.
        ConfigurationError: an option is wrong.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        queue: str = DEFAULT_QUEUE,
        timeout: float = DEFAULT_TIMEOUT,
        connect_timeout: float = DEFAULT_CONNECT_TIMEOUT,
        wait_for_server: float = 0.0,
    ) -> None:
        self._url = find_url(url)
        self._options = ClientOptions(queue, timeout, connect_timeout, wait_for_server)
        self._calls = CallFactory(self._options)
        self._closed = False
        self._thread = _LinkThread(self._url, self._options)
        _clients.add(self)
        try:
            self._thread.connect()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def call(self, method: str, /, *args: Any, timeout: float | None = None, **kwargs: Any) -> Any:
        """Call a function and wait for its result.

        Args:
            method: the function's name.
            args, kwargs: its arguments. A parameter that is itself named `timeout` is given by position.
            timeout: seconds to wait, above 0; None takes the client's.

        Raises:
            RpcTimeout: no reply came in time.
            NoServer: nobody serves the queue.
            MethodNotFound, InvalidParams: the call does not fit what is served; nothing has run.
            FunctionRaised: the function raised; with its type, message and traceback.
            WorkerLost: the worker process died during the call.
            EncodingError, ResultNotEncodable: an argument, or the result, cannot be carried exactly.
            ConnectionLost, ClientClosed: no reply can come any more.
        """
        future = self.submit(method, *args, timeout=timeout, **kwargs)
        try:
            return future.result()
        except BaseException:
            future.cancel()  # Ctrl-C: nobody waits for it any more
            raise

    def submit(self, method: str, /, *args: Any, timeout: float | None = None, **kwargs: Any) -> RpcFuture:
        """Call a function and return the future of its result at once.

        Raises:
            EncodingError: an argument cannot be carried exactly.
            ClientClosed: the client is closed.
        """
        if self._closed:
            raise ClientClosed("the client is closed")
        call = self._calls.make(method, args, kwargs, timeout, lambda call_id: RpcFuture(method, call_id))
        future = call.outcome
        assert isinstance(future, RpcFuture)
        thread = self._thread
        thread.send(call)
        future.add_done_callback(thread.forget_if_cancelled)
        return future

    @property
    def proxy(self) -> Proxy:
        """Functions as attributes: `client.proxy.fib(30)` is `client.call("fib", 30)`."""
        return Proxy(self.call)

    def close(self) -> None:
        """Close the connection; calls that still wait end with ClientClosed. Closing twice is fine."""
        self._closed = True
        self._thread.close()

    @property
    def pending(self) -> int:
        """How many calls wait for their outcome."""
        return self._thread.pending

    @property
    def dropped_replies(self) -> ReplyCounts:
        """Counts of replies that came late, twice or for nobody."""
        return self._thread.link.dropped_replies

    @property
    def callback_queue(self) -> str | None:
        """The name of the callback queue, or None while there is no connection."""
        return self._thread.link.callback_queue

    def _start_anew(self) -> None:
        """In a forked child: leave the parent's thread and connection alone, and take new ones when needed."""
        _never_free(self._thread)
        self._thread = _LinkThread(self._url, self._options)

    def __repr__(self) -> str:
        return f"<RpcClient {self._thread!r}>"


class Proxy:
    """Attributes that call: `proxy.fib(30)`, and with dotted names `proxy.math.area(2, 3)`."""

    def __init__(self, call: Callable[..., Any], name: str = "") -> None:
        self._call = call
        self._name = name

    def __getattr__(self, name: str) -> Proxy:
        return Proxy(self._call, f"{self._name}.{name}" if self._name else name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._call(self._name, *args, **kwargs)

    def __repr__(self) -> str:
        return f"<Proxy of {self._name!r}>"


class _LinkThread:
    """A CallLink on an event loop in a daemon thread, which starts at the first use."""

    def __init__(self, url: BrokerUrl, options: ClientOptions) -> None:
        self.link = CallLink(url, options)
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._inbox: deque[PendingCall] = deque()
        self._waking = False
        self._closed = False

    @property
    def pending(self) -> int:
        """How many calls wait, those included that the loop has not seen yet."""
        return len(self._inbox) + self.link.pending

    def __repr__(self) -> str:
        return f"{self.link!r}, {len(self._inbox)} in the inbox" if self._inbox else repr(self.link)

    def connect(self) -> None:
        """Open the connection now."""
        self._run(self.link.connect())

    def send(self, call: PendingCall) -> None:
        """Hand a call over to the loop."""
        self._inbox.append(call)
        if not self._waking:
            self._waking = True
            self._wake()

    def forget_if_cancelled(self, future: concurrent.futures.Future[Any]) -> None:
        """A future's done callback."""
        if future.cancelled():
            assert isinstance(future, RpcFuture)
            with contextlib.suppress(RuntimeError):  # the loop is closed
                self._started().call_soon_threadsafe(self.link.forget, future.call_id)

    def close(self) -> None:
        """End every call, the connection and the thread."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            loop, thread = self._loop, self._thread
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
            self._end_inbox()
            loop.close()

    def _run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        try:
            loop = self._started()
        except ClientClosed:
            coroutine.close()
            raise
        return self._run_on(loop, coroutine)

    def _run_on(self, loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, loop).result()


# ---- fork -------------------------------------------------------------------------------------------------------

_clients: weakref.WeakSet[RpcClient] = weakref.WeakSet()


def _never_free(thing: object) -> None:
    """Keep an object, and what it holds, until the process ends.

    A forked child shares the parent's epoll instance and sockets. Freeing the loop or a transport there would remove
    the parent's sockets from the parent's epoll set.
    """
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))


def _after_fork_in_child() -> None:
    for client in list(_clients):
        client._start_anew()


os.register_at_fork(after_in_child=_after_fork_in_child)


def _close_at_exit() -> None:
    # A connection that nobody closed would stand in the broker's log as a client that crashed.
    for client in list(_clients):
        client.close()


atexit.register(_close_at_exit)
