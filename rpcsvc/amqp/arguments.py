"""The arguments of queues that RabbitMQ knows, with their units, and the tables that they travel as.

RabbitMQ compares them when a queue is declared that is there (406, `QueueMismatch`): who takes queues as they are asks
with `passive` first.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueArguments:
    """What a queue is declared with; None leaves an argument to the virtual host's policies and defaults.

    Attributes:
        queue_type: "classic", "quorum" or "stream".
        message_ttl: seconds after which a message in it expires, to the millisecond.
        expires: seconds without a consumer or a declaration after which the queue is deleted.
        max_length: messages that it holds; what comes or goes over that `overflow` says.
        overflow: "drop-head", "reject-publish" (a publisher in confirm mode is told) or "reject-publish-dlx".
        dead_letter_exchange: where rejected, expired and dropped messages go; "" is the default exchange.
        dead_letter_routing_key: with which routing key, in place of their own.
        dead_letter_strategy: "at-most-once", or for quorum queues that reject publishes "at-least-once".
        delivery_limit: how often a quorum queue delivers a message again; -1 is any number.
        max_priority: the highest priority that a classic queue tells apart.
        single_active_consumer: whether one consumer gets all messages, and the next one when it has gone.
    """

    queue_type: str | None = None
    message_ttl: float | None = None
    expires: float | None = None
    max_length: int | None = None
    overflow: str | None = None
    dead_letter_exchange: str | None = None
    dead_letter_routing_key: str | None = None
    dead_letter_strategy: str | None = None
    delivery_limit: int | None = None
    max_priority: int | None = None
    single_active_consumer: bool | None = None

    def table(self) -> dict[str, Any]:
        """The arguments that are set, by RabbitMQ's names: "x-queue-type" and so on; durations in milliseconds."""
        given = {field.name: getattr(self, field.name) for field in fields(self)}
        for name in ("message_ttl", "expires"):
            if given[name] is not None:
                given[name] = round(given[name] * 1000)
        return {f"x-{name.replace('_', '-')}": value for name, value in given.items() if value is not None}
