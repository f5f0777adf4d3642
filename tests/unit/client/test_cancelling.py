"""What servers are told of calls given up, on a connection that only notes it."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any, cast

from rpcsvc.client.calls import PendingCall, now
from rpcsvc.client.cancelling import Canceller
from rpcsvc.client.opening import Connector
from rpcsvc.errors import ConnectionLost, RpcError
from rpcsvc.wire.control import read


class Broker:
    """A connection, its channels, and what was published."""

    def __init__(self) -> None:
        self.told: list[list[str]] = []
        self.channels: list[Any] = []
        self.connection = SimpleNamespace(
            blocked=False, channel=self.open, lost=asyncio.get_running_loop().create_future()
        )
        self.current: Any = SimpleNamespace(connection=self.connection, callback_queue="amq.gen-1")

    async def open(self) -> Any:
        lost: asyncio.Future[RpcError] = asyncio.get_running_loop().create_future()
        self.channels.append(SimpleNamespace(lost=lost, publish=self.publish))
        return self.channels[-1]

    def publish(self, routing_key: str, body: bytes, *, exchange: str) -> None:
        message = read(body)
        assert message is not None
        assert (exchange, routing_key, message.reply_to) == ("rpcsvc.control", "", "amq.gen-1")
        self.told.append(message.ids)

    async def wait_for(self, *ids: str) -> None:
        async with asyncio.timeout(5):
            while not set(ids) <= {each for message in self.told for each in message}:
                await asyncio.sleep(0.001)


def call(number: int) -> PendingCall:
    return PendingCall(str(number), "f", b"[]", True, 10.0, now(), cast(Any, Future()))


def canceller(broker: Broker) -> Canceller:
    return Canceller(cast(Connector, broker), lambda _: False, lambda _: None)


def ring(canceller: Canceller) -> None:
    """Its timer, now."""
    timer = canceller._timer
    assert timer is not None
    timer.cancel()
    canceller._flush()


def test_calls_given_up_together_are_told_in_one_message() -> None:
    async def main() -> None:
        broker = Broker()
        cancels = canceller(broker)
        for number in range(1000):
            cancels.add(call(number))
        await broker.wait_for("999")
        assert broker.told == [[str(number) for number in range(1000)]]
        assert len(broker.channels) == 1

    asyncio.run(main())


def test_a_call_given_up_in_the_moment_when_the_others_were_told_is_told_too() -> None:
    async def main() -> None:
        broker = Broker()
        cancels = canceller(broker)
        cancels.add(call(0))
        await broker.wait_for("0")
        for turns in range(4):  # wherever the task that tells has come to
            cancels.add(call(2 * turns + 1))
            ring(cancels)
            for _ in range(turns):
                await asyncio.sleep(0)
            cancels.add(call(2 * turns + 2))
            ring(cancels)
            await broker.wait_for(str(2 * turns + 1), str(2 * turns + 2))

    asyncio.run(main())


def test_after_a_refusal_nothing_is_said_for_a_while_and_nothing_is_kept() -> None:
    async def main() -> None:
        broker = Broker()
        cancels = canceller(broker)
        cancels.add(call(0))
        await broker.wait_for("0")
        broker.channels[0].lost.set_result(ConnectionLost("no exchange"))
        await asyncio.sleep(0.01)
        cancels.add(call(1))
        await asyncio.sleep(0.05)
        assert broker.told == [["0"]]
        assert repr(cancels) == "<Canceller: 0 to tell of, 0 packs>"

    asyncio.run(main())


def test_on_the_next_connection_there_is_a_new_channel_and_the_old_calls_are_not_told() -> None:
    async def main() -> None:
        broker = Broker()
        cancels = canceller(broker)
        cancels.add(call(0))
        await broker.wait_for("0")
        cancels.add(call(1))
        cancels.forget()
        broker.connection.lost.set_result(None)
        broker.channels[0].lost.set_result(ConnectionLost("gone"))
        await asyncio.sleep(0)
        cancels.add(call(2))
        await broker.wait_for("2")
        assert broker.told == [["0"], ["2"]]
        assert len(broker.channels) == 2

    asyncio.run(main())
