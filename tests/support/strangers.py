"""Programs that know nothing of this library: they publish to queues, and read them, with plain pika."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pika
import pika.exceptions

from rpcsvc.wire.letters import Letter


@dataclass
class Read:
    """A message that was read from a queue."""

    body: bytes
    headers: dict[str, Any]
    message_id: str | None = None

    @property
    def letter(self) -> Letter:
        """As a dead letter."""
        return Letter.read(self.body, self.headers, self.message_id)


def _plain(headers: dict[str, Any]) -> dict[str, Any]:
    """Without pika's own type of whole numbers."""
    return {name: int(value) if type(value).__name__ == "long" else value for name, value in headers.items()}


@dataclass
class Stranger:
    """One who publishes, with confirms, and reads.

    Args:
        url: the broker's.
    """

    url: str
    queue: str = ""
    _properties: dict[str, Any] = field(default_factory=dict)

    @contextmanager
    def channel(self) -> Iterator[Any]:
        """A channel, for a moment."""
        connection = pika.BlockingConnection(pika.URLParameters(self.url))
        try:
            yield connection.channel()
        finally:
            connection.close()

    def publish(self, queue: str, *bodies: bytes, **properties: Any) -> None:
        """Have messages in a queue, which must be there."""
        with self.channel() as channel:
            channel.confirm_delivery()
            for body in bodies:
                channel.basic_publish(
                    "", queue, body, pika.BasicProperties(delivery_mode=2, **properties), mandatory=True
                )

    def cast(self, method: str, *args: Any, queue: str | None = None, **properties: Any) -> None:
        """A cast, as any language may write one."""
        body = json.dumps({"jsonrpc": "2.0", "method": method, "params": args}).encode()
        self.publish(f"{self.queue}.casts" if queue is None else queue, body, **properties)

    def declare(self, queue: str, *, durable: bool = True, **arguments: Any) -> None:
        """Make a queue."""
        with self.channel() as channel:
            channel.queue_declare(queue, durable=durable, arguments=arguments)

    def count(self, queue: str) -> int:
        """How many messages are ready in it; -1 if there is no such queue."""
        with self.channel() as channel:
            try:
                return int(channel.queue_declare(queue, passive=True).method.message_count)
            except pika.exceptions.ChannelClosedByBroker:
                return -1

    def drain(self, queue: str) -> list[Read]:
        """Take all that is ready in a queue."""
        with self.channel() as channel:
            found: list[Read] = []
            while True:
                method, properties, body = channel.basic_get(queue, auto_ack=True)
                if method is None:
                    return found
                found.append(Read(body, _plain(properties.headers or {}), properties.message_id))

    def letters(self, queue: str | None = None) -> list[Letter]:
        """Take the dead letters of a queue."""
        return [read.letter for read in self.drain(f"{self.queue if queue is None else queue}.dead")]
