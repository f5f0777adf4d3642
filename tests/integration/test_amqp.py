"""What the connection does on top of pika, where pika alone would not come back."""

from __future__ import annotations

import asyncio

from rpcsvc.amqp import Connection, Delivery
from rpcsvc.broker import PrivateBroker
from rpcsvc.settings import BrokerUrl


def test_consumers_may_be_stopped_at_the_same_time_and_more_than_once(broker: PrivateBroker, queue: str) -> None:
    async def stop_them() -> tuple[int, int]:
        connection = await Connection.open(BrokerUrl.parse(broker.url), role="test", timeout=10)
        try:
            channel = await connection.channel()
            await channel.declare_queue(queue, auto_delete=True, durable=False)
            deliveries: list[Delivery] = []
            tags = [await channel.consume(queue, deliveries.append) for _ in range(3)]
            async with asyncio.timeout(10):
                await asyncio.gather(channel.cancel(tags[0]), channel.cancel(tags[0]), channel.cancel(tags[1]))
                before = (await channel.declare_queue(queue, auto_delete=True, durable=False)).consumers
                await channel.cancel(tags[1])
                await channel.cancel(tags[2])
                await channel.cancel(tags[2])
            return before, len(deliveries)
        finally:
            await connection.close()

    assert asyncio.run(stop_them()) == (1, 0)
