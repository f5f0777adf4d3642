"""The dead letters of one served queue: looked at and given back, put into their queues again, or dropped.

    Q.dead --get--> held --+--nack--> given back, when all is done
                           +--published to the queue that it came from, confirmed, then acked: requeued
                           +--ack--> dropped

Whatever ends this in the midst, a letter is lost only when it was to be dropped. A letter whose copy was confirmed and
which was not acked any more is there twice. What is held nobody else sees; so two that look at the same time see parts.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections import deque
from collections.abc import AsyncIterator, Awaitable
from functools import partial
from typing import TypeVar

from ..amqp import Channel, Delivery, Getter
from ..errors import (
    CastRejected,
    CastUnknown,
    ConnectionLost,
    DecodingError,
    LetterNotFound,
    NoServer,
    QueueNotFound,
    RpcError,
)
from ..wire.casts import History, casts_queue, dead_queue
from ..wire.letters import Letter
from .calls import now
from .opening import Connector
from .outgoing import Outgoing
from .posting import Posting

T = TypeVar("T")

TOGETHER = 200
"""Letters that are published before the first of them is confirmed."""

AHEAD = 16
"""Letters that are asked for before the first of them is here. Where there is none the broker works as long on that."""


class LetterBox:
    """The dead letters of one served queue, on one client's connection and event loop.

    Args:
        connector: the client's connections.
        posting: what publishes.
        queue: the served queue, or the foreign one.
        timeout: seconds for the broker to say something; infinite is none.
    """

    def __init__(self, connector: Connector, posting: Posting, queue: str, timeout: float) -> None:
        self._connector = connector
        self._posting = posting
        self._queue = queue
        self._timeout = timeout
        self._name = dead_queue(queue)

    async def letters(self) -> list[Letter]:
        """All letters; those of which that is known in the order in which they died.

        Raises:
            NoServer: there is no queue for them.
            ConnectionFailed, ConnectionLost: the broker is not to be reached, or was lost.
            AccessRefused: the user may not read them.
        """
        async with self._reading() as getter:
            letters = [letter_of(each) async for each in self._all(getter)]
        letters.sort(key=lambda letter: letter.died or 0)  # what was given back comes in any order
        return letters

    async def requeue(self, letter_id: str) -> None:
        """Put a letter into the queue again that it came from, as a new cast with none of its attempts made.

        Raises:
            LetterNotFound: there is none of that id.
            NoServer: that queue does not exist any more.
            CastRejected, CastUnknown: as for a cast. The letter stays.
            RpcError: as `letters`.
        """
        async with self._reading() as getter:
            delivery = await self._find(getter, letter_id)
            await self._publish(delivery)
            getter.ack(delivery)

    async def requeue_all(self) -> int:
        """Put all letters into their queues again that are there now; how many.

        Raises:
            RpcError: as `requeue`, of the first one that could not be; the others have been.
        """
        requeued: list[Delivery] = []
        failed: list[BaseException] = []
        async with self._reading() as getter:
            # All are held before the first is published: one that fails at once comes back, and must not go round.
            held = [each async for each in self._all(getter)]
            for start in range(0, len(held), TOGETHER):
                some = held[start : start + TOGETHER]
                outcomes = await asyncio.gather(*map(self._publish, some), return_exceptions=True)
                done = [each for each, outcome in zip(some, outcomes, strict=True) if outcome is None]
                failed += [outcome for outcome in outcomes if outcome is not None]
                await self._in_time(getter.ack_all(done))
                requeued += done
        if failed:
            failed[0].add_note(f"{len(requeued)} letters were requeued, and {len(failed)} were not")
            raise failed[0]
        return len(requeued)

    async def drop(self, letter_id: str) -> None:
        """Throw a letter away.

        Raises:
            LetterNotFound: there is none of that id.
            RpcError: as `letters`.
        """
        async with self._reading() as getter:
            getter.ack(await self._find(getter, letter_id))

    async def drop_all(self) -> int:
        """Throw all letters away that nobody looks at; how many.

        Raises:
            RpcError: as `letters`.
        """
        async with self._told(), self._channel() as channel:
            return await channel.purge_queue(self._name)

    # ---- inside

    @contextlib.asynccontextmanager
    async def _told(self) -> AsyncIterator[None]:
        """What goes wrong is told in words of letters."""
        try:
            yield
        except QueueNotFound:
            raise NoServer(
                self._queue, f"it has no queue for dead letters, {self._name!r}: no pool has ever served casts there"
            ) from None

    @contextlib.asynccontextmanager
    async def _channel(self) -> AsyncIterator[Channel]:
        await self._connector.connect()
        session = await self._connector.open()
        channel = await session.connection.channel()
        try:
            yield channel
        finally:
            channel.close()

    @contextlib.asynccontextmanager
    async def _reading(self) -> AsyncIterator[Getter]:
        async with self._told(), self._channel() as channel:
            getter = Getter(channel, self._name)
            try:
                yield getter
            finally:
                with contextlib.suppress(RpcError):
                    await self._in_time(getter.give_back())

    async def _all(self, getter: Getter) -> AsyncIterator[Delivery]:
        asked = deque(getter.get() for _ in range(AHEAD))
        while (delivery := await self._in_time(asked.popleft())) is not None:
            asked.append(getter.get())
            yield delivery

    async def _find(self, getter: Getter, letter_id: str) -> Delivery:
        async for each in self._all(getter):
            if letter_of(each).letter_id == letter_id:
                return each
        raise LetterNotFound(letter_id, self._queue)

    async def _in_time(self, answer: Awaitable[T]) -> T:
        try:
            async with asyncio.timeout(None if self._timeout == math.inf else self._timeout):
                return await answer
        except TimeoutError:
            raise ConnectionLost(f"the broker did not answer within {self._timeout:g} s") from None

    async def _publish(self, delivery: Delivery) -> None:
        """Publish a letter to the queue that it came from, and wait until that has it."""
        letter = letter_of(delivery)
        safe: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        message = Outgoing(
            Requeued(self._queue),
            letter.letter_id,
            "",
            letter.came_from or casts_queue(self._queue),
            delivery.body,
            now() + self._timeout,
            self._timeout,
            partial(_tell, safe),
        )
        message.type, message.content_type, message.priority = delivery.type, delivery.content_type, delivery.priority
        message.timestamp = delivery.timestamp
        message.headers = {**letter.headers, **History(first_published=letter.first_published).headers()}
        self._posting.post(message)
        try:
            await safe
        except asyncio.CancelledError:
            self._posting.outbox.given_up(message)
            raise

    def __repr__(self) -> str:
        return f"<LetterBox of {self._queue!r}>"


def letter_of(delivery: Delivery) -> Letter:
    """A message of a queue of dead letters, read."""
    try:
        headers = delivery.headers
    except DecodingError:  # whoever wrote it
        headers = {}
    return Letter.read(delivery.body, headers, delivery.message_id)


class Requeued:
    """What is told of a letter that is put into its queue again. (A kind of message: see `outgoing.Kind`.)"""

    def __init__(self, queue: str) -> None:
        self._queue = queue

    def returned(self, message: Outgoing) -> RpcError:
        """Its queue has gone."""
        return NoServer(
            self._queue,
            f"letter {message.message_id!r} came from the queue {message.routing_key!r}, which does not exist any more",
        )

    def rejected(self, message: Outgoing) -> RpcError:
        """Its queue is full."""
        return CastRejected(message.type or "", message.message_id, message.routing_key)

    def unknown(self, message: Outgoing, reason: str) -> RpcError:
        """Nobody knows whether its queue has it."""
        return CastUnknown(message.type or "", message.message_id, reason)


def _tell(safe: asyncio.Future[None], _: Outgoing, error: RpcError | None) -> None:
    if safe.done():
        return  # who waited was cancelled
    if error is None:
        safe.set_result(None)
    else:
        safe.set_exception(error)
