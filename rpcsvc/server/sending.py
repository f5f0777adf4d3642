"""What is published in place of casts, copies that wait and dead letters: confirmed by the broker, whatever that takes.

    parcel --> published, mandatory --confirmed--> its cast is acked
                 |         |
                 |         +--came back, or there is no such exchange--> declared anew --+
                 +--refused (nack), or its channel was lost--> a pause ------------------+--> published again
                 +--forbidden--> by the next route

Rules: a parcel is given up only with its cast's session, and the broker delivers that cast again then. All go through
one channel in confirm mode, any number at a time; whatever costs it is the fault of one of them, and the others are
published again, marked, because they may be there twice.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any

from ..amqp import Channel, Connection, Properties, Returned
from ..amqp.reconnect import BackOff
from ..amqp.topology import declare
from ..errors import AccessRefused, QueueNotFound, RpcError
from ..host.logs import one_line
from ..wire.entities import for_delays
from ..wire.names import AGAIN
from .casts import Cast, Parcel
from .message import State

log = logging.getLogger(__name__)

_PAUSE_UP_TO = 5.0
"""Seconds between attempts to publish a parcel, at most."""


class Levels:
    """The levels in which messages wait: declared when they are first needed, once for all connections."""

    def __init__(self) -> None:
        self._are_there = False
        self._are_forbidden = False
        self._declaring = asyncio.Lock()

    async def ready(self, connection: Connection) -> bool:
        """Whether messages can wait; the levels are declared if that was not done yet.

        Raises:
            RpcError: they cannot be declared for now.
        """
        async with self._declaring:
            if not self._are_there and not self._are_forbidden:
                try:
                    await declare(connection, for_delays())
                    self._are_there = True
                except AccessRefused as refused:
                    self.forbidden(refused)
        return not self._are_forbidden

    def forbidden(self, refused: AccessRefused) -> None:
        """The broker does not let this user have messages wait."""
        if not self._are_forbidden:
            log.warning("casts that are tried again do not wait before that: %s", refused)
        self._are_forbidden = True

    def missing(self) -> None:
        """Some of them are not there."""
        self._are_there = False


class Sending:
    """The parcels of one connection.

    Args:
        connection: the session's.
        levels: where copies wait.
        confirmed: called with each cast in whose place the broker has something.
    """

    def __init__(self, connection: Connection, levels: Levels, confirmed: Callable[[Cast], None]) -> None:
        self._connection = connection
        self._levels = levels
        self._confirmed = confirmed
        self._channel: Channel | None = None
        self._opening = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()

    def send(self, cast: Cast, parcel: Parcel, *, may_wait: bool, restore: Callable[[], Awaitable[None]]) -> None:
        """Publish a parcel until the broker has it.

        Args:
            cast: in whose place.
            parcel: what.
            may_wait: whether messages can wait for its queue.
            restore: declares anew what its queue needs; may raise RpcError.
        """
        task = asyncio.ensure_future(self._send(cast, parcel, may_wait, restore))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _send(self, cast: Cast, parcel: Parcel, may_wait: bool, restore: Callable[[], Awaitable[None]]) -> None:
        routes = list(parcel.routes(cast.source, may_wait=may_wait))
        back_off, may_be_there = BackOff(_PAUSE_UP_TO), False
        while cast.state == State.COPYING and not self._connection.lost.done():
            exchange, _ = routes[0]
            try:
                if parcel.seconds and exchange and not await self._levels.ready(self._connection):
                    routes.pop(0)
                    continue
                returned = await self._publish(cast, parcel, routes[0], may_be_there)
                if returned is None:
                    self._confirmed(cast)
                    return
                await self._restore(exchange, parcel, restore)
            except RpcError as error:
                may_be_there = True
                log.debug("what stands for a cast is not confirmed yet: %s", error)
                if len(routes) > 1 and isinstance(error, AccessRefused) and f"'{exchange}'" in str(error):
                    routes.pop(0)
                    if parcel.seconds:
                        self._levels.forbidden(error)
                elif isinstance(error, QueueNotFound) and f"'{exchange}'" in str(error):
                    await self._restore(exchange, parcel, restore)
            await asyncio.sleep(back_off.next_pause())

    async def _restore(self, exchange: str, parcel: Parcel, restore: Callable[[], Awaitable[None]]) -> None:
        log.warning("a message came back, there is nothing behind %r; declaring it anew", exchange)
        if parcel.seconds and exchange:
            self._levels.missing()
        try:
            await restore()
        except RpcError as error:
            log.warning("that failed: %s", error)

    async def _publish(self, cast: Cast, parcel: Parcel, route: tuple[str, str], may_be_there: bool) -> Returned | None:
        await self._connection.until_free()
        channel = await self._open()
        delivery, (exchange, routing_key) = cast.delivery, route
        for properties in _ways(cast, parcel, may_be_there):
            try:
                confirmed = channel.publish_confirmed(
                    routing_key,
                    delivery.body,
                    exchange=exchange,
                    mandatory=True,
                    message_id=delivery.message_id,
                    correlation_id=delivery.correlation_id,
                    type=delivery.type,
                    properties=properties,
                )
            except ValueError as error:
                log.warning("some headers of a cast do not go with it: %s", one_line(str(error)))
            else:
                return await confirmed
        raise AssertionError("our own headers can be sent")

    async def _open(self) -> Channel:
        async with self._opening:
            if self._channel is None or self._channel.lost.done():
                channel = await self._connection.channel()
                await channel.confirm()
                self._channel = channel
            return self._channel

    def stop(self) -> None:
        """Publish no more: the connection went."""
        for task in self._tasks:
            task.cancel()

    def __repr__(self) -> str:
        return f"<Sending: {len(self._tasks)} parcels>"


def _ways(cast: Cast, parcel: Parcel, may_be_there: bool) -> Iterator[Properties]:
    """The properties of a parcel, the best first; the channel says ValueError to what it cannot send."""
    delivery = cast.delivery
    for headers in parcel.headers:
        marked: Mapping[str, Any] = headers
        if may_be_there and parcel.seconds is not None:
            marked = {**headers, AGAIN: True}
        yield Properties(
            headers=marked,
            persistent=True,
            priority=delivery.priority,
            content_type=delivery.content_type or "",  # None would be the channel's
            timestamp=delivery.timestamp,
        )
