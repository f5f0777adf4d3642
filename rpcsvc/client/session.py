"""One connection of a client with its callback queue, and the looks at the servers' queue through it."""

from __future__ import annotations

import asyncio
import contextlib
import copy
from collections.abc import Callable

from ..amqp import Channel, Connection, Delivery, Expendable, Returned
from ..deadline import Deadline
from ..errors import AccessRefused, ConnectionFailed, ConnectionLost, QueueMismatch, QueueNotFound, RpcError
from ..settings import BrokerUrl
from ..wire.names import EVENTS
from ..wire.sizes import BodyLimit
from .evidence import Evidence


class Session:
    """One connection with its callback queue, and the looks at the servers' queue through it.

    Attributes:
        expendable: for requests that the broker may refuse.
        lost: done when the session cannot be used any more, with the reason as its result.
    """

    def __init__(
        self,
        connection: Connection,
        channel: Channel,
        callback_queue: str,
        queue: str,
        *,
        expendable: Expendable,
        evidence: Evidence,
    ) -> None:
        self.connection = connection
        self.channel = channel
        self.expendable = expendable
        self.callback_queue = callback_queue
        self._queue = queue
        self._evidence = evidence
        self.lost: asyncio.Future[RpcError] = asyncio.get_running_loop().create_future()
        # A look at a queue that does not exist, or that is refused, costs its channel, so looks have one of their own.
        self._looking: Channel | None = None
        self._listening: asyncio.Task[None] | None = None
        channel.lost.add_done_callback(lambda lost: self._end(lost.result()))

    def _end(self, reason: RpcError) -> None:
        if not self.lost.done():
            self.lost.set_result(reason)

    @classmethod
    async def open(
        cls,
        url: BrokerUrl,
        queue: str,
        limit: BodyLimit,
        evidence: Evidence,
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
            evidence: where what is seen of them is noted.
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
        session = cls(connection, channel, callback_queue.name, queue, expendable=expendable, evidence=evidence)
        cancelled.add_done_callback(lambda reason: session._end(reason.result()))
        return session

    async def look(self, *, has_calls: bool = False) -> None:
        """Look whether somebody consumes the queue, and note it in the evidence; not where that is refused.

        Args:
            has_calls: calls of ours went to the queue.

        Raises:
            ConnectionLost: the session can be used no more.
        """
        if self.channel.lost.done():
            raise copy.copy(self.channel.lost.result())
        if not self._evidence.is_blind:
            try:
                if self._looking is None or self._looking.lost.done():
                    self._looking = await self.connection.channel()
                state = await self._looking.declare_queue(self._queue, passive=True)
            except QueueNotFound:
                self._evidence.missing()
            except AccessRefused as error:
                self._refused(error, str(error))
            except QueueMismatch as error:  # RESOURCE_LOCKED: it is another connection's alone, which takes calls there
                self._refused(error, None)
            else:
                self._evidence.looked(state.messages, state.consumers, has_calls=has_calls)
        if self._evidence.absence is None and self._listening is None:
            self._listening = asyncio.get_running_loop().create_task(self._listen())

    def _refused(self, error: RpcError, reason: str | None) -> None:
        if self.connection.lost.done():  # it was no look that was refused
            raise error
        self._evidence.refused(reason)

    async def until_returned(self) -> None:
        """Return when every message that was published and that no queue took has come back: AMQP keeps the order."""
        await self.channel.prefetch(0)

    async def _listen(self) -> None:
        """Have servers tell when the queue was deleted: if it is declared again at once, no look sees that.

        Servers that tell nothing, or a user who may not listen, do without.
        """
        with contextlib.suppress(RpcError):
            channel = await self.connection.channel()
            await channel.bind(self.callback_queue, EVENTS, self._queue)
            channel.close()
