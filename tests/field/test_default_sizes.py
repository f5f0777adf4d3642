"""Large messages with whatever limit the broker of this run has by default, and those refused for another reason."""

from __future__ import annotations

import json
import uuid
from pathlib import Path

import pika
import pytest
from support.begun import Gate
from support.processes import ServerProcess, wait_until
from support.traces import Trace

from rpcsvc import MessageRefused, RequestTooLarge, ResultNotEncodable, RpcClient
from rpcsvc.broker import PrivateBroker


def test_seventeen_megabytes_are_sent_or_refused_as_the_broker_has_it_by_default(
    client: RpcClient, server: ServerProcess, message_limit: int, trace: Trace, tmp_path: Path, broker: PrivateBroker
) -> None:
    size = 17_000_000
    before = client.callback_queue
    gate = Gate(tmp_path)
    with RpcClient(broker.url, queue=server.queue, timeout=30) as other:
        unharmed = gate.submit(other, "once", once=True)
        wait_until(lambda: gate.begun)
        if message_limit > size:
            assert len(client.call("trace_large", str(trace), 1, size)) == size
            assert len(client.call("echo", b"x" * size)) == size
        else:
            with pytest.raises(ResultNotEncodable) as caught:
                client.call("trace_large", str(trace), 1, size)
            assert caught.value.data["limit"] == message_limit
            with pytest.raises(RequestTooLarge) as refused:
                client.submit("echo", b"x" * size)
            assert refused.value.limit == message_limit
        gate.open()
        assert unharmed.result() == "once"
    assert gate.begun == ["once"]
    assert trace.starts() == {1: 1}
    assert client.callback_queue == before
    assert "reconnecting" not in server.output


def test_direct_reply_to_gets_large_replies_too(broker: PrivateBroker, server: ServerProcess, trace: Trace) -> None:
    size = 9 * 2**20
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "trace_large", "params": [str(trace), 1, size]}).encode()
    with pika.BlockingConnection(pika.URLParameters(broker.url)) as connection:
        channel = connection.channel()
        replies: list[bytes] = []
        pseudo = "amq.rabbitmq.reply-to"
        channel.basic_consume(pseudo, lambda _c, _m, _p, reply: replies.append(reply), auto_ack=True)
        properties = pika.BasicProperties(reply_to=pseudo, correlation_id=uuid.uuid4().hex)
        channel.basic_publish("", server.queue, body, properties)
        connection.process_data_events(time_limit=20)
        assert len(json.loads(replies[0])["result"]) == size
    assert trace.starts() == {1: 1}


# ---- what the broker refuses for another reason -----------------------------------------------------------------

FULL = {"x-max-length": 1, "x-overflow": "reject-publish"}


def test_a_large_request_for_a_queue_that_is_full_is_refused_at_once(broker: PrivateBroker, queue: str) -> None:
    with pika.BlockingConnection(pika.URLParameters(broker.url)) as connection:
        channel = connection.channel()
        channel.queue_declare(queue, arguments=FULL)
        channel.basic_qos(prefetch_count=1)
        channel.basic_consume(queue, lambda *_: None)  # it takes one and never acks it
        for _ in range(3):
            channel.basic_publish("", queue, b"in the way")
        connection.process_data_events(time_limit=0.5)
        with RpcClient(broker.url, queue=queue, timeout=20) as client, pytest.raises(MessageRefused, match="full"):
            client.call("sha256", b"x" * 9 * 2**20)


def test_a_large_reply_that_its_callback_queue_does_not_take_is_dropped_once(
    broker: PrivateBroker, server: ServerProcess, client: RpcClient, trace: Trace
) -> None:
    def request(number: int) -> bytes:
        params = [str(trace), number, 9 * 2**20]
        return json.dumps({"jsonrpc": "2.0", "id": 1, "method": "trace_large_once", "params": params}).encode()

    with pika.BlockingConnection(pika.URLParameters(broker.url)) as connection:
        channel = connection.channel()
        callback_queue = channel.queue_declare("", exclusive=True, arguments=FULL).method.queue
        for number in range(3):
            properties = pika.BasicProperties(reply_to=callback_queue, correlation_id=str(number))
            channel.basic_publish("", server.queue, request(number), properties)
        wait_until(lambda: server.output.count("could not be sent") >= 1, within=20)
        assert client.call("fib", 30) == 832040
        wait_until(lambda: channel.queue_declare(server.queue, passive=True).method.message_count == 0)
        wait_until(lambda: len(trace.starts()) == 3)  # the last one may have been delivered just now
    assert trace.starts() == {0: 1, 1: 1, 2: 1}
    assert "reconnecting" not in server.output
