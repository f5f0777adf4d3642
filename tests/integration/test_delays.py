"""Messages wait in the levels as long as they are to, on the real broker."""

from __future__ import annotations

import asyncio
import time

import pytest

from rpcsvc.amqp import Connection
from rpcsvc.amqp.topology import declare
from rpcsvc.broker import PrivateBroker
from rpcsvc.settings import BrokerUrl
from rpcsvc.wire.casts import delayed
from rpcsvc.wire.entities import Binding, Queue, for_casts, for_delays


@pytest.mark.parametrize("queue_type", ["quorum", "classic"])
def test_what_is_delayed_comes_in_time_and_never_early(broker: PrivateBroker, queue: str, queue_type: str) -> None:
    async def run() -> dict[bytes, float]:
        connection = await Connection.open(BrokerUrl.parse(broker.url), role="test", timeout=10)
        try:
            await declare(connection, (*for_casts(queue, queue_type=queue_type), *for_delays()))
            channel = await connection.channel()
            arrived: dict[bytes, float] = {}
            all_there = asyncio.Event()

            def delivered(delivery: object) -> None:
                arrived[delivery.body] = time.monotonic() - began  # type: ignore[attr-defined]
                if len(arrived) == 4:
                    all_there.set()

            await channel.consume(f"{queue}.casts", delivered, no_ack=True)
            began = time.monotonic()
            for seconds in (3, 0, 2, 1):
                exchange, key = delayed(seconds, f"{queue}.casts")
                channel.publish(key, str(seconds).encode(), exchange=exchange)
            connection.flush()
            await asyncio.wait_for(all_there.wait(), 30)
            return arrived
        finally:
            await connection.close()

    arrived = asyncio.run(run())
    assert all(waited >= int(seconds) for seconds, waited in arrived.items())
    assert list(arrived) == [b"0", b"1", b"2", b"3"]


def test_what_is_there_is_taken_as_it_is(broker: PrivateBroker, queue: str) -> None:
    async def run() -> None:
        connection = await Connection.open(BrokerUrl.parse(broker.url), role="test", timeout=10)
        try:
            other = Queue(f"{queue}.casts", {"x-queue-type": "classic", "x-max-length": 3})
            await declare(connection, (other,))
            await declare(connection, (*for_casts(queue), Binding(f"{queue}.casts", "amq.topic", "still works")))
        finally:
            await connection.close()

    asyncio.run(run())
