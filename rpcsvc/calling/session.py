"""One connection of a client with its callback queue, and what is known of the servers behind it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from ..amqp import Channel, Connection, Delivery, Expendable, Returned
from ..deadline import Deadline
from ..errors import ConnectionFailed, ConnectionLost, QueueNotFound, RpcError
from ..settings import EVENTS, BrokerUrl
from ..sizes import BodyLimit
from .calls import now

SENT_AGAIN = "again"
"""The message_id of a call that was sent before, on a connection that was lost: it may have run."""
EVIDENCE_LASTS = 1.0
"""Seconds for which a reply, or a look at the queue, is evidence of a server."""


class Session:
    """One connection with its callback queue, and what is known of the servers through it.

    Attributes:
        expendable: for requests that the broker may refuse.
        lost: done when the session cannot be used any more, with the reason as its result.
        consumers: how many consumers the queue had at the last look that saw one.
        has_seen_consumers: whether there was such a look.
        queue_was_gone: whether the queue was seen missing. What lay in it is lost, also if there is one again.
    """

    def __init__(
        self, connection: Connection, channel: Channel, expendable: Expendable, callback_queue: str, queue: str
    ) -> None:
        self.connection = connection
        self.channel = channel
        self.expendable = expendable
        self.callback_queue = callback_queue
        self._queue = queue
        self.lost: asyncio.Future[RpcError] = asyncio.get_running_loop().create_future()
        self.consumers = 1
        self.has_seen_consumers = False
        self.queue_was_gone = False
        self._seen = float("-inf")
        # A look at a queue that does not exist costs its channel, so looks have a channel of their own.
        self._looking: Channel | None = None
        self._listening: asyncio.Task[None] | None = None
        channel.lost.add_done_callback(lambda lost: self._end(lost.result()))

    def _end(self, reason: RpcError) -> None:
        if not self.lost.done():
            self.lost.set_result(reason)

    def saw_server(self) -> None:
        """Something came from a server just now."""
        self._seen = now()

    def lost_evidence(self) -> None:
        """What was known of a server holds no longer."""
        self._seen = float("-inf")

    def has_evidence(self, within: float = EVIDENCE_LASTS) -> bool:
        """Whether a server was there in the last `within` seconds."""
        return now() - self._seen < within

    @classmethod
    async def open(
        cls,
        url: BrokerUrl,
        queue: str,
        limit: BodyLimit,
        *,
        timeout: float,
        delivered: Callable[[Delivery], None],
        returned: Callable[[Returned], None],
    ) -> Session:
        """Connect, and consume an exclusive, server-named callback queue.

        Args:
            url: the broker's.
            queue: where the servers listen.
            limit: how large a request may be.
            timeout: seconds to connect.
            delivered: called with each reply.
            returned: called with each call that no queue took.

        Raises:
            ConnectionFailed, AuthenticationFailed, AccessRefused
        """
        deadline = Deadline.after(timeout)
        cancelled: asyncio.Future[RpcError] = asyncio.get_running_loop().create_future()
        connection = await Connection.open(url, role="rpcsvc client", timeout=timeout)
        try:
            async with asyncio.timeout(deadline.remaining):
                channel = await connection.channel()
                callback_queue = await channel.declare_queue(exclusive=True, auto_delete=True)
                channel.on_return(returned)
                await channel.consume(
                    callback_queue.name,
                    delivered,
                    cancelled=lambda: cancelled.set_result(ConnectionLost("the callback queue was deleted")),
                    no_ack=True,
                )
        except TimeoutError:
            connection.abort()
            raise ConnectionFailed(f"the broker at {url} took the connection and then said no more") from None
        except (ConnectionLost, QueueNotFound) as error:
            connection.abort()
            raise ConnectionFailed(f"the connection to {url} went as soon as it was open: {error}") from None
        except BaseException:
            connection.abort()
            raise
        limit.connected(connection.broker_version)
        expendable = Expendable(connection, limit, returned=returned)
        session = cls(connection, channel, expendable, callback_queue.name, queue)
        cancelled.add_done_callback(lambda reason: session._end(reason.result()))
        return session

    async def look_for_server(self, *, has_calls: bool = False) -> str | None:
        """None if somebody consumes the queue; else what is missing.

        Args:
            has_calls: calls of ours went to the queue. If it is empty, somebody took them, and may be a server that
                finishes them before it stops; the broker puts back what a dead one held.
        """
        try:
            if self._looking is None or self._looking.lost.done():
                self._looking = await self.connection.channel()
            state = await self._looking.declare_queue(self._queue, passive=True)
        except QueueNotFound:
            self.queue_was_gone = True
            self.lost_evidence()
            return "the queue does not exist"
        if state.consumers > 0:
            self.consumers, self.has_seen_consumers = state.consumers, True
            self.saw_server()
            if self._listening is None:
                self._listening = asyncio.get_running_loop().create_task(self._listen())
            return None
        return None if has_calls and state.messages == 0 else "nobody consumes the queue"

    async def _listen(self) -> None:
        """Have servers tell when the queue was deleted: if it is declared again at once, no look sees that.

        Servers that tell nothing, or a user who may not listen, do without.
        """
        with contextlib.suppress(RpcError):
            channel = await self.connection.channel()
            await channel.bind(self.callback_queue, EVENTS, self._queue)
            channel.close()
