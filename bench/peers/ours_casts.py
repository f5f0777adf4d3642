"""This library, one-way: `rpcsvc serve`, `cast`, `cast_many`, `publish` and `subscribe`.

No option but those that the mode names, and as many workers for casts as there are; how many casts are held is learnt.
The queue is what a pool would declare, and no pool is there while casts are published.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager, contextmanager
from typing import Any

from rpcsvc import AsyncRpcClient, RpcClient
from rpcsvc.amqp import Connection
from rpcsvc.settings import BrokerUrl

from .modes import Mode
from .one_way import PATTERN, TOPIC, Caster, OneWay, subscribers
from .peer import AsyncClient, Setup


class OursCasts(OneWay):
    """As anybody would use it."""

    name = "ours"
    kind = "ours"
    quick = 60_000

    def unable(self, mode: Mode) -> str | None:
        wanted = "publish" if mode.kind == "event" else "cast" if mode.in_flight == 1 else "cast_many"
        return None if hasattr(RpcClient, wanted) else f"this version has no {wanted}"

    def servers(self, setup: Setup) -> list[list[str]]:
        if setup.kind == "event":
            return [self.server(setup)]
        if setup.kind == "cast":
            return []
        command = [sys.executable, "-m", "rpcsvc", "serve", "bench.peers.one_way:registry", "--queue", setup.queue]
        command += ["--workers", str(setup.workers), "--cast-workers", str(setup.workers)]
        return [[*command, "--cast-queue-type", setup.queue_type]]

    def queues(self, setup: Setup) -> list[str]:
        return [setup.queue, f"{setup.queue}.casts", f"{setup.queue}.dead"]

    def serve(self, setup: Setup) -> None:
        asyncio.run(_subscribe(setup))

    def connect(self, setup: Setup) -> AbstractContextManager[Caster] | AbstractAsyncContextManager[AsyncClient]:
        return _publishing() if setup.kind == "event" else _casting(setup)


async def _declare(setup: Setup) -> None:
    from rpcsvc.amqp.topology import declare  # noqa: PLC0415 an earlier version has none
    from rpcsvc.wire.entities import for_casts  # noqa: PLC0415

    connection = await Connection.open(BrokerUrl.parse(setup.url), role="bench", timeout=10)
    await declare(connection, for_casts(setup.queue, queue_type=setup.queue_type))
    await connection.close()


@contextmanager
def _casting(setup: Setup) -> Iterator[Caster]:
    asyncio.run(_declare(setup))
    with RpcClient(queue=setup.queue) as client:
        yield _Casts(client)


class _Casts:
    def __init__(self, client: RpcClient) -> None:
        self._client = client

    def call(self, argument: Any) -> None:
        self._client.cast("counted", argument)

    def cast_many(self, arguments: Iterable[Any]) -> None:
        self._client.cast_many("counted", arguments)

    fill = cast_many


async def _subscribe(setup: Setup) -> None:
    count: list[Any] = []

    async def hear(events: Any, number: int) -> None:
        async for event in events:
            assert event.body
            count[number]()

    async with AsyncRpcClient() as client, asyncio.TaskGroup() as group:
        subscribed = [await client.subscribe(PATTERN) for _ in range(setup.subscribers)]
        count += subscribers(setup.subscribers)
        for number, events in enumerate(subscribed):
            group.create_task(hear(events, number))


@asynccontextmanager
async def _publishing() -> AsyncIterator[AsyncClient]:
    async with AsyncRpcClient() as client:
        yield _Events(client)


class _Events:
    def __init__(self, client: AsyncRpcClient) -> None:
        self._client = client

    async def call(self, argument: Any) -> None:
        await self._client.publish(TOPIC, argument)
