"""aio-pika, one-way: `Exchange.publish` with confirms, `Queue.consume`, JSON.

Options, and why:
- `publisher_confirms=True`, the default: `publish` returns when the broker has confirmed the message; pipelined, many
  tasks publish at a time, the way of its own publisher confirms tutorial.
- `DeliveryMode.PERSISTENT`, durable queues, `mandatory`, the default.
- `set_qos(prefetch_count=...)` and `message.process()`: acks after the work.
- plain exchanges and queues, not `patterns.Master`, which pickles and looks functions up: the quicker of the two.
- events: a queue of its own for each subscriber, exclusive and `no_ack`, on one connection.
- uvloop on both sides. One process for each worker: a callback runs on the event loop.
"""

# ruff: noqa: PLC0415 the library is imported in the processes that use it
from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import uvloop

from .one_way import PATTERN, TOPIC, OneWay, counted, subscribers
from .peer import AsyncClient, Setup


class AioPikaCasts(OneWay):
    """`publish` and `consume`."""

    name = "aio-pika"
    quick = 12_000

    def serve(self, setup: Setup) -> None:
        uvloop.run(_subscribe(setup) if setup.kind == "event" else _work(setup))

    def connect(self, setup: Setup) -> AbstractAsyncContextManager[AsyncClient]:
        return _connected(setup)


async def _declare(channel: Any, setup: Setup) -> Any:
    return await channel.declare_queue(setup.queue, durable=True, arguments={"x-queue-type": setup.queue_type})


async def _exchange(channel: Any) -> Any:
    return await channel.declare_exchange("bench.aio-pika", "topic", durable=True)


async def _work(setup: Setup) -> None:
    import aio_pika

    async def on_message(message: Any) -> None:
        async with message.process():
            counted(json.loads(message.body)["argument"])

    async with await aio_pika.connect(setup.url) as connection:
        channel = await connection.channel(publisher_confirms=False)
        await channel.set_qos(prefetch_count=setup.prefetch)
        await (await _declare(channel, setup)).consume(on_message)
        await asyncio.Event().wait()


async def _subscribe(setup: Setup) -> None:
    import aio_pika

    count: list[Any] = []

    async with await aio_pika.connect(setup.url) as connection:
        channel = await connection.channel(publisher_confirms=False)
        exchange = await _exchange(channel)

        def heard_by(number: int) -> Any:
            async def on_message(message: Any) -> None:
                json.loads(message.body)
                count[number]()

            return on_message

        for number in range(setup.subscribers):
            queue = await channel.declare_queue(exclusive=True)
            await queue.bind(exchange, PATTERN)
            await queue.consume(heard_by(number), no_ack=True)
        count += subscribers(setup.subscribers)
        await asyncio.Event().wait()


@asynccontextmanager
async def _connected(setup: Setup) -> AsyncIterator[AsyncClient]:
    import aio_pika

    async with await aio_pika.connect(setup.url) as connection:
        channel = await connection.channel()
        if setup.kind == "event":
            yield _Events(await _exchange(channel))
            return
        await _declare(channel, setup)
        yield _Casts(channel.default_exchange, setup.queue)


class _Casts:
    def __init__(self, exchange: Any, queue: str) -> None:
        self._exchange = exchange
        self._queue = queue

    async def call(self, argument: Any) -> None:
        import aio_pika

        body = json.dumps({"argument": argument}).encode()
        persistent = aio_pika.DeliveryMode.PERSISTENT
        message = aio_pika.Message(body, content_type="application/json", delivery_mode=persistent)
        await self._exchange.publish(message, self._queue)


class _Events:
    def __init__(self, exchange: Any) -> None:
        self._exchange = exchange

    async def call(self, argument: Any) -> None:
        import aio_pika

        message = aio_pika.Message(json.dumps(argument).encode(), content_type="application/json")
        await self._exchange.publish(message, TOPIC, mandatory=False)
