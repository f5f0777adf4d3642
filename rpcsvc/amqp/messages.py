"""What is delivered and what is returned, with the message properties that RPC needs."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Delivery:
    """A message that the broker delivered (AMQP 0-9-1 basic.deliver).

    Attributes:
        delivery_tag: names the delivery on its channel, for the ack.
        redelivered: whether it may have been delivered before.
        body: the payload.
        correlation_id, reply_to, expiration, type, message_id: the properties of those names; None where the publisher
            set none.
    """

    delivery_tag: int
    redelivered: bool
    body: bytes
    correlation_id: str | None
    reply_to: str | None
    expiration: str | None
    type: str | None
    message_id: str | None = None


@dataclass(slots=True)
class Returned:
    """A mandatory message that no queue took (basic.return)."""

    correlation_id: str | None
    reply_text: str
