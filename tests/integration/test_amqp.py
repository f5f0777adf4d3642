"""What channels do on a real broker: queues, exchanges, consumers, properties, confirms, rejections."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, TypeVar

import pytest

from rpcsvc.amqp import Channel, Connection, Delivery, Properties, QueueArguments, Returned
from rpcsvc.broker import PrivateBroker
from rpcsvc.errors import (
    ConnectionLost,
    MessageRefused,
    QueueMismatch,
    QueueNotFound,
    RpcError,
)
from rpcsvc.settings import BrokerUrl

T = TypeVar("T")


def on_channel(broker: PrivateBroker, use: Callable[[Connection, Channel], Awaitable[T]]) -> T:
    """Use a channel of a connection that is closed after that."""

    async def main() -> T:
        connection = await Connection.open(BrokerUrl.parse(broker.url), role="test", timeout=10)
        try:
            async with asyncio.timeout(20):
                return await use(connection, await connection.channel())
        finally:
            await connection.close()

    return asyncio.run(main())


class Inbox:
    """What came through consumers."""

    def __init__(self) -> None:
        self._waiting: asyncio.Queue[Delivery] = asyncio.Queue()

    def __call__(self, delivery: Delivery) -> None:
        self._waiting.put_nowait(delivery)

    async def next(self) -> Delivery:
        async with asyncio.timeout(10):
            return await self._waiting.get()

    @property
    def is_empty(self) -> bool:
        return self._waiting.empty()


def test_consumers_may_be_stopped_at_the_same_time_and_more_than_once(broker: PrivateBroker, queue: str) -> None:
    async def stop_them(_: Connection, channel: Channel) -> tuple[int, int]:
        await channel.declare_queue(queue, auto_delete=True)
        deliveries: list[Delivery] = []
        tags = [await channel.consume(queue, deliveries.append) for _ in range(3)]
        await asyncio.gather(channel.cancel(tags[0]), channel.cancel(tags[0]), channel.cancel(tags[1]))
        before = (await channel.declare_queue(queue, auto_delete=True)).consumers
        await channel.cancel(tags[1])
        await channel.cancel(tags[2])
        await channel.cancel(tags[2])
        return before, len(deliveries)

    assert on_channel(broker, stop_them) == (1, 0)


# ---- what a message says of itself


def test_what_is_published_with_everything_comes_with_everything(broker: PrivateBroker, queue: str) -> None:
    async def send(_: Connection, channel: Channel) -> Delivery:
        exchange = f"e.{queue}"
        await channel.declare_exchange(exchange, "topic")
        await channel.declare_queue(queue, exclusive=True, arguments=QueueArguments(max_priority=5))
        await channel.bind(queue, exchange, "a.*")
        inbox = Inbox()
        await channel.consume(queue, inbox, no_ack=True)
        headers = {"attempts": 3, "trace": "00-ab", "list": [1, "two", None], "table": {"deep": True}, "raw": b"\xff"}
        channel.publish(
            "a.b",
            b"body",
            exchange=exchange,
            correlation_id="c",
            message_id="m",
            type="t",
            properties=Properties(
                headers=headers, persistent=True, priority=4, content_type="text/plain", timestamp=1_700_000_000
            ),
        )
        delivery = await inbox.next()
        assert delivery.headers == headers
        await channel.delete_exchange(exchange)
        return delivery

    delivery = on_channel(broker, send)
    assert (delivery.exchange, delivery.routing_key) == (f"e.{queue}", "a.b")
    assert (delivery.correlation_id, delivery.message_id, delivery.type) == ("c", "m", "t")
    assert (delivery.is_persistent, delivery.priority) == (True, 4)
    assert (delivery.content_type, delivery.timestamp) == ("text/plain", 1_700_000_000)


def test_what_is_published_plainly_is_transient_json_on_the_default_exchange(broker: PrivateBroker, queue: str) -> None:
    async def send(_: Connection, channel: Channel) -> Delivery:
        await channel.declare_queue(queue, exclusive=True)
        inbox = Inbox()
        await channel.consume(queue, inbox, no_ack=True)
        channel.publish(queue, b"1")
        return await inbox.next()

    delivery = on_channel(broker, send)
    assert (delivery.exchange, delivery.routing_key, delivery.headers) == ("", queue, {})
    assert (delivery.is_persistent, delivery.priority, delivery.timestamp) == (False, None, None)
    assert delivery.content_type == "application/json"


# ---- confirms


def test_each_message_is_told_what_became_of_it_and_the_connection_lives(broker: PrivateBroker, queue: str) -> None:
    """Taken, come back, and refused by a full queue; a thousand of each, none waited for before the next."""
    full = f"full.{queue}"

    async def send(connection: Connection, channel: Channel) -> list[str]:
        await channel.declare_queue(queue, exclusive=True)
        await channel.declare_queue(
            full, exclusive=True, arguments=QueueArguments(max_length=1, overflow="reject-publish")
        )
        await channel.confirm()
        await channel.publish_confirmed(full, b"")
        with suppress(MessageRefused):  # it is full from the first on, or the second
            await channel.publish_confirmed(full, b"")
        names = [queue, f"nobody.{queue}", full] * 1000
        futures = [
            channel.publish_confirmed(name, b"", mandatory=True, message_id=f"{name} {number}")
            for number, name in enumerate(names)
        ]
        outcomes = await asyncio.gather(*futures, return_exceptions=True)
        assert connection.is_open
        return [
            outcome.routing_key if isinstance(outcome, Returned) else type(outcome).__name__ for outcome in outcomes
        ]

    assert on_channel(broker, send) == ["NoneType", f"nobody.{queue}", "MessageRefused"] * 1000


def test_what_became_of_a_message_may_be_told_by_a_call(broker: PrivateBroker, queue: str) -> None:
    async def send(_: Connection, channel: Channel) -> list[Any]:
        await channel.declare_queue(queue, durable=True)
        await channel.confirm()
        told: list[Any] = []
        all_told = asyncio.Event()

        def settled(outcome: Returned | RpcError | None) -> None:
            told.append(outcome)
            if len(told) == 100:
                all_told.set()

        for _ in range(100):
            channel.publish_told(settled, queue, b"", properties=Properties(persistent=True))
        await all_told.wait()
        assert await channel.delete_queue(queue) == 100
        return told

    assert on_channel(broker, send) == [None] * 100


def test_of_what_is_not_settled_when_the_channel_ends_nobody_knows(broker: PrivateBroker, queue: str) -> None:
    async def send(_: Connection, channel: Channel) -> None:
        await channel.confirm()
        futures = [channel.publish_confirmed("q", b"", exchange=f"none.{queue}") for _ in range(3)]
        for outcome in await asyncio.gather(*futures, return_exceptions=True):
            assert isinstance(outcome, QueueNotFound), outcome
        with pytest.raises(QueueNotFound):
            channel.publish_confirmed("q", b"")

    on_channel(broker, send)


# ---- giving back


@pytest.mark.parametrize("way", ["nack", "reject"])
def test_a_delivery_is_given_back_or_dead_lettered(broker: PrivateBroker, queue: str, way: str) -> None:
    async def refuse(_: Connection, channel: Channel) -> None:
        dead, inbox, letters = f"dead.{queue}", Inbox(), Inbox()
        await channel.declare_queue(dead, exclusive=True)
        arguments = QueueArguments(dead_letter_exchange="", dead_letter_routing_key=dead)
        await channel.declare_queue(queue, exclusive=True, arguments=arguments)
        await channel.consume(queue, inbox)
        await channel.consume(dead, letters)
        channel.publish(queue, b"1")
        first = await inbox.next()
        assert not first.redelivered
        getattr(channel, way)(first.delivery_tag, requeue=True)
        second = await inbox.next()
        assert second.redelivered
        getattr(channel, way)(second.delivery_tag, requeue=False)
        letter = await letters.next()
        (death,) = letter.headers["x-death"]
        assert (death["queue"], death["reason"], death["count"]) == (queue, "rejected", 1)

    on_channel(broker, refuse)


def test_several_deliveries_are_given_back_at_once(broker: PrivateBroker, queue: str) -> None:
    async def refuse(_: Connection, channel: Channel) -> None:
        inbox = Inbox()
        await channel.declare_queue(queue, exclusive=True)
        await channel.consume(queue, inbox)
        for number in range(3):
            channel.publish(queue, b"%d" % number)
        tags = [(await inbox.next()).delivery_tag for _ in range(3)]
        channel.nack(tags[-1], requeue=True, multiple=True)
        again = [await inbox.next() for _ in range(3)]
        assert sorted(each.body for each in again) == [b"0", b"1", b"2"]
        assert all(each.redelivered for each in again)

    on_channel(broker, refuse)


def test_on_a_channel_that_has_ended_nothing_is_given_back(broker: PrivateBroker) -> None:
    async def refuse(_: Connection, channel: Channel) -> None:
        channel.close()
        for refused in (lambda: channel.nack(1, requeue=True), lambda: channel.reject(1, requeue=True)):
            with pytest.raises(ConnectionLost):
                refused()
        with pytest.raises(ConnectionLost):
            channel.ack(1)

    on_channel(broker, refuse)


# ---- queues, exchanges, consumers


def test_a_queue_has_the_arguments_it_is_declared_with(broker: PrivateBroker, queue: str) -> None:
    arguments = QueueArguments(queue_type="quorum", max_length=10, overflow="reject-publish", expires=60)

    async def declare(connection: Connection, channel: Channel) -> None:
        await channel.declare_queue(queue, durable=True, arguments=arguments)
        await channel.declare_queue(queue, durable=True, arguments=arguments)
        with pytest.raises(QueueMismatch, match="x-max-length"):
            await channel.declare_queue(
                queue,
                durable=True,
                arguments=QueueArguments(queue_type="quorum", overflow="reject-publish", expires=60),
            )
        await (await connection.channel()).delete_queue(queue)

    on_channel(broker, declare)


def test_messages_expire_into_another_queue_by_way_of_exchanges(broker: PrivateBroker, queue: str) -> None:
    """As a delay does it: a queue whose messages expire to an exchange, which is bound to another, and that to one."""

    async def delay(_: Connection, channel: Channel) -> Delivery:
        waiting, due, last = f"waiting.{queue}", f"due.{queue}", f"last.{queue}"
        inbox = Inbox()
        await channel.declare_exchange(due, "topic", arguments={"alternate-exchange": "amq.fanout"})
        await channel.declare_exchange(last, "topic")
        await channel.bind_exchange(last, due, "*.1.#")
        await channel.declare_queue(queue, exclusive=True)
        await channel.bind(queue, last, "#")
        await channel.declare_queue(
            waiting, exclusive=True, arguments=QueueArguments(message_ttl=0.2, dead_letter_exchange=due)
        )
        await channel.bind(waiting, "amq.topic", f"{queue}.#")
        await channel.consume(queue, inbox, no_ack=True)
        channel.publish(f"{queue}.1.x", b"later", exchange="amq.topic")
        delivery = await inbox.next()
        await channel.unbind(queue, last, "#")
        channel.publish("0.1.x", b"nobody", exchange=due)
        assert (await channel.declare_queue(queue, exclusive=True)).messages == 0
        for exchange in (due, last):
            await channel.delete_exchange(exchange)
        assert inbox.is_empty
        return delivery

    delivery = on_channel(broker, delay)
    assert (delivery.exchange, delivery.routing_key) == (f"due.{queue}", f"{queue}.1.x")
    assert delivery.headers["x-death"][0]["reason"] == "expired"


def test_a_queue_is_emptied_and_deleted_with_what_was_in_it(broker: PrivateBroker, queue: str) -> None:
    async def empty(_: Connection, channel: Channel) -> list[int]:
        await channel.declare_queue(queue, durable=True)
        await channel.confirm()
        counts = []
        for drop in (channel.purge_queue, channel.delete_queue):
            for _ in range(3):
                await channel.publish_confirmed(queue, b"")
            counts.append(await drop(queue))
        return [*counts, await channel.delete_queue(queue)]

    assert on_channel(broker, empty) == [3, 3, 0]


def test_one_channel_consumes_several_queues_each_by_its_own_rules(broker: PrivateBroker, queue: str) -> None:
    async def consume(connection: Connection, channel: Channel) -> None:
        other = f"other.{queue}"
        mine, others = Inbox(), Inbox()
        for name in (queue, other):
            await channel.declare_queue(name, exclusive=True)
        await channel.prefetch(1)
        await channel.consume(queue, mine)
        await channel.prefetch(2)
        tag = await channel.consume(other, others)
        for name in (queue, other):
            for number in range(3):
                channel.publish(name, f"{name} {number}".encode())
        first = await mine.next()
        assert first.routing_key == queue
        assert [(await others.next()).routing_key for _ in range(2)] == [other] * 2
        await channel.cancel(tag)
        assert (await channel.declare_queue(other, exclusive=True)).messages == 1
        assert mine.is_empty, "a prefetch count of one"
        channel.ack(first.delivery_tag)
        assert (await mine.next()).body == f"{queue} 1".encode()

    on_channel(broker, consume)


def test_a_consumer_of_a_higher_priority_has_the_first_messages(broker: PrivateBroker, queue: str) -> None:
    async def consume(_: Connection, channel: Channel) -> None:
        low, high = Inbox(), Inbox()
        await channel.declare_queue(queue, exclusive=True)
        await channel.prefetch(1)
        await channel.consume(queue, low)
        await channel.consume(queue, high, arguments={"x-priority": 10})
        for number in range(2):
            channel.publish(queue, b"%d" % number)
        assert (await high.next()).body == b"0"
        assert (await low.next()).body == b"1"

    on_channel(broker, consume)


def test_with_a_single_active_consumer_the_next_one_waits(broker: PrivateBroker, queue: str) -> None:
    async def consume(_: Connection, channel: Channel) -> None:
        first, second = Inbox(), Inbox()
        await channel.declare_queue(queue, exclusive=True, arguments=QueueArguments(single_active_consumer=True))
        tag = await channel.consume(queue, first, no_ack=True)
        await channel.consume(queue, second, no_ack=True)
        for number in range(4):
            channel.publish(queue, b"%d" % number)
        assert [(await first.next()).body for _ in range(4)] == [b"0", b"1", b"2", b"3"]
        await channel.cancel(tag)
        channel.publish(queue, b"4")
        assert (await second.next()).body == b"4"

    on_channel(broker, consume)


def test_a_queue_may_be_bound_by_headers(broker: PrivateBroker, queue: str) -> None:
    async def send(_: Connection, channel: Channel) -> None:
        exchange, inbox = f"h.{queue}", Inbox()
        await channel.declare_exchange(exchange, "headers")
        await channel.declare_queue(queue, exclusive=True)
        await channel.bind(queue, exchange, arguments={"x-match": "all", "kind": uuid.UUID(int=7).hex})
        await channel.consume(queue, inbox, no_ack=True)
        for kind in ("another", uuid.UUID(int=7).hex):
            channel.publish("", kind.encode(), exchange=exchange, properties=Properties(headers={"kind": kind}))
        assert (await inbox.next()).body == uuid.UUID(int=7).hex.encode()
        assert inbox.is_empty
        await channel.delete_exchange(exchange)

    on_channel(broker, send)
