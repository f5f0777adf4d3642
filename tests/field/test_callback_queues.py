"""Callback queues as libraries name and declare them: answered where their caller alone can read them.

aio-pika's robust connections say `amq_…`, kombu's example a UUID, RabbitMQ's C++ tutorial `rpc.reply.…`; AMQP 1.0
clients give the address `/queues/NAME` in place of a name.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import aio_pika
import kombu
import pika
import pytest
from support.processes import ServerProcess, wait_until

from rpcsvc.broker import PrivateBroker

UUID = "126092f4-e182-4a54-838d-42322d248bde"
HEX = UUID.replace("-", "")


@pytest.fixture
def channel(broker: PrivateBroker) -> Iterator[Any]:
    with pika.BlockingConnection(pika.URLParameters(broker.url)) as connection:
        yield connection.channel()


def send(channel: Any, server: ServerProcess, reply_to: str) -> None:
    properties = pika.BasicProperties(reply_to=reply_to, correlation_id="1")
    channel.basic_publish("", server.queue, b"30", properties)


def answer(channel: Any, callback_queue: str, within: float = 10.0) -> bytes:
    """The next message in a callback queue."""
    return bytes(wait_until(lambda: channel.basic_get(callback_queue, auto_ack=True)[2], within=within))


@pytest.mark.parametrize("name", [f"amq_{HEX}", UUID, f"rpc.reply.{UUID}", "an ä, and more %41"])
def test_an_exclusive_queue_is_answered_to_whatever_its_name(channel: Any, server: ServerProcess, name: str) -> None:
    channel.queue_declare(name, exclusive=True)
    for _ in range(2):
        send(channel, server, name)
        assert answer(channel, name) == b"832040"


@pytest.mark.parametrize("name", [f"amq_{HEX}", UUID, "with ä, / and %41+"])
@pytest.mark.parametrize("prefix", ["/queues/", "/queue/", "/amq/queue/"])
def test_the_address_that_amqp_1_0_gives_a_queue_is_that_queue(
    channel: Any, server: ServerProcess, prefix: str, name: str
) -> None:
    channel.queue_declare(name, exclusive=True)
    send(channel, server, prefix + quote(name, safe=""))
    assert answer(channel, name) == b"832040"


def test_the_address_of_a_queue_that_the_broker_named_needs_no_look(channel: Any, server: ServerProcess) -> None:
    name = channel.queue_declare("", exclusive=True).method.queue
    send(channel, server, f"/queues/{name}")
    assert answer(channel, name) == b"832040"


@pytest.mark.parametrize(
    "reply_to", ["/exchanges/amq.fanout", "/exchanges/amq.direct/{}", "/queues/", "/queues/{}/more", "/queues/%FF", "/"]
)
def test_an_address_of_anything_else_is_not_answered_to(
    channel: Any, server: ServerProcess, queue: str, reply_to: str
) -> None:
    channel.queue_declare(queue, exclusive=True)
    for exchange in ("amq.fanout", "amq.direct"):
        channel.queue_bind(queue, exchange, queue)
    send(channel, server, reply_to.format(queue))
    send(channel, server, queue)
    assert answer(channel, queue) == b"832040"
    assert channel.queue_declare(queue, passive=True).method.message_count == 0
    assert f"no reply may go to the queue {reply_to.format(queue)!r}: that is not the address" in server.output


def test_a_queue_that_others_may_read_is_not_answered_to_and_the_log_says_so_once(
    broker: PrivateBroker, channel: Any, queue: str
) -> None:
    others = f"replies.{queue}"
    channel.queue_declare(others, auto_delete=True)
    with ServerProcess(broker.url, "--workers", "1", "--queue", queue) as server:
        for reply_to in (others, others, others, f"nobody.{queue}", "x" * 255, f"nobody.{queue}"):
            send(channel, server, reply_to)
        mine = channel.queue_declare("", exclusive=True).method.queue
        send(channel, server, mine)
        assert answer(channel, mine) == b"832040"
        server.signal(signal.SIGTERM)
        assert server.wait() == 0
        assert "refused=6" in server.output
        assert server.output.count(f"no reply may go to the queue '{others}': it is not exclusive") == 1
        assert server.output.count(f"no reply may go to the queue 'nobody.{queue}': there is none") == 1
        assert "--callback-queue" in server.output
    assert channel.queue_declare(others, passive=True).method.message_count == 0


@pytest.mark.long
def test_a_name_that_was_refused_is_answered_to_when_it_is_exclusive_later(
    broker: PrivateBroker, channel: Any, queue: str
) -> None:
    """A client of one fixed name, say, whose first request came before its queue was there."""
    name = f"mine.{queue}"
    with ServerProcess(broker.url, "--workers", "1", "--queue", queue) as server:
        send(channel, server, name)
        wait_until(lambda: f"'{name}': there is none" in server.output)
        channel.queue_declare(name, exclusive=True)

        def is_answered() -> bool:
            send(channel, server, name)
            return channel.basic_get(name, auto_ack=True)[2] == b"832040"

        wait_until(is_answered, within=20, every=0.2)


def test_looks_cost_the_calls_of_others_nothing(channel: Any, server: ServerProcess) -> None:
    """Each look that finds nothing closes a channel; the one that holds deliveries is another."""
    mine = channel.queue_declare("", exclusive=True).method.queue
    for number in range(20):
        send(channel, server, f"nobody-{number}-{UUID}")
        send(channel, server, mine)
    for _ in range(20):
        assert answer(channel, mine, within=30) == b"832040"
    assert "reconnecting" not in server.output


def test_callers_by_direct_reply_to_are_answered_beside_names_that_were_made_up(
    channel: Any, server: ServerProcess
) -> None:
    """Each of these may cost a connection (RabbitMQ 3.10), which is none of those that others are answered on."""
    pseudo, replies = "amq.rabbitmq.reply-to", []
    channel.basic_consume(pseudo, lambda _c, _m, _p, body: replies.append(body), auto_ack=True)
    for number in range(20):
        send(channel, server, f"{pseudo}.{HEX}{number}.{HEX}")
        send(channel, server, pseudo)
    wait_until(lambda: channel.connection.process_data_events(0.1) or len(replies) == 20, within=30)
    assert replies == [b"832040"] * 20
    assert "reconnecting" not in server.output
    assert "could not be sent" not in server.output


def test_a_call_whose_callback_queue_has_any_name_can_be_cancelled_by_it(
    broker: PrivateBroker, channel: Any, server: ServerProcess
) -> None:
    channel.queue_declare(UUID, exclusive=True)
    body = b'{"jsonrpc": "2.0", "id": 1, "method": "nap", "params": [100]}'
    for address in (UUID, f"/queues/{UUID}"):
        for call_id in ("a", "b"):  # both workers of the server
            properties = pika.BasicProperties(reply_to=address, correlation_id=call_id + address)
            channel.basic_publish("", server.queue, body, properties)
            said = b'{"jsonrpc":"2.0","method":"rpc.cancel","params":{"reply_to":"%s","ids":["%s"],"remaining":9}}'
            channel.basic_publish("rpcsvc.control", "", said % (address.encode(), (call_id + address).encode()))
    send(channel, server, UUID)
    assert answer(channel, UUID, within=20) == b"832040"


# ---- the libraries themselves


def test_aio_pika_with_a_robust_connection_is_answered(broker: PrivateBroker, server: ServerProcess) -> None:
    """As its documentation has it: a callback queue that the library names."""

    async def main() -> bytes:
        connection = await aio_pika.connect_robust(broker.url)
        async with connection:
            channel = await connection.channel()
            callback_queue = await channel.declare_queue(exclusive=True)
            message = aio_pika.Message(b"30", correlation_id="1", reply_to=callback_queue.name)
            await channel.default_exchange.publish(message, routing_key=server.queue)
            async with asyncio.timeout(10), callback_queue.iterator() as replies:
                async for reply in replies:
                    async with reply.process():
                        return reply.body
        raise AssertionError("the iterator ended")

    assert asyncio.run(main()) == b"832040"


def test_kombus_example_is_answered(broker: PrivateBroker, server: ServerProcess) -> None:
    """Its RPC client: a callback queue with a UUID for a name, exclusive."""
    replies: list[Any] = []
    callback_queue = kombu.Queue(kombu.uuid(), exclusive=True, auto_delete=True)
    with (
        kombu.Connection(broker.url) as connection,
        connection.Producer() as producer,
        kombu.Consumer(connection, on_message=replies.append, queues=[callback_queue], no_ack=True),
    ):
        producer.publish(
            b"30",
            exchange="",
            routing_key=server.queue,
            reply_to=callback_queue.name,
            correlation_id=kombu.uuid(),
            content_type="application/json",
            content_encoding="utf-8",
        )
        connection.drain_events(timeout=10)
    assert [bytes(reply.body) for reply in replies] == [b"832040"]
