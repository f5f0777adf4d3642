"""Events on a real broker, as their subscribers see them. What publishes is plain pika."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import gc
import os
import threading
import uuid
from collections.abc import Iterator
from typing import Any

import pika
import pytest
from support.ctl import RabbitCtl

from rpcsvc import AsyncRpcClient, ConfigurationError, Event, ExchangeNotFound, OutOfPlace, RpcClient
from rpcsvc.broker import PrivateBroker
from rpcsvc.errors import ClientClosed
from rpcsvc.testing import wait_until
from rpcsvc.testing.proxy import FaultProxy
from rpcsvc.testing.waiting import scaled

WITHIN = scaled(10)


class Publisher:
    """Somebody else's program."""

    def __init__(self, url: str) -> None:
        self.connection = pika.BlockingConnection(pika.URLParameters(url))
        self.channel = self.connection.channel()
        self.channel.exchange_declare("rpcsvc.topics", "topic", durable=True)
        self.channel.confirm_delivery()

    def close(self) -> None:
        with contextlib.suppress(pika.exceptions.AMQPError):  # a test may have taken it away
            self.connection.close()

    def publish(self, topic: str, body: bytes = b"x", exchange: str = "rpcsvc.topics", **properties: Any) -> None:
        self.channel.basic_publish(exchange, topic, body, pika.BasicProperties(delivery_mode=2, **properties))


@pytest.fixture
def publisher(broker: PrivateBroker) -> Iterator[Publisher]:
    publisher = Publisher(broker.url)
    yield publisher
    publisher.close()


@pytest.fixture
def client(broker: PrivateBroker) -> Iterator[RpcClient]:
    with RpcClient(broker.url) as client:
        yield client


@pytest.fixture
def name(client: RpcClient) -> Iterator[str]:
    """Of a durable subscription that no other test has."""
    name = f"test-{uuid.uuid4().hex[:12]}"
    yield name
    client.unsubscribe(name)


@pytest.fixture
def word() -> str:
    """One that no other test has in its topics."""
    return uuid.uuid4().hex[:12]


@pytest.fixture
def ctl(broker: PrivateBroker) -> RabbitCtl:
    return RabbitCtl(broker)


def bodies(subscription: Any, count: int) -> list[Any]:
    return [subscription.get(timeout=WITHIN).body for _ in range(count)]


# ---- what is heard


def test_events_come_by_their_patterns_from_when_subscribe_returns(
    client: RpcClient, publisher: Publisher, word: str
) -> None:
    with client.subscribe(f"*.critical.{word}", f"kern.*.{word}") as events:
        for topic in ("kern.info", "cron.info", "kern.critical", "cron.critical"):
            publisher.publish(f"{topic}.{word}", topic.encode())
        assert bodies(events, 3) == ["kern.info", "kern.critical", "cron.critical"]


def test_an_event_says_what_its_publisher_said(client: RpcClient, publisher: Publisher, word: str) -> None:
    with client.subscribe(f"{word}.#") as events:
        said = {"content_type": "application/json", "headers": {"trace": "t"}, "timestamp": 60, "message_id": "id-1"}
        publisher.publish(f"{word}.paid", b'{"id":7}', **said)
        event = events.get(timeout=WITHIN)
    assert (event.topic, event.body, event.headers, event.message_id) == (
        f"{word}.paid",
        {"id": 7},
        {"trace": "t"},
        "id-1",
    )
    assert event.time is not None
    assert event.time.timestamp() == 60
    assert (event.missed, event.redelivered) == (0, False)


def test_an_event_that_matches_twice_comes_once(client: RpcClient, publisher: Publisher, word: str) -> None:
    with client.subscribe(f"{word}.*", f"{word}.#", f"{word}.a") as events:
        publisher.publish(f"{word}.a", b"once")
        publisher.publish(f"{word}.b", b"then")
        assert bodies(events, 2) == ["once", "then"]


