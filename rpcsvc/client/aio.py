"""The client for asyncio programs."""

from __future__ import annotations

import asyncio
import math
import ssl
import warnings
from collections.abc import Sequence
from typing import Any, Self

from ..errors import OutOfPlace
from ..settings import DEFAULT_CONNECT_TIMEOUT, DEFAULT_QUEUE, DEFAULT_TIMEOUT, find_urls
from ..settings.client import DEFAULT_PATIENCE, ClientOptions
from ..wire.sizes import AUTO, Setting
from .calls import CallFactory
from .casting import CastFactory
from .casts import AsyncCasts
from .events import AsyncEvents
from .link import CallLink
from .published import EventFactory


class AsyncRpcClient(AsyncCasts, AsyncEvents):
    """Calls functions on the servers of one queue, from an asyncio program.

        async with AsyncRpcClient() as client:
            await client.call("fib", 30)

    Arguments, behaviour and errors are those of `RpcClient`. It belongs to the event loop on which it is first used,
    and raises OutOfPlace on any other: each `asyncio.run`, each thread and each forked process has one of its own.
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
        pack: bool = True,
        max_request: Setting = AUTO,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        urls = find_urls(url).over(ssl_context)
        del url  # what shows the variables of a traceback would show its password
        seconds = math.inf if timeout is None else timeout
        options = ClientOptions(
            queue=queue,
            timeout=seconds,
            connect_timeout=connect_timeout,
            wait_for_server=wait_for_server,
            patience=patience,
            pack=pack,
            max_request=max_request,
        )
        self._calls = CallFactory(options)
        self._casts = CastFactory(options, self._calls.limit)
        self._published = EventFactory(options, self._calls.limit)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False
        self._link = CallLink(urls, options, self._calls)

    async def __aenter__(self) -> Self:
        await self.connect()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def __del__(self) -> None:
        loop: asyncio.AbstractEventLoop | None = getattr(self, "_loop", None)
        if loop is None or self._closed:
            return
        shown, link = repr(self), self._link
        if not loop.is_closed():
            # Here may be any thread. The loop keeps what it is told to do; the client is gone by then.
            loop.call_soon_threadsafe(lambda: _closings.add(loop.create_task(_close(link))))
        warnings.warn(f"unclosed {shown}; close it, or use it in an async with block", ResourceWarning, 2, source=self)

    async def connect(self) -> None:
        """Connect now rather than at the first call.

        Raises:
            ConnectionFailed, AuthenticationFailed, AccessRefused, TlsFailed
            OutOfPlace: it belongs to another event loop.
        """
        self._on_its_loop()
        await self._link.connect()

    async def close(self) -> None:
        """Close the connection; calls that still wait end with ClientClosed. Closing twice is fine."""
        if self._loop is not None and self._loop.is_closed():
            self._closed = True  # and all that it had ended with its loop
            return
        self._on_its_loop()
        self._closed = True
        await self._link.close()

    async def call(self, method: str, /, *args: Any, timeout: float | None = None, **kwargs: Any) -> Any:
        """Call a function and wait for its result; see `RpcClient.call`."""
        return await self.submit(method, *args, timeout=timeout, **kwargs)

    def submit(self, method: str, /, *args: Any, timeout: float | None = None, **kwargs: Any) -> asyncio.Future[Any]:
        """Call a function and return a future of its result.

        Raises:
            OutOfPlace: it belongs to another event loop, or none runs here.
        """
        future: asyncio.Future[Any] = self._on_its_loop().create_future()
        call = self._calls.make(method, args, kwargs, timeout, lambda _: future)
        # It knows the client, so that one whose calls are awaited is not dropped.
        future.add_done_callback(lambda done: self._link.forget(call.call_id) if done.cancelled() else None)
        self._link.send(call)
        return future

    def _on_its_loop(self) -> asyncio.AbstractEventLoop:
        """The running loop, which is this client's from now on."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            raise OutOfPlace(
                "an AsyncRpcClient is used in a coroutine, on a running event loop; without one, use RpcClient"
            ) from None
        if self._loop is not loop:
            if self._loop is not None:
                state = "has ended" if self._loop.is_closed() else "is not the one that runs here"
                raise OutOfPlace(
                    f"this AsyncRpcClient belongs to the event loop on which it was first used, and that {state}; make "
                    "one inside each asyncio.run (async with AsyncRpcClient() as client: …), or use RpcClient, which "
                    "any thread may"
                )
            self._loop = loop
        return loop

    def __repr__(self) -> str:
        return f"<AsyncRpcClient {self._link!r}>"


_closings: set[asyncio.Task[None]] = set()
"""Of clients that were dropped: a loop keeps no task."""


async def _close(link: CallLink) -> None:
    try:
        await link.close()
    finally:
        task = asyncio.current_task()
        assert task is not None
        _closings.discard(task)
