"""The queue of a test's casts without a pool: declared, and read by plain pika."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pika

from rpcsvc.testing import scaled
from rpcsvc.wire.entities import Binding, Exchange, ExchangeBinding, Queue, for_casts


class CastQueue:
    """The queue of casts of one served queue.

    Attributes:
        name: its name.
        channel: of plain pika, to do anything else with.
    """

    def __init__(self, channel: Any, queue: str) -> None:
        self.channel = channel
        self.name = f"{queue}.casts"

    @property
    def length(self) -> int:
        """How many casts are ready in it."""
        return int(self.channel.queue_declare(self.name, passive=True).method.message_count)

    def take(self, count: int = 1, *, within: float = 20.0) -> list[tuple[Any, dict[str, Any]]]:
        """The properties and requests of the next casts, taken off the queue."""
        taken: list[tuple[Any, dict[str, Any]]] = []
        end = time.monotonic() + scaled(within)
        while len(taken) < count:
            got, properties, body = self.channel.basic_get(self.name, auto_ack=True)
            if got is not None:
                taken.append((properties, json.loads(body)))
            elif time.monotonic() > end:
                raise AssertionError(f"{len(taken)} of {count} casts came")
            else:
                self.channel.connection.sleep(0.01)
        return taken


@contextmanager
def cast_queue(url: str, queue: str, **arguments: Any) -> Iterator[CastQueue]:
    """Declare what a pool declares for its casts, and show it; `arguments` as for `entities.for_casts`."""
    connection = pika.BlockingConnection(pika.URLParameters(url))
    channel = connection.channel()
    for entity in for_casts(queue, **arguments):
        match entity:
            case Queue(name, given):
                try:
                    channel.queue_declare(name, durable=True, arguments=dict(given))
                except pika.exceptions.ChannelClosedByBroker:  # declared otherwise, by a test with other options
                    channel = connection.channel()
            case Exchange(name, kind, given):
                channel.exchange_declare(name, kind, durable=True, arguments=dict(given))
            case Binding(name, exchange, key):
                channel.queue_bind(name, exchange, key)
            case ExchangeBinding(destination, source, key):
                channel.exchange_bind(destination, source, key)
    try:
        yield CastQueue(channel, queue)
    finally:
        if connection.is_open:
            connection.close()
