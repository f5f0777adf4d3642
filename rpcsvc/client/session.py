"""One connection of a client with its callback queue, and what is asked through it of the servers' queue."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable

from ..amqp import Channel, Connection, Delivery, Expendable, QueueState, Returned
from ..deadline import Deadline
from ..errors import ConnectionFailed, ConnectionLost, QueueNotFound, RpcError
from ..settings import BrokerUrl
from ..wire.events import queue_deleted
from ..wire.names import CONTROL, EVENTS
from ..wire.sizes import BodyLimit


class Session:
    """One connection with its callback queue.

    Attributes:
        expendable: for requests that the broker may refuse.
        lost: done when the session cannot be used any more, with the reason as its result.
    """

    def __init__(self, connection: Connection, channel: Channel, callback_queue: str, expendable: Expendable) -> None:
        self.connection = connection
        self.channel = channel
        self.expendable = expendable
        self.callback_queue = callback_queue
        self.lost: asyncio.Future[RpcError] = asyncio.get_running_loop().create_future()
        # What is asked of a queue that does not exist, or that is refused, costs its channel, so it has one of its own;
        # and so has what servers are told, by an exchange that may not exist.
        self._asking: Channel | None = None
        self._turn = asyncio.Lock()
        self._telling: Channel | None = None
        self._listening: asyncio.Task[None] | None = None
        channel.lost.add_done_callback(lambda lost: self.end(lost.result()))

    def end(self, reason: RpcError) -> None:
        """Note that the session cannot be used any more."""
        if not self.lost.done():
            self.lost.set_result(reason)

    @classmethod
    async def open(
        cls,
        url: BrokerUrl,
        limit: BodyLimit,
        *,
        timeout: float,
        delivered: Callable[[Delivery], None],
        returned: Callable[[Returned], None],
    ) -> Session:
        """Connect, and consume an exclusive, server-named callback queue.

        Args:
            url: the broker's.
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
        session = cls(connection, channel, callback_queue.name, Expendable(connection, limit, returned=returned))
        cancelled.add_done_callback(lambda reason: session.end(reason.result()))
        return session

    async def observe(self, queue: str) -> QueueState:
        """What is in a queue, and how many consume it.

        Raises:
            QueueNotFound: there is none.
            AccessRefused, QueueMismatch: the broker does not say.
            ConnectionLost: the channel went, perhaps with the connection.
        """
        async with self._turn:
            if self._asking is None or self._asking.lost.done():
                self._asking = await self.connection.channel()
            return await self._asking.declare_queue(queue, passive=True)

    async def settle(self) -> None:
        """Return when every message that was published and that no queue took has come back: AMQP keeps the order."""
        await self.channel.prefetch(0)

    def listen(self, queue: str) -> None:
        """Have servers tell when the queue was deleted: if it is declared again at once, no question finds that out.

        Servers that tell nothing, or a user who may not listen, do without.
        """
        if self._listening is None:
            self._listening = asyncio.get_running_loop().create_task(self._listen(queue))

    async def _listen(self, queue: str) -> None:
        with contextlib.suppress(RpcError):
            channel = await self.connection.channel()
            await channel.bind(self.callback_queue, EVENTS, queue_deleted(queue))
            await channel.bind(self.callback_queue, EVENTS, queue)  # of servers before 0.3
            channel.close()

    async def tell(self, messages: Iterable[bytes], refused: Callable[[str], None]) -> None:
        """Tell all servers something.

        Args:
            messages: what.
            refused: called with the reason if the broker refuses it, by ending the channel but not the connection.

        Raises:
            RpcError: the channel or the connection has gone.
        """
        if self._telling is None or self._telling.lost.done():
            self._telling = await self.connection.channel()
            self._telling.lost.add_done_callback(
                lambda lost: None if self.connection.lost.done() else refused(str(lost.result()))
            )
        for message in messages:
            self._telling.publish("", message, exchange=CONTROL)
