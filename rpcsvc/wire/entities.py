"""The queues and exchanges of casts and events, with their bindings, as data. Pure: `amqp.topology` declares them.

    caller --> Q.casts --rejected by the broker--> rpcsvc.dead --> Q.dead
                 ^
                 +-- rpcsvc.due <-- rpcsvc.delay.0 <-- … <-- rpcsvc.delay.19

All are durable. What waits, died or was lost is on quorum queues, and goes from one to the next at least once (by
RabbitMQ's at-least-once dead lettering, which wants quorum queues that reject what they cannot take). Where no queue is
bound any more, messages go to `rpcsvc.lost` instead of staying in the way of others.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from .casts import LEVELS, casts_queue, dead_queue, due_pattern, level_pattern
from .events import exchange_of
from .names import DEAD, DELAY, DUE, EVENTS, LOST, TOPICS

DELIVERY_LIMIT = 20
"""How often a quorum queue gives out a cast again before it is a dead letter: RabbitMQ's own default since 4.0."""
HANDLER_EXPIRES = 7 * 86400
"""Seconds without a consumer after which the queue of a handler of events goes."""
_SAFELY = {"x-dead-letter-strategy": "at-least-once", "x-overflow": "reject-publish"}
_QUORUM = {"x-queue-type": "quorum"}


@dataclass(frozen=True, slots=True)
class Queue:
    """A durable queue."""

    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Exchange:
    """A durable exchange of that kind."""

    name: str
    kind: str
    arguments: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Binding:
    """Messages of an exchange with such a key come to a queue."""

    queue: str
    exchange: str
    key: str = ""


@dataclass(frozen=True, slots=True)
class ExchangeBinding:
    """Messages of the exchange `source` with such a key go to the exchange `destination`."""

    destination: str
    source: str
    key: str = ""


Entity: TypeAlias = Queue | Exchange | Binding | ExchangeBinding
Entities: TypeAlias = tuple[Entity, ...]


def for_casts(
    queue: str,
    *,
    queue_type: str = "quorum",
    max_length: int | None = None,
    dead_ttl: float | None = None,
    unlimited: bool = False,
) -> Entities:
    """What a served queue needs for its casts: in this order, `Q.casts` last.

    Args:
        queue: the served queue.
        queue_type: of `Q.casts`, "quorum" or "classic".
        max_length: casts that may wait; None is any number.
        dead_ttl: seconds that dead letters are kept; None is for ever.
        unlimited: whether the broker has to be told to deliver a letter any number of times: from 4.0 on.
    """
    arguments: dict[str, Any] = {
        "x-queue-type": queue_type,
        "x-dead-letter-exchange": DEAD,
        "x-dead-letter-routing-key": queue,
    }
    if queue_type == "quorum":
        arguments |= {"x-delivery-limit": DELIVERY_LIMIT, **_SAFELY}
    if max_length is not None:
        arguments |= {"x-max-length": max_length, "x-overflow": "reject-publish"}
    casts = casts_queue(queue)
    return (
        *for_lost(unlimited=unlimited),
        *for_dead(queue, dead_ttl=dead_ttl, unlimited=unlimited),
        for_due(),
        Queue(casts, arguments),
        Binding(casts, DUE, due_pattern(casts)),
    )


def for_foreign(queue: str, *, dead_ttl: float | None = None, unlimited: bool = False) -> Entities:
    """What a queue of others needs beside it: its dead letters, and that what has waited for it comes back to it."""
    return (
        *for_lost(unlimited=unlimited),
        *for_dead(queue, dead_ttl=dead_ttl, unlimited=unlimited),
        for_due(),
        Binding(queue, DUE, due_pattern(queue)),
    )


