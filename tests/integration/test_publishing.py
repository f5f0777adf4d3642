"""Events that our clients publish, heard by ours and by plain pika."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
import uuid
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pika
import pytest
from support.ctl import RabbitCtl

from rpcsvc import (
    AsyncRpcClient,
    ClientClosed,
    ConnectionFailed,
    EventUnknown,
    ExchangeNotFound,
    MessageRefused,
    OutOfPlace,
    RequestTooLarge,
    RpcClient,
    Subscription,
)
from rpcsvc.broker import PrivateBroker
from rpcsvc.testing import scaled, wait_until
from rpcsvc.testing.proxy import Direction, FaultProxy

WITHIN = scaled(10)


@pytest.fixture
def client(broker: PrivateBroker) -> Iterator[RpcClient]:
    with RpcClient(broker.url) as client:
        yield client


@pytest.fixture
def word() -> str:
    """One that no other test has in its topics."""
    return uuid.uuid4().hex[:12]


@pytest.fixture
def channel(broker: PrivateBroker) -> Iterator[Any]:
    """Somebody else's program."""
    connection = pika.BlockingConnection(pika.URLParameters(broker.url))
    yield connection.channel()
    with contextlib.suppress(pika.exceptions.AMQPError):
        connection.close()


@pytest.fixture
def network(broker: PrivateBroker) -> Iterator[FaultProxy]:
    with FaultProxy("127.0.0.1", broker.port) as network:
        yield network


@contextlib.contextmanager
def kept(client: RpcClient, pattern: str) -> Iterator[Subscription]:
    """A durable subscription of one test."""
    name = f"test-{uuid.uuid4().hex[:12]}"
    with client.subscribe(pattern, name=name) as events:
        yield events
    client.unsubscribe(name)


@pytest.mark.parametrize(
    "body", ["text ✓ 경보", b"\x00\xff", {"id": 7, "price": Decimal("1.50")}, [1, (2, {3})], None, 7, ""]
)
def test_what_is_published_is_what_is_heard(client: RpcClient, word: str, body: Any) -> None:
    with client.subscribe(f"{word}.#") as events:
        message_id = client.publish(f"{word}.a", body, headers={"trace": "t", "n": 3, "list": [1, None]})
        event = events.get(timeout=WITHIN)
    assert (event.body, type(event.body)) == (body, type(body))
    assert (event.topic, event.message_id, event.headers) == (
        f"{word}.a",
        message_id,
        {"trace": "t", "n": 3, "list": [1, None]},
    )


def test_others_hear_plain_text_and_json(client: RpcClient, channel: Any, word: str) -> None:
    client.publish("nobody.hears", "it")  # which is no error, and makes the exchange
    queue = channel.queue_declare("", exclusive=True).method.queue
    channel.queue_bind(queue, "rpcsvc.topics", word)
    client.publish(word, "plain", message_id="id-1")
    client.publish(word, {"a": 1})
    _, said, body = wait_until(lambda: (got := channel.basic_get(queue, auto_ack=True))[0] and got)
    assert (body, said.content_type, said.message_id, said.delivery_mode) == (b"plain", "text/plain", "id-1", 2)
    _, said, body = wait_until(lambda: (got := channel.basic_get(queue, auto_ack=True))[0] and got)
    assert (body, said.content_type) == (b'{"a":1}', "application/json")


@pytest.mark.parametrize("kind", ["fanout", "direct", "topic"])
def test_the_exchanges_of_others_are_published_to(client: RpcClient, channel: Any, word: str, kind: str) -> None:
    channel.exchange_declare(word, kind)
    queue = channel.queue_declare("", exclusive=True).method.queue
    channel.queue_bind(queue, word, "info")
    client.publish("info", "log", exchange=word)
    assert channel.basic_get(queue, auto_ack=True)[2] == b"log", "it is there when publish returns"
    channel.exchange_delete(word)


def test_an_exchange_that_is_not_there_takes_nobody_elses_events_along(
    client: RpcClient, channel: Any, word: str
) -> None:
    with kept(client, word) as events:
        lost: list[Exception] = []

        def publish() -> None:
            try:
                client.publish("info", "log", exchange=f"no-{word}")
            except ExchangeNotFound as error:
                lost.append(error)

        threads = [threading.Thread(target=publish) for _ in range(3)]
        for thread in threads:
            thread.start()
        for number in range(20):
            client.publish(word, number)
        for thread in threads:
            thread.join(WITHIN)
        assert [str(error).partition(";")[0] for error in lost] == [f"there is no exchange 'no-{word}'"] * 3
        assert [events.get(timeout=WITHIN).body for _ in range(20)] == list(range(20))


def test_an_exchange_that_is_deleted_meanwhile_is_made_anew_or_told(
    client: RpcClient, channel: Any, word: str, broker: PrivateBroker
) -> None:
    client.publish(word, "x")
    RabbitCtl(broker).delete_exchange("rpcsvc.topics")
    client.publish(word, "x")
    channel.exchange_declare("rpcsvc.topics", passive=True)
    channel.exchange_declare(word, "fanout")
    client.publish("", "x", exchange=word)
    channel.exchange_delete(word)
    with pytest.raises((ExchangeNotFound, EventUnknown)):
        client.publish("", "x", exchange=word)
    with pytest.raises(ExchangeNotFound):
        client.publish("", "x", exchange=word)