@pytest.mark.parametrize("kind", ["fanout", "direct", "topic"])
def test_the_exchanges_of_others_are_heard(client: RpcClient, publisher: Publisher, word: str, kind: str) -> None:
    publisher.channel.exchange_declare(word, kind)
    try:
        with client.subscribe("info", exchange=word) as events, client.subscribe(exchange=word) as everything:
            publisher.publish("info", b"log", exchange=word)
            publisher.publish("other", b"log", exchange=word)
            assert events.get(timeout=WITHIN).topic == "info"
            if kind == "fanout":
                assert events.get(timeout=WITHIN).topic == "other"
            if kind != "direct":
                assert bodies(everything, 2) == ["log", "log"]
    finally:
        publisher.channel.exchange_delete(word)


def test_an_exchange_of_others_that_is_not_there_is_told_and_not_made(client: RpcClient, word: str) -> None:
    with pytest.raises(ExchangeNotFound, match=f"there is no exchange '{word}'"):
        client.subscribe("info", exchange=word)
    with pytest.raises(ConfigurationError):
        client.subscribe("#.#.#")
    with pytest.raises(ConfigurationError, match="name"):
        client.subscribe(expires=5)
    with pytest.raises(ConfigurationError, match="limit must be a whole number"):
        client.subscribe(limit=0)


def test_the_exchange_of_events_is_made_by_the_first_who_needs_it(client: RpcClient, ctl: RabbitCtl, word: str) -> None:
    ctl.delete_exchange("rpcsvc.topics")
    ctl.delete_exchange("rpcsvc.events")
    with client.subscribe(word, "rpcsvc.#"):
        names = ctl("list_exchanges", "--no-table-headers", "name", "type", "durable").splitlines()
        assert {"rpcsvc.topics\ttopic\ttrue", "rpcsvc.events\ttopic\ttrue"} <= set(names)


# ---- how long it goes on


def test_the_iteration_ends_when_it_is_closed_in_another_thread(
    client: RpcClient, publisher: Publisher, word: str
) -> None:
    events = client.subscribe(word)
    publisher.publish(word)
    heard = []

    def listen() -> None:
        heard.extend(event.topic for event in events)

    threads = [threading.Thread(target=listen) for _ in range(3)]
    for thread in threads:
        thread.start()
    wait_until(lambda: heard == [word])
    events.close()
    for thread in threads:
        thread.join(WITHIN)
        assert not thread.is_alive()
    with pytest.raises(ClientClosed):
        events.get()


def test_the_iteration_ends_with_its_client(broker: PrivateBroker, word: str) -> None:
    client = RpcClient(broker.url)
    events = client.subscribe(word)
    closing = threading.Timer(0.1, client.close)
    closing.start()
    assert list(events) == []
    closing.join()


def test_one_that_nobody_keeps_ends(client: RpcClient, publisher: Publisher, word: str) -> None:
    living = client._thread.link.subscriptions._living

    def first() -> Event:
        for event in client.subscribe(word):
            return event
        raise AssertionError

    hearing = concurrent.futures.ThreadPoolExecutor(1).submit(first)
    wait_until(lambda: len(living) == 1)
    publisher.publish(word, b"heard")
    assert hearing.result(WITHIN).body == "heard"
    del hearing
    gc.collect()
    wait_until(lambda: not living)


def test_a_subscription_keeps_its_client(broker: PrivateBroker, publisher: Publisher, word: str) -> None:
    with RpcClient(broker.url).subscribe(word) as events:
        gc.collect()
        publisher.publish(word)
        assert bodies(events, 1) == ["x"]
        events._client.close()  # type: ignore[attr-defined]


def test_no_event_in_time_is_a_time_out_and_loses_none(client: RpcClient, publisher: Publisher, word: str) -> None:
    with client.subscribe(word) as events:
        for timeout in (0, 0.01):
            with pytest.raises(TimeoutError):
                events.get(timeout=timeout)
        publisher.publish(word)
        assert bodies(events, 1) == ["x"]


def test_who_would_wait_on_the_clients_own_thread_is_told(broker: PrivateBroker, client: RpcClient, word: str) -> None:
    raised: list[Exception] = []
    events = client.subscribe(word)

    def ask(_: object) -> None:
        for wait in (events.get, lambda: client.subscribe(word), lambda: client.unsubscribe(word)):
            try:
                wait()
            except OutOfPlace as error:
                raised.append(error)

    future = client.submit("nobody", timeout=0.2)
    future.add_done_callback(ask)
    wait_until(lambda: len(raised) == 3)


