"""Large binary values through a real broker and real workers: equal, of their types, and without base64."""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Iterator
from typing import Any

import numpy
import pika
import pytest
from support.processes import ServerProcess

from rpcsvc import RpcClient
from rpcsvc.broker import PrivateBroker

MIB = 1 << 20
RANDOM = random.Random(7)


def test_eight_mebibytes_come_back_to_the_last_byte(client: RpcClient) -> None:
    data = RANDOM.randbytes(8 * MIB)

    assert client.call("echo", data) == data
    mutable = client.call("echo", bytearray(data))

    assert type(mutable) is bytearray
    assert mutable == data


def test_a_million_floats_come_back_in_their_shape_and_can_be_written(client: RpcClient) -> None:
    array = numpy.random.default_rng(7).standard_normal((1000, 1000))

    back = client.call("echo", array)

    assert (back.dtype, back.shape) == (array.dtype, (1000, 1000))
    assert numpy.array_equal(back, array)
    back[0, 0] = 7.0
    assert numpy.array_equal(client.call("echo", array.T), array.T)


def test_large_values_travel_inside_of_others(client: RpcClient) -> None:
    data = RANDOM.randbytes(MIB)
    value = {"a": (data, [bytearray(data), {1: data[:40_000]}], 2**100), "small": b"small", data[:33_000]: "as a key"}

    back = client.call("echo", value)

    assert back == value
    assert type(back["a"]) is tuple
    assert type(back["a"][1][0]) is bytearray


def test_many_large_calls_at_once_keep_their_own_data(client: RpcClient) -> None:
    sent = [RANDOM.randbytes(MIB) for _ in range(16)]

    futures = [client.submit("echo", data) for data in sent]

    assert [future.result() for future in futures] == sent


def test_an_array_that_is_changed_after_submit_travels_as_it_was(client: RpcClient) -> None:
    array = numpy.zeros(MIB)

    future = client.submit("echo", array)
    array[:] = 1.0

    assert not future.result().any()


def test_large_values_go_through_map(client: RpcClient) -> None:
    sent = [RANDOM.randbytes(100_000) for _ in range(20)]

    assert list(client.map("echo", sent)) == sent
    assert list(client.map("echo", sent, chunksize=7)) == sent


@pytest.fixture
def channel(broker: PrivateBroker, server: ServerProcess) -> Iterator[Any]:
    with pika.BlockingConnection(pika.URLParameters(broker.url)) as connection:
        yield connection.channel()


def ask(channel: Any, body: bytes) -> bytes:
    """Send a body as any AMQP client may, and wait for the reply."""
    replies: list[bytes] = []
    callback_queue = channel.queue_declare("", exclusive=True).method.queue
    channel.basic_consume(callback_queue, lambda _c, _m, _p, body: replies.append(body), auto_ack=True)
    channel.basic_publish("", "rpc_queue", body, pika.BasicProperties(reply_to=callback_queue, correlation_id="7"))
    channel.connection.process_data_events(time_limit=10)
    return replies[0]


def test_who_says_that_it_reads_a_raw_section_gets_one(channel: Any) -> None:
    reply = ask(channel, b'{"jsonrpc":"2.0","id":"7","method":"large","params":[100000],"raw":true}')

    text, _, section = reply.partition(b"\0")
    assert json.loads(text) == {"jsonrpc": "2.0", "id": "7", "result": {"$bytes": {"raw": [0, 100_000]}}}
    assert section == b"x" * 100_000


def test_who_does_not_say_so_gets_json_with_base64(channel: Any) -> None:
    reply = ask(channel, b'{"jsonrpc":"2.0","id":"7","method":"large","params":[100000]}')

    assert b"\0" not in reply
    assert base64.b64decode(json.loads(reply)["result"]["$bytes"]) == b"x" * 100_000


def test_a_raw_section_may_be_sent_without_saying_so(channel: Any) -> None:
    reply = ask(channel, b'{"jsonrpc":"2.0","id":"7","method":"echo","params":[{"$bytes":{"raw":[1,3]}}]}\0abcde')

    assert json.loads(reply) == {"jsonrpc": "2.0", "id": "7", "result": {"$bytes": "YmNk"}}


def test_a_section_that_is_too_short_is_a_parse_error(channel: Any) -> None:
    reply = ask(channel, b'{"jsonrpc":"2.0","id":"7","method":"echo","params":[{"$bytes":{"raw":[1,5]}}]}\0abcde')

    assert json.loads(reply)["error"]["code"] == -32700
