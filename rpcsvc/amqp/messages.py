"""What is delivered and what is returned, with the properties that it came with; and what is said of a queue."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from . import properties

_HAS_HEADERS = properties.HEADERS >> 8
"""In the first byte of the flags."""


@dataclass(slots=True)
class Delivery:
    """A message that the broker delivered (AMQP 0-9-1 basic.deliver).

    What calls need is read as it comes; the rest stays bytes until it is asked for.

    Attributes:
        delivery_tag: names the delivery on its channel, for the ack.
        redelivered: whether it may have been delivered before.
        body: the payload.
        correlation_id, reply_to, expiration, type, message_id: the properties of those names; None where the publisher
            set none.
        route_bytes: exchange and routing key, as they came.
        content_bytes: the content header from its flags on, as it came.
    """

    delivery_tag: int
    redelivered: bool
    body: bytes
    correlation_id: str | None
    reply_to: str | None
    expiration: str | None
    type: str | None
    message_id: str | None = None
    route_bytes: bytes = field(default=b"\0\0", repr=False, compare=False)
    content_bytes: bytes = field(default=b"\0\0", repr=False, compare=False)

    @property
    def exchange(self) -> str:
        """The exchange that the message was published to; "" is the default one."""
        return self._route(0)

    @property
    def routing_key(self) -> str:
        """The routing key that it was published with; on the default exchange the name of its queue."""
        return self._route(1 + self.route_bytes[0])

    @property
    def has_headers(self) -> bool:
        """Whether it came with headers; cheap."""
        return self.content_bytes[0] & _HAS_HEADERS != 0

    @property
    def headers(self) -> dict[str, Any]:
        """Its headers, decoded now; none are an empty table.

        Raises:
            DecodingError: they are no table.
        """
        encoded = self._property(properties.HEADERS)
        return {} if encoded is None else properties.table(encoded)

    @property
    def content_type(self) -> str | None:
        """What the body is, as the publisher says."""
        return self._property(properties.CONTENT_TYPE)  # type: ignore[no-any-return]

    @property
    def is_persistent(self) -> bool:
        """Whether a durable queue keeps it when its broker restarts (delivery mode 2)."""
        return bool(self._property(properties.DELIVERY_MODE) == properties.PERSISTENT)

    @property
    def priority(self) -> int | None:
        """0 to 255."""
        return self._property(properties.PRIORITY)  # type: ignore[no-any-return]

    @property
    def timestamp(self) -> int | None:
        """When it was made, in seconds since 1970, by the publisher's clock."""
        return self._property(properties.TIMESTAMP)  # type: ignore[no-any-return]

    def _property(self, flag: int) -> Any:
        return properties.read(self.content_bytes).get(flag)

    def _route(self, position: int) -> str:
        end = position + 1 + self.route_bytes[position]
        return self.route_bytes[position + 1 : end].decode("utf-8", properties.TEXT)


@dataclass(frozen=True, slots=True)
class Returned:
    """A mandatory message that no queue took (basic.return).

    Attributes:
        correlation_id, message_id: the properties of those names, as it was published.
        reply_text: why it came back, in the broker's words.
        exchange, routing_key: where it was published to.
    """

    correlation_id: str | None
    reply_text: str
    message_id: str | None = None
    exchange: str = ""
    routing_key: str = ""


@dataclass(frozen=True, slots=True)
class QueueState:
    """What queue.declare-ok says: the queue's name, ready messages and consumers."""

    name: str
    messages: int
    consumers: int