def test_a_queue_that_is_full_and_refuses_is_told(client: RpcClient, channel: Any, word: str) -> None:
    client.publish(word, "x")
    arguments = {"x-max-length": 1, "x-overflow": "reject-publish"}
    queue = channel.queue_declare("", exclusive=True, arguments=arguments).method.queue
    channel.queue_bind(queue, "rpcsvc.topics", word)
    client.publish(word, "first")
    with pytest.raises(MessageRefused, match=f"'{word}': a queue of one of its subscribers is full"):
        client.publish(word, "second")


def test_what_is_too_large_is_told_and_nothing_else_is_lost(client: RpcClient, word: str, message_limit: int) -> None:
    with client.subscribe(word) as events:
        with pytest.raises(RequestTooLarge):
            client.publish(word, b"x" * (message_limit + 1))
        client.publish(word, b"x" * 1_000_000)
        assert len(events.get(timeout=WITHIN).body) == 1_000_000


def test_what_is_not_confirmed_is_sent_again_on_the_next_connection_under_its_id(
    client: RpcClient, network: FaultProxy, broker: PrivateBroker, word: str
) -> None:
    with kept(client, word) as events, RpcClient(network.url(broker.url), timeout=scaled(20)) as cut:
        cut.publish(word, "before")
        network.stall(Direction.DOWN)
        publishing = threading.Thread(target=cut.publish, args=(word, "twice"), kwargs={"message_id": "id-1"})
        publishing.start()
        assert events.get(timeout=WITHIN).body == "before"
        assert events.get(timeout=WITHIN).message_id == "id-1"
        network.reset_all()
        network.heal()
        publishing.join(WITHIN)
        assert not publishing.is_alive()
        again = events.get(timeout=WITHIN)
        assert (again.body, again.message_id, again.redelivered) == ("twice", "id-1", False)


def test_no_confirm_in_time_and_no_connection_in_time_are_told_apart(
    network: FaultProxy, broker: PrivateBroker, word: str
) -> None:
    with RpcClient(network.url(broker.url)) as client:
        client.publish(word, "x")
        network.stall(Direction.DOWN)
        with pytest.raises(EventUnknown, match="no confirm came within"):
            client.publish(word, "x", timeout=0.3)
        network.refuse()
        network.reset_all()
        with pytest.raises((ConnectionFailed, EventUnknown)):
            client.publish(word, "x", timeout=0.5)


def test_who_may_not_wait_or_has_closed_is_told(broker: PrivateBroker, word: str) -> None:
    client = RpcClient(broker.url)
    raised: list[Exception] = []

    def publish(_: object) -> None:
        try:
            client.publish(word, "x")
        except OutOfPlace as error:
            raised.append(error)

    client.submit("nobody", timeout=0.1).add_done_callback(publish)
    wait_until(lambda: raised)
    client.close()
    with pytest.raises(ClientClosed):
        client.publish(word, "x")


def test_many_threads_publish_through_one_client(client: RpcClient, word: str) -> None:
    with client.subscribe(f"{word}.*") as events:
        threads = [
            threading.Thread(target=lambda: [client.publish(f"{word}.a", number) for number in range(50)])
            for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        heard = [events.get(timeout=WITHIN).body for _ in range(400)]
        for thread in threads:
            thread.join()
    assert sorted(heard) == sorted(list(range(50)) * 8)


def test_asyncio_publishes_too(broker: PrivateBroker, word: str) -> None:
    async def publish() -> None:
        async with AsyncRpcClient(broker.url) as client, client.subscribe(word) as events:
            await asyncio.gather(*(client.publish(word, number) for number in range(100)))
            assert sorted([(await events.get()).body for _ in range(100)]) == list(range(100))
            with pytest.raises(ExchangeNotFound):
                await client.publish(word, "x", exchange="nowhere")
            publishing = asyncio.ensure_future(client.publish(word, "x"))
            await asyncio.sleep(0)
            publishing.cancel()
            with pytest.raises(asyncio.CancelledError) as cancelled:
                await publishing
            assert "message_id" in str(cancelled.value.__notes__)

    asyncio.run(publish())


def test_an_event_says_when_it_was_published_to_the_millisecond(client: RpcClient, word: str) -> None:
    with client.subscribe(word) as events:
        before = time.time()
        client.publish(word, "x")
        time_of_event = events.get(timeout=WITHIN).time
    assert time_of_event is not None
    assert before - 0.001 <= time_of_event.timestamp() <= time.time()


def test_many_events_are_published_ahead_of_their_confirms(client: RpcClient, word: str) -> None:
    with client.subscribe(word) as events:
        ids = client.publish_many(word, range(2000), headers={"trace": "t"})
        heard = [events.get(timeout=WITHIN) for _ in range(2000)]
    assert [event.body for event in heard] == list(range(2000))
    assert [event.message_id for event in heard] == ids
    assert heard[0].headers == {"trace": "t"}
    with pytest.raises(ExchangeNotFound) as failed:
        client.publish_many(word, [1, 2], exchange="nowhere")
    assert "publish_many: of the first" in str(failed.value.__notes__)


def test_asyncio_publishes_many_too(broker: PrivateBroker, word: str) -> None:
    async def publish() -> None:
        async with AsyncRpcClient(broker.url) as client, client.subscribe(word) as events:
            assert len(await client.publish_many(word, range(500))) == 500
            assert [(await events.get()).body for _ in range(500)] == list(range(500))

    asyncio.run(publish())
