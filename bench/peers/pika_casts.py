"""RabbitMQ's own tutorials for Python, two (work queues) and five (topics): pika's BlockingConnection.

As the tutorials have it: durable queue, persistent messages, a worker with a prefetch that acks after the work; topics
through an exchange, an exclusive queue for each subscriber, auto_ack. Added to them:
- `confirm_delivery` and `mandatory`, without which nothing is known of a cast. A BlockingConnection waits for each
  confirm; pipelined it is not to be had.
- the mode's prefetch, where the tutorial has 1; JSON for the body.
- subscribers are consumers of one connection.
"""

# ruff: noqa: PLC0415 the library is imported in the processes that use it
from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from typing import Any

from .modes import Mode
from .one_way import PATTERN, TOPIC, Caster, OneWay, counted, subscribers
from .peer import Setup

_EXCHANGE = "bench.pika"


class PikaCasts(OneWay):
    """`new_task` and `worker`, `emit_log_topic` and `receive_logs_topic`."""

    name = "pika tutorial"
    kind = "hand"
    note = "one queue, one function, nothing around it; its events are not confirmed"
    quick = 12_000

    def unable(self, mode: Mode) -> str | None:
        return "it waits for each confirm" if mode.kind == "cast" and mode.in_flight > 1 else None

    def serve(self, setup: Setup) -> None:
        import pika

        channel = pika.BlockingConnection(pika.URLParameters(setup.url)).channel()
        (_subscribe if setup.kind == "event" else _work)(channel, setup)
        channel.start_consuming()

    def connect(self, setup: Setup) -> AbstractContextManager[Caster]:
        return _connected(setup)


def _declare(channel: Any, setup: Setup) -> None:
    channel.queue_declare(setup.queue, durable=True, arguments={"x-queue-type": setup.queue_type})


def _work(channel: Any, setup: Setup) -> None:
    def on_message(channel: Any, method: Any, _properties: Any, body: bytes) -> None:
        counted(json.loads(body)["argument"])
        channel.basic_ack(delivery_tag=method.delivery_tag)

    _declare(channel, setup)
    channel.basic_qos(prefetch_count=setup.prefetch)
    channel.basic_consume(setup.queue, on_message)


def _subscribe(channel: Any, setup: Setup) -> None:
    count: list[Callable[[], None]] = []

    def heard_by(number: int) -> Callable[..., None]:
        def on_message(_channel: Any, _method: Any, _properties: Any, body: bytes) -> None:
            json.loads(body)
            count[number]()

        return on_message

    channel.exchange_declare(_EXCHANGE, exchange_type="topic", durable=True)
    for number in range(setup.subscribers):
        queue = channel.queue_declare("", exclusive=True).method.queue
        channel.queue_bind(queue, _EXCHANGE, PATTERN)
        channel.basic_consume(queue, heard_by(number), auto_ack=True)
    count += subscribers(setup.subscribers)


@contextmanager
def _connected(setup: Setup) -> Iterator[Caster]:
    import pika

    with closing(pika.BlockingConnection(pika.URLParameters(setup.url))) as connection:
        channel = connection.channel()
        if setup.kind == "event":
            channel.exchange_declare(_EXCHANGE, exchange_type="topic", durable=True)
            yield _Client(channel, _EXCHANGE, TOPIC, pika.BasicProperties(content_type="application/json"))
            return
        _declare(channel, setup)
        if setup.kind == "cast":
            channel.confirm_delivery()
        persistent = pika.BasicProperties(content_type="application/json", delivery_mode=pika.DeliveryMode.Persistent)
        yield _Client(channel, "", setup.queue, persistent, mandatory=setup.kind == "cast")


class _Client:
    def __init__(self, channel: Any, exchange: str, key: str, properties: Any, *, mandatory: bool = False) -> None:
        self._publish = channel.basic_publish
        self._to = {"exchange": exchange, "routing_key": key, "properties": properties, "mandatory": mandatory}

    def call(self, argument: Any) -> None:
        body = argument if isinstance(argument, dict) else {"argument": argument}
        self._publish(body=json.dumps(body).encode(), **self._to)

    def cast_many(self, arguments: Iterable[Any]) -> None:
        raise NotImplementedError

    def fill(self, arguments: Iterable[Any]) -> None:
        for argument in arguments:
            self.call(argument)