def test_a_forked_child_subscribes_anew(client: RpcClient, publisher: Publisher, word: str) -> None:
    events = client.subscribe(word)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            try:
                events.get(timeout=1)
            except OutOfPlace:
                own = client.subscribe(word)
                code = 0 if own.get(timeout=WITHIN).body == "both" else 2
        finally:
            os._exit(code)

    def has_ended() -> bool:
        publisher.publish(word, b"both")
        return os.waitpid(child, os.WNOHANG) == (child, 0)

    wait_until(has_ended, every=0.05)
    assert events.get(timeout=WITHIN).body == "both"


# ---- one who is slow


def test_one_who_lags_loses_the_oldest_and_is_told_how_many(client: RpcClient, publisher: Publisher, word: str) -> None:
    with client.subscribe(word, limit=10) as events:
        for number in range(100):
            publisher.publish(word, str(number).encode())
        wait_until(lambda: events.dropped == 90)
        heard = [events.get(timeout=WITHIN) for _ in range(10)]
        publisher.publish(word, b"later")
        heard.append(events.get(timeout=WITHIN))
    assert [event.body for event in heard] == [str(number) for number in range(90, 100)] + ["later"]
    assert [event.missed for event in heard] == [90, *[0] * 10]


# ---- connections and queues that go


def test_it_is_made_anew_when_its_connection_is_lost(
    client: RpcClient, publisher: Publisher, ctl: RabbitCtl, word: str
) -> None:
    with client.subscribe(word) as events, client.subscribe(f"*.{word}") as others:
        ctl("close_all_connections", "on purpose")
        wait_until(lambda: events.interruptions == others.interruptions == 1)
        again = Publisher(str(client._urls.nodes[0].reveal()))
        heard: list[str] = []

        def both() -> bool:
            again.publish(word)
            again.publish(f"a.{word}")
            for each in (events, others):
                with contextlib.suppress(TimeoutError):
                    heard.append(each.get(timeout=0.05).topic)
            return set(heard) == {word, f"a.{word}"}

        wait_until(both)
        again.close()


def exclusive_queues(ctl: RabbitCtl) -> set[str]:
    return {name for name in ctl.queues() if name.startswith("amq.gen-")}


def test_it_is_made_anew_when_its_queue_is_deleted(
    client: RpcClient, publisher: Publisher, ctl: RabbitCtl, word: str
) -> None:
    before = exclusive_queues(ctl)
    with client.subscribe(word) as events:
        (queue,) = exclusive_queues(ctl) - before
        ctl.delete_queue(queue)
        wait_until(lambda: events.interruptions == 1)
        wait_until(lambda: exclusive_queues(ctl) - before)

        def heard() -> bool:
            publisher.publish(word)
            try:
                return events.get(timeout=0.05).body == "x"
            except TimeoutError:
                return False

        wait_until(heard)


def is_taken(publisher: Publisher, word: str, body: bytes) -> bool:
    """Whether the broker takes an event; not if it lets go of one of its queues meanwhile, a lost subscription's."""
    try:
        publisher.publish(word, body)
    except pika.exceptions.NackError:
        return False
    return True


def test_it_is_made_anew_when_its_connection_is_stuck(broker: PrivateBroker, publisher: Publisher, word: str) -> None:
    """Nothing comes any more, and nobody says so; heartbeats find it out, and then the network heals."""
    with FaultProxy("127.0.0.1", broker.port) as network:
        url = network.url(broker.url) + "?heartbeat=1"
        with RpcClient(url) as client, client.subscribe(word) as events, client.subscribe(word, name=word) as kept:
            network.stall()
            wait_until(lambda: events.interruptions == kept.interruptions == 1, within=30)
            network.heal()
            wait_until(lambda: is_taken(publisher, word, b"kept"))
            assert kept.get(timeout=WITHIN).body == "kept"

            def heard() -> bool:
                is_taken(publisher, word, b"anew")
                with contextlib.suppress(TimeoutError):
                    return events.get(timeout=0.05).body in ("kept", "anew")
                return False

            wait_until(heard, within=30)
            client.unsubscribe(word)


