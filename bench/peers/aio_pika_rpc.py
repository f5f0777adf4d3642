"""aio-pika's `patterns.RPC`.

Options, and why:
- `publisher_confirms=False` on the channels: by default each publication waits for the broker's confirm before the
  caller goes on (aio-pika documentation, "Publisher Confirms"). Requests and replies are transient, so a confirm adds a
  round trip and no safety that an RPC caller could use; one call at a time measured a third slower with them.
- `set_qos(prefetch_count=...)`: what the mode says. RPC acks after the reply by itself.
- `RPC`, which pickles, and not `JsonRPC`: the default of the documentation, and it carries bytes.
- uvloop on both sides.
One process for each worker: a registered function runs on the event loop.
"""

# ruff: noqa: PLC0415 the library is imported in the processes that use it
from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import uvloop

from . import work
from .peer import AsyncClient, Peer, Setup


class AioPikaRpc(Peer):
    """`RPC.register` and `RPC.call`."""

    name = "aio-pika RPC"

    def serve(self, setup: Setup) -> None:
        uvloop.run(_serve(setup))

    def connect(self, setup: Setup) -> AbstractAsyncContextManager[AsyncClient]:
        return _connected(setup)


async def _serve(setup: Setup) -> None:
    import aio_pika
    from aio_pika.patterns import RPC

    compute = work.FUNCTIONS[setup.function]

    async def function(*, argument: Any) -> Any:
        return compute(argument)

    async with await aio_pika.connect(setup.url) as connection:
        channel = await connection.channel(publisher_confirms=False)
        await channel.set_qos(prefetch_count=setup.prefetch)
        rpc = await RPC.create(channel)
        await rpc.register(setup.queue, function, auto_delete=True)
        await asyncio.Event().wait()


@asynccontextmanager
async def _connected(setup: Setup) -> AsyncIterator[AsyncClient]:
    import aio_pika
    from aio_pika.patterns import RPC

    async with await aio_pika.connect(setup.url) as connection:
        channel = await connection.channel(publisher_confirms=False)
        yield _Client(await RPC.create(channel), setup)


class _Client:
    def __init__(self, rpc: Any, setup: Setup) -> None:
        self._rpc = rpc
        self._method = setup.queue

    async def call(self, argument: Any) -> Any:
        return await self._rpc.call(self._method, {"argument": argument})
