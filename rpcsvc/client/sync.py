"""The client for ordinary, threaded programs."""

from __future__ import annotations

import atexit
import ctypes
import math
import os
import ssl
import warnings
import weakref
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, Literal, Self, cast

from ..errors import ClientClosed
from ..settings import DEFAULT_CONNECT_TIMEOUT, DEFAULT_QUEUE, DEFAULT_TIMEOUT, find_urls
from ..settings.client import DEFAULT_MAX_IN_FLIGHT, DEFAULT_PATIENCE, ClientOptions
from ..settings.options import SSL_CONTEXT, URL, documented, options_of
from ..wire.names import MAP
from ..wire.sizes import AUTO, Setting
from . import own_thread
from .calls import CallFactory
from .casting import CastFactory
from .casts import Casts
from .events import Events
from .futures import RpcFuture, Waiter
from .map import MapResults
from .pending import ReplyCounts
from .portal import LinkThread
from .published import EventFactory


@documented(URL, *options_of(ClientOptions), SSL_CONTEXT)
class RpcClient(Casts, Events):
    """Calls functions on the servers of one queue.

        with RpcClient() as client:
            client.call("fib", 30)

    Any number of threads may use one client, and signal handlers and finalizers too; it holds one connection and one
    exclusive callback queue, and a thread of its own. On that thread done callbacks run, and what would wait there
    raises OutOfPlace. A process that was forked opens a connection of its own at its first call.

    Close it, or use it in a `with` block. One that nobody has any more, and that none of its futures waits for, closes
    with a ResourceWarning, as files do.

    Args:
        {options}

    Raises:
        ConnectionFailed: no broker can be reached; AuthenticationFailed, AccessRefused and TlsFailed are kinds of it.
        ConfigurationError: an option is wrong.
    """

    def __init__(
        self,
        url: str | Sequence[str] | None = None,
        *,
        queue: str = DEFAULT_QUEUE,
        timeout: float | None = DEFAULT_TIMEOUT,
        connect_timeout: float = DEFAULT_CONNECT_TIMEOUT,
        wait_for_server: float = 0.0,
        patience: float = DEFAULT_PATIENCE,
        max_in_flight: int = DEFAULT_MAX_IN_FLIGHT,
        pack: bool = True,
        max_request: Setting = AUTO,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self._urls = find_urls(url).over(ssl_context)
        del url  # what shows the variables of a traceback would show its password
        seconds = math.inf if timeout is None else timeout
        self._options = ClientOptions(
            queue=queue,
            timeout=seconds,
            connect_timeout=connect_timeout,
            wait_for_server=wait_for_server,
            patience=patience,
            max_in_flight=max_in_flight,
            pack=pack,
            max_request=max_request,
        )
        self._calls = CallFactory(self._options)
        self._casts = CastFactory(self._options, self._calls.limit)
        self._published = EventFactory(self._options, self._calls.limit)
        self._closed = False
        self._thread = LinkThread(self._urls, self._options, self._calls)
        key = id(self)
        _clients[key] = weakref.ref(self, lambda _: _clients.pop(key, None))
        try:
            self._thread.connect()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        thread: LinkThread | None = getattr(self, "_thread", None)
        if thread is not None and thread.is_alive:
            shown = repr(self)
            thread.begin_to_close()  # first, because the warning may raise
            warnings.warn(f"unclosed {shown}; close it, or use it in a with block", ResourceWarning, 2, source=self)

    def call(self, method: str, /, *args: Any, timeout: float | None = None, **kwargs: Any) -> Any:
        """Call a function and wait for its result.

        Args:
            method: the function's name.
            args, kwargs: its arguments. A parameter that is itself named `timeout` is given by position.
            timeout: seconds to wait, above 0; None takes the client's, `math.inf` is none.

        Raises:
            RpcTimeout: no reply came in time.
            NoServer: nobody serves the queue.
            MethodNotFound, InvalidParams: the call does not fit what is served; nothing has run.
            FunctionRaised: the function raised; with its type, message and traceback.
            WorkerLost: the worker process died during the call.
            EncodingError, ResultNotEncodable: an argument, or the result, cannot be carried exactly, or is too large.
            ConnectionLost, ClientClosed: no reply can come any more.
            OutOfPlace: it would wait on a client's own thread, for instance in a done callback.
        """
        self._check_may_wait("call()")
        answer = Waiter()
        return self._thread.call(self._calls.make(method, args, kwargs, timeout, lambda _: answer), answer)

    def submit(self, method: str, /, *args: Any, timeout: float | None = None, **kwargs: Any) -> RpcFuture:
        """Call a function and return the future of its result at once. Arguments are those of `call`.

        Raises:
            EncodingError: an argument cannot be carried exactly.
            ClientClosed: the client is closed.
        """
        if self._closed:
            raise ClientClosed("the client is closed")
        call = self._calls.make(method, args, kwargs, timeout, lambda call_id: RpcFuture(method, call_id, self))
        future = cast(RpcFuture, call.outcome)
        future.request_bytes = call.size
        self._thread.send(call, future)
        return future

    def map(
        self,
        method: str,
        /,
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int | Literal["auto"] = "auto",
        ordered: bool = True,
        return_exceptions: bool = False,
    ) -> MapResults:
        """Call a function for each item of an iterable (or of several, side by side), and iterate over the results.

        Results stream in while arguments are still being read; only a bounded number of calls is under way. Tiny calls
        travel many to a message, long ones alone.

        Args:
            method: the function's name.
            iterables: the positional arguments; the shortest one ends it.
            timeout: seconds for each message, as for `call`. One that is sent ahead, because they are quick, has as
                much again for every one before it that its worker may have to compute first.
            chunksize: calls to a message; "auto" measures, and aims at a few milliseconds of work.
            ordered: whether results come in the order of the arguments, or as they are ready.
            return_exceptions: whether a failed item is given as its exception, rather than raised at its place; after
                a raise, the next item is there all the same.

        Raises:
            ConfigurationError: no iterable, or a chunksize out of range.
        """
        results = MapResults(
            partial(self.submit, MAP),
            method,
            iterables,
            timeout=self._options.timeout if timeout is None else timeout,
            chunksize=chunksize,
            ordered=ordered,
            return_exceptions=return_exceptions,
            workers=self._thread.workers,
            submit_call=self.submit,
            understanding=self._thread.link.understanding,
        )
        self._thread.see_workers(self._options.connect_timeout)
        results.begin()
        return results

    @property
    def proxy(self) -> Proxy:
        """Functions as attributes: `client.proxy.fib(30)` is `client.call("fib", 30)`."""
        return Proxy(self.call)

    def close(self) -> None:
        """Close the connection; calls that still wait end with ClientClosed. Closing twice is fine.

        It returns when all has ended; on a client's own thread (in a done callback) before that.
        """
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

    def _check_may_wait(self, what: str) -> None:
        own_thread.refuse_to_wait(what)
        if self._closed:
            raise ClientClosed("the client is closed")

    def _start_anew(self) -> None:
        """In a forked child: leave the parent's thread and connection alone, and take new ones when needed."""
        _never_free(self._thread)
        self._thread.is_of_parent = True
        self._thread = LinkThread(self._urls, self._options, self._calls)

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


# ---- fork -------------------------------------------------------------------------------------------------------

_clients: dict[int, weakref.ref[RpcClient]] = {}
"""By identity. A dictionary's values are copied in one step, whoever adds or drops a client meanwhile."""


def _living() -> list[RpcClient]:
    return [client for reference in list(_clients.values()) if (client := reference()) is not None]


def _never_free(thing: object) -> None:
    """Keep an object, and what it holds, until the process ends.

    A forked child shares the parent's epoll instance and sockets. Freeing the loop or a transport there would remove
    the parent's sockets from the parent's epoll set.
    """
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))


def _after_fork_in_child() -> None:
    own_thread.forget()
    for client in _living():
        client._start_anew()


os.register_at_fork(after_in_child=_after_fork_in_child)


def _close_at_exit() -> None:
    # A connection that nobody closed would stand in the broker's log as a client that crashed.
    for client in _living():
        client.close()


atexit.register(_close_at_exit)
