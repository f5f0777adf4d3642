"""What a message costs on the AMQP connection: the fast path beside pika's own codec."""

from __future__ import annotations

from typing import Any

import pika
import pika.frame
import pika.spec
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from rpcsvc.amqp import fastpath
from rpcsvc.amqp.messages import Delivery

CHANNEL, FRAME_MAX = 1, 131_072
BODIES = {"a small body": b'{"jsonrpc":"2.0","id":"7","method":"fib","params":[30]}', "a body of a MiB": bytes(2**20)}
PROPERTIES: dict[str, str] = {
    "correlation_id": "1234",
    "reply_to": "amq.gen-nXrhcy1cvTQkxtWrpsXvOQ",
    "expiration": "30000",
    "type": "fib",
}
bodies = pytest.mark.parametrize(("name", "body"), [pytest.param(*item, id=item[0]) for item in BODIES.items()])


def content_by_pika(method: Any, body: bytes) -> bytes:
    """A message's frames as pika writes them."""
    properties = pika.BasicProperties(content_type="application/json", **PROPERTIES)
    most = FRAME_MAX - 8
    return b"".join(
        (
            pika.frame.Method(CHANNEL, method).marshal(),
            pika.frame.Header(CHANNEL, len(body), properties).marshal(),
            *(pika.frame.Body(CHANNEL, body[at : at + most]).marshal() for at in range(0, len(body), most)),
        )
    )


def publish_by_pika(body: bytes) -> bytes:
    return content_by_pika(pika.spec.Basic.Publish(exchange="", routing_key="rpc_queue", mandatory=True), body)


@bodies
def test_a_publish_by_the_fast_path(benchmark: BenchmarkFixture, name: str, body: bytes) -> None:
    benchmark.group = f"publish {name}"
    sent: list[bytes] = []
    publisher = fastpath.Publisher(CHANNEL, FRAME_MAX, "application/json", sent.extend)

    def publish() -> bytes:
        sent.clear()
        publisher.publish("rpc_queue", body, mandatory=True, **PROPERTIES)  # type: ignore[arg-type]
        return b"".join(sent)

    assert benchmark(publish) == publish_by_pika(body)


@bodies
def test_a_publish_by_pika(benchmark: BenchmarkFixture, name: str, body: bytes) -> None:
    benchmark.group = f"publish {name}"
    assert body[:1000] in benchmark(publish_by_pika, body)


def delivery_of(body: bytes) -> bytes:
    """What the broker sends."""
    method = pika.spec.Basic.Deliver(consumer_tag="ctag1.1", delivery_tag=1, exchange="", routing_key="rpc_queue")
    return content_by_pika(method, body)


@bodies
def test_a_delivery_by_the_fast_path(benchmark: BenchmarkFixture, name: str, body: bytes) -> None:
    benchmark.group = f"deliver {name}"
    stream = delivery_of(body)
    found: list[Delivery] = []
    parser = fastpath.FrameParser(lambda _: None, lambda _channel, _tag, delivery: found.append(delivery))

    def feed() -> Delivery:
        parser.feed(stream)
        return found.pop()

    delivery = benchmark(feed)
    assert (delivery.body, delivery.reply_to) == (body, PROPERTIES["reply_to"])


@bodies
def test_a_delivery_by_pika(benchmark: BenchmarkFixture, name: str, body: bytes) -> None:
    benchmark.group = f"deliver {name}"
    stream = delivery_of(body)

    def decode() -> tuple[str, bytes]:
        """As pika's connection does, frame by frame, without what it does with them."""
        position, frames = 0, []
        while position < len(stream):
            consumed, frame = pika.frame.decode_frame(stream[position : position + FRAME_MAX])
            position += consumed
            frames.append(frame)
        return frames[1].properties.reply_to, b"".join(frame.fragment for frame in frames[2:])

    assert benchmark(decode) == (PROPERTIES["reply_to"], body)


def test_an_ack_by_the_fast_path(benchmark: BenchmarkFixture) -> None:
    benchmark.group = "ack"
    assert len(benchmark(fastpath.ack, CHANNEL, 1)) == 21


def test_an_ack_by_pika(benchmark: BenchmarkFixture) -> None:
    benchmark.group = "ack"
    assert len(benchmark(lambda: pika.frame.Method(CHANNEL, pika.spec.Basic.Ack(1)).marshal())) == 21