def test_it_waits_for_a_broker_that_is_away(broken_broker: PrivateBroker, word: str) -> None:
    client = RpcClient(broken_broker.url, connect_timeout=2)
    with client, client.subscribe(word) as events, client.subscribe(word, name=word) as kept:
        ctl = RabbitCtl(broken_broker)
        ctl.stop_app()
        wait_until(lambda: events.interruptions == kept.interruptions == 1)
        ctl.start_app()
        publisher = wait_until(lambda: _publisher(broken_broker.url), within=30)

        def heard() -> bool:
            publisher.publish(word)
            try:
                return events.get(timeout=0.1).body == "x" and kept.get(timeout=5).body == "x"
            except TimeoutError:
                return False

        wait_until(heard, within=30)
        publisher.close()
        client.unsubscribe(word)


def _publisher(url: str) -> Publisher | None:
    try:
        return Publisher(url)
    except pika.exceptions.AMQPError:
        return None


# ---- those with a name


def test_one_with_a_name_survives_its_subscriber_and_the_brokers_restart(
    broken_broker: PrivateBroker, word: str
) -> None:
    with RpcClient(broken_broker.url) as client:
        client.subscribe(word, name=word).close()
    publisher = Publisher(broken_broker.url)
    for number in range(100):
        publisher.publish(word, str(number).encode())
    publisher.close()
    ctl = RabbitCtl(broken_broker)
    ctl.stop_app()
    ctl.start_app()
    with RpcClient(broken_broker.url) as client, client.subscribe(name=word) as events:
        assert bodies(events, 100) == [str(number) for number in range(100)]
        client.unsubscribe(word)


def test_those_of_one_name_share_the_events(
    broker: PrivateBroker, client: RpcClient, publisher: Publisher, name: str, word: str
) -> None:
    with RpcClient(broker.url) as other:
        first, second = client.subscribe(word, name=name), other.subscribe(word, name=name)
        for number in range(20):
            publisher.publish(word, str(number).encode())
        slow = first.get(timeout=WITHIN).body  # and not asked again: the other one does the rest
        rest = bodies(second, 19)
        assert sorted([slow, *rest], key=int) == [str(number) for number in range(20)]
        with pytest.raises(TimeoutError):
            second.get(timeout=0.2)
        first.close()
        again = second.get(timeout=WITHIN)
        assert (again.body, again.redelivered) == (slow, True)
        second.close()


def test_an_event_is_acked_when_the_next_is_asked_for_or_the_block_is_left(
    client: RpcClient, publisher: Publisher, name: str, word: str
) -> None:
    def ready() -> int:
        return int(publisher.channel.queue_declare(f"rpcsvc.sub.{name}", passive=True).method.message_count)

    with client.subscribe(word, name=name) as events:
        for number in range(4):
            publisher.publish(word, str(number).encode())
        assert bodies(events, 1) == ["0"]
        wait_until(lambda: ready() == 3)
        assert bodies(events, 1) == ["1"]
        wait_until(lambda: ready() == 2)
        events.ack()
        wait_until(lambda: ready() == 1)
        assert bodies(events, 1) == ["2"]
    wait_until(lambda: ready() == 1)
    with contextlib.suppress(ZeroDivisionError), client.subscribe(name=name) as events:
        assert bodies(events, 1) == ["3"]
        raise ZeroDivisionError
    with client.subscribe(name=name) as events:
        event = events.get(timeout=WITHIN)
        assert (event.body, event.redelivered) == ("3", True)


def test_one_that_is_quick_holds_more_and_one_that_is_slow_no_more(
    client: RpcClient, publisher: Publisher, name: str, word: str
) -> None:
    def ready() -> int:
        return int(publisher.channel.queue_declare(f"rpcsvc.sub.{name}", passive=True).method.message_count)

    with client.subscribe(word, name=name) as events:
        for number in range(400):
            publisher.publish(word, str(number).encode())
        assert bodies(events, 100) == [str(number) for number in range(100)]
        wait_until(lambda: ready() < 299 - 40)
        left = 300
        while ready() < left - 3:
            events.get(timeout=WITHIN)
            left -= 1
            threading.Event().wait(0.03)  # it takes its time
            assert left > 100, "it still holds more than it needs"


