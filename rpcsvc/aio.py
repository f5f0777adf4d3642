"""The client for asyncio programs."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from typing import Any, Self

from .calling.calls import CallFactory, ClientOptions
from .calling.link import CallLink
from .settings import DEFAULT_CONNECT_TIMEOUT, DEFAULT_QUEUE, DEFAULT_TIMEOUT, find_urls
from .sizes import AUTO, Setting


class AsyncRpcClient:
    """Calls functions on the servers of one queue, from an asyncio program.

        async with AsyncRpcClient() as client:
            await client.call("fib", 30)

    Arguments, behaviour and errors are those of `RpcClient`; use it on one event loop only.
    """

    def __init__(
        self,
        url: str | Sequence[str] | None = None,
        *,
        queue: str = DEFAULT_QUEUE,
        timeout: float = DEFAULT_TIMEOUT,
        connect_timeout: float = DEFAULT_CONNECT_TIMEOUT,
        wait_for_server: float = 0.0,
        pack: bool = True,
        max_request: Setting = AUTO,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        urls = find_urls(url).over(ssl_context)
        del url  # what shows the variables of a traceback would show its password
        options = ClientOptions(queue, timeout, connect_timeout, wait_for_server, pack=pack, max_request=max_request)
        self._calls = CallFactory(options)
        self._link = CallLink(urls, options, self._calls)

    async def __aenter__(self) -> Self:
        await self.connect()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def connect(self) -> None:
        """Connect now rather than at the first call.

        Raises:
            ConnectionFailed, AuthenticationFailed, AccessRefused, TlsFailed
        """
        await self._link.connect()

    async def close(self) -> None:
        """Close the connection; calls that still wait end with ClientClosed."""
        await self._link.close()

    async def call(self, method: str, /, *args: Any, timeout: float | None = None, **kwargs: Any) -> Any:
        """Call a function and wait for its result; see `RpcClient.call`."""
        return await self.submit(method, *args, timeout=timeout, **kwargs)

    def submit(self, method: str, /, *args: Any, timeout: float | None = None, **kwargs: Any) -> asyncio.Future[Any]:
        """Call a function and return a future of its result."""
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        call = self._calls.make(method, args, kwargs, timeout, lambda _: future)
        future.add_done_callback(lambda done: self._link.forget(call.call_id) if done.cancelled() else None)
        self._link.send(call)
        return future

    def __repr__(self) -> str:
        return f"<AsyncRpcClient {self._link!r}>"
