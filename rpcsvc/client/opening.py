"""The connections of one client, one after the other.

    nobody --open--> opening --> current --lost--> nobody
                        |
                        +--failed--> nobody, and whoever waited gets the error

At most one is being opened, whoever asks for it; a broker that is not up yet, or away, is asked again with growing
pauses, but one that refuses us is not.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ..amqp import Delivery, Returned, Turns
from ..amqp.reconnect import Reconnection
from ..errors import ClientClosed, RpcError
from ..settings import BrokerUrl, BrokerUrls
from ..settings.client import ClientOptions
from ..wire.sizes import BodyLimit
from .calls import now
from .session import Session


class Connector:
    """Opens the sessions of one client.

    Args:
        urls: the brokers', a cluster's nodes.
        options: the client's.
        limit: how large a request may be; each connection says.
        opened: called when there is a session, when it is `current`.
        delivered: called with each reply.
        returned: called with each call that no queue took.
        lost: called when the current session has ended, when it is no longer `current`.
    """

    def __init__(
        self,
        urls: BrokerUrls,
        options: ClientOptions,
        limit: BodyLimit,
        *,
        opened: Callable[[Session], None],
        delivered: Callable[[Delivery], None],
        returned: Callable[[Returned], None],
        lost: Callable[[RpcError], None],
    ) -> None:
        self._turns = Turns(urls)
        self._options = options
        self._limit = limit
        self._has_opened = opened
        self._delivered = delivered
        self._returned = returned
        self._lost = lost
        self._opening: asyncio.Task[Session] | None = None
        self._closed = False
        self.current: Session | None = None

    async def connect(self) -> None:
        """Open a session, if there is none; a broker that is not up yet is waited for.

        Raises:
            ConnectionFailed: none could be had within the connect time-out; AuthenticationFailed, AccessRefused and
                TlsFailed are kinds of it, and come at once.
        """
        search = Reconnection(now(), within=self._options.connect_timeout)
        while True:
            try:
                await self.open()
                return
            except RpcError as error:
                pause = search.next_pause(error, now())
                if pause is None:
                    raise
                await asyncio.sleep(pause)

    async def open(self) -> Session:
        """The current session, or a new one; one attempt at each node, which everybody who asks meanwhile shares."""
        if self._closed:
            raise ClientClosed("the client is closed")
        if self.current is not None:
            return self.current
        if self._opening is None:
            self._opening = asyncio.get_running_loop().create_task(self._new())
            self._opening.add_done_callback(self._opened)
        return await asyncio.shield(self._opening)

    async def close(self) -> None:
        """Say goodbye on the current session; open none any more."""
        self._closed = True
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.gather(self._opening, return_exceptions=True)
        session, self.current = self.current, None
        if session is not None:
            await session.connection.close()

    async def _new(self) -> Session:
        session = await self._turns.open(self._open_at, timeout=self._options.connect_timeout)
        self.current = session
        session.lost.add_done_callback(lambda lost: self._ended(session, lost.result()))
        self._has_opened(session)
        return session

    async def _open_at(self, url: BrokerUrl, timeout: float) -> Session:
        return await Session.open(
            url,
            self._limit,
            timeout=timeout,
            delivered=self._delivered,
            returned=self._returned,
        )

    def _opened(self, task: asyncio.Task[Session]) -> None:
        self._opening = None
        if not task.cancelled():
            task.exception()  # whoever waited has seen it

    def _ended(self, session: Session, reason: RpcError) -> None:
        if self.current is not session:
            return
        self.current = None
        session.connection.abort()
        self._lost(reason)