def test_what_was_in_hand_when_the_connection_went_comes_again_and_nothing_is_lost(
    client: RpcClient, publisher: Publisher, ctl: RabbitCtl, name: str, word: str
) -> None:
    with client.subscribe(word, name=name) as events:
        for number in range(10):
            publisher.publish(word, str(number).encode())
        heard = bodies(events, 3)
        ctl("close_all_connections", "on purpose")
        wait_until(lambda: events.interruptions == 1)
        heard += bodies(events, 8)
    assert sorted(set(heard)) == [str(number) for number in range(10)]
    assert len(heard) == 11


def test_the_limit_of_one_with_a_name_is_its_queues(
    client: RpcClient, publisher: Publisher, name: str, word: str
) -> None:
    client.subscribe(word, name=name, limit=5).close()
    for number in range(20):
        publisher.publish(word, str(number).encode())
    with client.subscribe(word, name=name, limit=7) as events:  # taken as it is
        assert bodies(events, 5) == [str(number) for number in range(15, 20)]


def test_one_with_a_name_expires_if_it_is_told_to(client: RpcClient, ctl: RabbitCtl, name: str, word: str) -> None:
    client.subscribe(word, name=name, expires=0.3).close()
    wait_until(lambda: f"rpcsvc.sub.{name}" not in ctl.queues())


def test_unsubscribing_deletes_it_and_who_is_there_begins_anew(
    client: RpcClient, publisher: Publisher, name: str, word: str
) -> None:
    client.unsubscribe(name)  # none is fine
    with client.subscribe(word, name=name) as events:
        publisher.publish(word, b"first")
        publisher.publish(word, b"gone")
        assert bodies(events, 1) == ["first"]
        client.unsubscribe(name)
        wait_until(lambda: events.interruptions == 1)

        def heard() -> bool:
            publisher.publish(word, b"anew")
            try:
                return events.get(timeout=0.05).body == "anew"
            except TimeoutError:
                return False

        wait_until(heard)


# ---- asyncio


def test_asyncio_hears_too(broker: PrivateBroker, publisher: Publisher, name: str, word: str) -> None:
    async def listen() -> None:
        async with AsyncRpcClient(broker.url) as client:
            passing = await client.subscribe(word)
            async with client.subscribe(word, name=name) as kept:
                publisher.publish(word, b"one")
                publisher.publish(word, b"two")
                heard = []
                async for event in passing:
                    heard.append(event.body)
                    if len(heard) == 2:
                        break
                assert heard == ["one", "two"]
                assert (await kept.get()).body == "one"
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.05):
                        await passing.get()
                publisher.publish(word, b"three")
                assert (await passing.get()).body == "three"
            async with client.subscribe(name=name) as again:
                heard = [(await again.get()).body, (await again.get()).body]
                assert sorted(heard) == ["three", "two"]  # the one that was given back may come behind the other
                closing = asyncio.get_running_loop().call_later(0.05, lambda: asyncio.ensure_future(again.close()))
                assert [event.body async for event in again] == []
                closing.cancel()
            with pytest.raises(ExchangeNotFound):
                await client.subscribe(exchange="nowhere")
            await client.unsubscribe(name)
            waiting = asyncio.ensure_future(anext(client.subscribe(word)))
            await asyncio.sleep(0.05)
        with pytest.raises((StopAsyncIteration, ClientClosed)):
            await waiting

    asyncio.run(listen())


def test_one_of_asyncio_that_nobody_keeps_ends(broker: PrivateBroker, publisher: Publisher, word: str) -> None:
    async def listen() -> None:
        async with AsyncRpcClient(broker.url) as client:
            events = await client.subscribe(word)
            publisher.publish(word)
            assert (await events.get()).body == "x"
            living = client._link.subscriptions._living
            assert len(living) == 1
            del events
            gc.collect()
            async with asyncio.timeout(WITHIN):
                while living:
                    await asyncio.sleep(0.01)

    asyncio.run(listen())