def for_handler(
    queue: str,
    name: str,
    bindings: Entities,
    *,
    dead_ttl: float | None = None,
    unlimited: bool = False,
) -> Entities:
    """The queue of a handler of events, shared by all pools of a served queue.

    Args:
        queue: the served queue, whose dead letters the handler's are.
        name: of the handler's queue.
        bindings: of that to the exchanges of events.
        dead_ttl, unlimited: as for `for_casts`.
    """
    arguments = {
        **_QUORUM,
        "x-expires": HANDLER_EXPIRES * 1000,
        "x-delivery-limit": DELIVERY_LIMIT,
        "x-dead-letter-exchange": DEAD,
        "x-dead-letter-routing-key": queue,
        **_SAFELY,
    }
    return (
        *for_lost(unlimited=unlimited),
        *for_dead(queue, dead_ttl=dead_ttl, unlimited=unlimited),
        for_due(),
        Queue(name, arguments),
        Binding(name, DUE, due_pattern(name)),
        *bindings,
    )


def bindings_of(queue: str, patterns: Iterable[str], exchange: str | None) -> tuple[Entities, Entities]:
    """How a queue hears events: the exchanges of ours that this needs, and the bindings.

    Args:
        queue: its name.
        patterns: of the topics.
        exchange: of others; None is ours.
    """
    bindings = tuple(Binding(queue, exchange or exchange_of(pattern), pattern) for pattern in patterns)
    named = {binding.exchange for binding in bindings}
    return (*(for_topics() if TOPICS in named else ()), *(for_life() if EVENTS in named else ())), bindings


def for_subscription(
    queue: str, *, max_length: int | None = None, expires: float | None = None, unlimited: bool = False
) -> Queue:
    """The queue of a durable subscription, shared by all who subscribe under its name.

    Args:
        queue: its name.
        max_length: events that may wait; the oldest go first. None is any number.
        expires: seconds without a subscriber after which it goes; None is never.
        unlimited: as for `for_casts`. An event is not lost because its subscribers were killed over others.
    """
    arguments: dict[str, Any] = {**_QUORUM, **_unlimited(unlimited)}
    if max_length is not None:
        arguments |= {"x-max-length": max_length, "x-overflow": "drop-head"}
    if expires is not None:
        arguments["x-expires"] = round(expires * 1000)
    return Queue(queue, arguments)


def for_delays() -> Entities:
    """The levels in which messages wait."""
    levels: list[Entity] = [for_due()]
    for level in range(LEVELS):
        name = f"{DELAY}{level}"
        below = f"{DELAY}{level - 1}" if level else DUE
        arguments = {**_QUORUM, "x-message-ttl": 2**level * 1000, "x-dead-letter-exchange": below, **_SAFELY}
        levels += (
            Exchange(name, "topic"),
            Queue(name, arguments),
            Binding(name, name, level_pattern(level, 1)),
            ExchangeBinding(below, name, level_pattern(level, 0)),
        )
    return tuple(levels)


def for_due() -> Exchange:
    """The exchange of what has waited."""
    return Exchange(DUE, "topic", {"alternate-exchange": LOST})


def for_dead(queue: str, *, dead_ttl: float | None = None, unlimited: bool = False) -> Entities:
    """Where the dead letters of a queue go."""
    name = dead_queue(queue)
    arguments: dict[str, Any] = {**_QUORUM, **_unlimited(unlimited)}
    if dead_ttl is not None:
        arguments["x-message-ttl"] = round(dead_ttl * 1000)
    return Exchange(DEAD, "direct", {"alternate-exchange": LOST}), Queue(name, arguments), Binding(name, DEAD, queue)


def for_lost(*, unlimited: bool = False) -> Entities:
    """Where messages go that no queue is bound for any more."""
    return Exchange(LOST, "fanout"), Queue(LOST, {**_QUORUM, **_unlimited(unlimited)}), Binding(LOST, LOST)


def for_topics() -> Entities:
    """The exchange of users' events."""
    return (Exchange(TOPICS, "topic"),)


def for_life() -> Entities:
    """The exchange of what servers tell of themselves."""
    return (Exchange(EVENTS, "topic"),)


def _unlimited(told: bool) -> dict[str, int]:
    return {"x-delivery-limit": -1} if told else {}
