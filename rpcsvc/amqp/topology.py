"""Declares queues, exchanges and bindings that are given as data, and takes what is there already as it is."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from ..errors import QueueLocked, QueueMismatch
from ..wire.entities import Binding, Entity, Exchange, ExchangeBinding, Queue
from .channel import Channel
from .connection import Connection

log = logging.getLogger(__name__)


async def declare(connection: Connection, entities: Iterable[Entity]) -> None:
    """Declare all of them, in order. What is there, and declared otherwise, is taken as it is.

    Raises:
        AccessRefused: the user may not. Those before it are declared.
        QueueLocked: a queue is exclusive to somebody else.
        QueueNotFound: an exchange or queue of a binding is gone, or its node is down.
        ConnectionLost: the connection went.
    """
    channel = await connection.channel()
    try:
        for entity in entities:
            try:
                await _declare(channel, entity)
            except QueueLocked:
                raise
            except QueueMismatch as difference:
                log.info("%s is taken as it is: %s", entity, difference)
                channel = await connection.channel()
    finally:
        channel.close()


async def _declare(channel: Channel, entity: Entity) -> None:
    match entity:
        case Queue(name, arguments):
            await channel.declare_queue(name, durable=True, arguments=arguments)
        case Exchange(name, kind, arguments):
            await channel.declare_exchange(name, kind, durable=True, arguments=arguments)
        case Binding(queue, exchange, key):
            await channel.bind(queue, exchange, key)
        case ExchangeBinding(destination, source, key):
            await channel.bind_exchange(destination, source, key)


def delivers_any_number_of_times_if_told(broker_version: tuple[int, ...] | None) -> bool:
    """Whether the broker limits how often a quorum queue delivers a message, and takes -1 for no limit: since 4.0."""
    return broker_version is not None and broker_version >= (4,)
