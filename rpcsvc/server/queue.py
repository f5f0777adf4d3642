"""The queue of a server: how it is found, what can be known of it, and what it means that the broker ended a consumer.

    look (passive) --found--> taken as it is
          |  \\--403--> taken unseen: consuming it tells whether it is there
         404 --> declare (durable, of the given type) --somebody else was quicker, and made another--> look again

Rules: nothing of a queue that is there is changed or complained about. Whatever may cost a channel is done on one that
holds nothing, and where it may cost the connection (541, while a quorum queue is being deleted) on one of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass

from ..amqp import Channel, Connection, QueueArguments
from ..errors import AccessRefused, QueueLocked, QueueMismatch, QueueNotFound

ENDS_CONSUMERS_OF_LIVE_QUEUES = (4, 3)
"""The first RabbitMQ that ends a consumer (Basic.Cancel) whose queue lives, because it held a delivery for too long."""
LOOKS_AFTER = (0.0, 0.05, 0.15)
"""Seconds before each look that has to find a queue before it is taken to live on. RabbitMQ 4 ends the consumers of a
quorum queue that is deleted some milliseconds before a look misses it."""
DECLARED_WITHIN = 0.2
"""Seconds that others get to finish declaring a queue: who consumes a quorum queue before that loses its connection."""
_ROUNDS = 5
"""How often a queue is looked for again that others declare, or delete, in the same moment."""
_DIFFERENCE = re.compile(
    r"inequivalent arg '([^']+)' .*received .* but current is (?:none|(?:the value )?'(.*?)')(?: of type|;|$)",
    re.DOTALL,
)
"""RabbitMQ's sentence for a declaration that differs from the queue that is there; it names the first difference."""


@dataclass(frozen=True, slots=True)
class QueueFound:
    """What is known of the queue that a server serves.

    Attributes:
        declared: whether this server has just declared it.
        queue_type: "classic", "quorum" …, where that is known.
        is_plain: whether it is known to be durable, of that type, without further arguments.
        difference: the first property or argument, with its value, in which it differs from that. RabbitMQ tells no
            more: a passive declaration tells name and counts only.
    """

    declared: bool
    queue_type: str | None = None
    is_plain: bool = False
    difference: str | None = None

    def __str__(self) -> str:
        """For instance "declared: classic", "found: quorum", "found: x-message-ttl 60000"."""
        known = self.queue_type or self.difference or "its kind cannot be seen"
        return f"{'declared' if self.declared else 'found'}: {known}"


def difference_of(refusal: str) -> tuple[str, str] | None:
    """The argument in which a queue differs from a declaration, and its value there, by the broker's refusal.

    An argument that the queue was not given has the value "none". None if the refusal is about something else.
    """
    found = _DIFFERENCE.search(refusal)
    return None if found is None else (found[1], found[2] or "none")


def as_found(refusal: str) -> QueueFound:
    """What the broker's refusal to declare a queue otherwise (406) tells of it."""
    difference = difference_of(refusal)
    if difference is None:
        return QueueFound(declared=False)
    name, value = difference
    if name == "x-queue-type":
        return QueueFound(declared=False, queue_type="classic" if value == "none" else value)
    return QueueFound(declared=False, difference=f"{name} {value}")


def may_end_consumers_of_live_queues(broker_version: tuple[int, ...] | None) -> bool:
    """Whether Basic.Cancel may mean something else than a deleted queue; a broker that does not say its version may."""
    return broker_version is None or broker_version >= ENDS_CONSUMERS_OF_LIVE_QUEUES


async def find(connection: Connection, queue: str, queue_type: str) -> QueueFound:
    """Make sure that a queue is there: it is taken as it is, and declared where it is missing.

    Args:
        connection: on which the server is about to consume.
        queue: its name.
        queue_type: what it is declared as, "classic" or "quorum".

    Raises:
        QueueLocked: it is exclusive to somebody else.
        QueueMismatch: it comes and goes, as something else each time.
        AccessRefused: it is not there, and the user may not declare it.
        QueueNotFound: it cannot be declared for now: its node is down, in a cluster.
    """
    for attempt in range(_ROUNDS):
        try:
            if await is_there(connection, queue):
                return QueueFound(declared=False)
        except AccessRefused:
            return QueueFound(declared=False)
        try:
            await _declare(connection, queue, queue_type)
        except AccessRefused as refused:
            raise AccessRefused(f"{refused}; nor did somebody else declare it before") from None
        except QueueLocked:
            raise
        except QueueMismatch:  # somebody else has just declared it
            if attempt == _ROUNDS - 1:
                raise
        else:
            return QueueFound(declared=True, queue_type=queue_type, is_plain=True)
    raise AssertionError("the last attempt returns or raises")


async def examine(connection: Connection, queue: str, queue_type: str) -> QueueFound:
    """What can be known of a queue that was there: RabbitMQ says in what it differs from what would be declared.

    If it has gone meanwhile, it is declared by that. Who may not declare it learns nothing.

    Raises:
        QueueMismatch: it is a stream, which gives each message to every consumer.
        QueueNotFound: as `find`.
    """
    try:
        await _declare(connection, queue, queue_type)
    except QueueMismatch as refusal:
        found = as_found(str(refusal))
    except AccessRefused:
        return QueueFound(declared=False)
    else:
        return QueueFound(declared=False, queue_type=queue_type, is_plain=True)
    if found.queue_type == "stream":
        raise QueueMismatch(
            f"the queue {queue!r} is a stream: each worker would get every call; use another --queue"
        ) from None
    return found


async def is_there(connection: Connection, queue: str) -> bool:
    """Whether there is a queue of that name; looking at it changes nothing.

    Raises:
        AccessRefused: the user may not look. RabbitMQ 4.2.6 and 4.3.0 want the right to configure the queue for that,
            later ones any right on it, earlier ones none.
        QueueLocked: it is exclusive to somebody else.
    """
    async with _expendable(connection) as channel:
        try:
            await channel.declare_queue(queue, passive=True)
        except QueueNotFound:
            return False
    return True


async def was_deleted(connection: Connection, queue: str) -> bool:
    """Whether a queue whose consumer the broker has ended was deleted; if it lives, that takes a moment.

    A broker that ends consumers for no other reason has deleted it, even if there is one of that name again.
    Who may not look takes the queue to live: consuming it will tell.
    """
    try:
        for pause in LOOKS_AFTER:
            await asyncio.sleep(pause)
            if not await is_there(connection, queue):
                return True
    except (AccessRefused, QueueLocked):
        pass
    return not may_end_consumers_of_live_queues(connection.broker_version)


async def _declare(connection: Connection, queue: str, queue_type: str) -> None:
    async with _expendable(connection) as channel:
        await channel.declare_queue(queue, durable=True, arguments=QueueArguments(queue_type=queue_type))


@contextlib.asynccontextmanager
async def _expendable(connection: Connection) -> AsyncIterator[Channel]:
    """A channel for one question: whatever the answer is, no other work is lost with it."""
    channel = await connection.channel()
    try:
        yield channel
    finally:
        channel.close()
