"""What `RpcClient` and `AsyncRpcClient` do with events: the same methods, that wait or are awaited."""

from __future__ import annotations

import asyncio

from ..errors import ClientClosed
from ..wire.events import subscription_queue
from . import own_thread
from .link import CallLink
from .portal import LinkThread
from .subscribing import Wanted
from .subscriptions import AsyncSubscription, Subscription


class Events:
    """The methods of `RpcClient`."""

    _thread: LinkThread
    _closed: bool

    def subscribe(
        self,
        *patterns: str,
        name: str | None = None,
        limit: int | None = None,
        exchange: str | None = None,
        expires: float | None = None,
    ) -> Subscription:
        """Hear events: an iterator, which hears what is published from when this returns.

        Args:
            patterns: of their topics: words with dots between, `*` for one word, `#` for any number of them. Without
                any it is all of users' events. What servers tell of themselves begins with "rpcsvc.".
            name: makes it durable: it goes on while nobody is there, and those of one name share the events. It has the
                patterns of all who have subscribed under it; `unsubscribe` ends it.
            limit: how many events may wait. Above that the oldest are dropped: counted (`Event.missed`) in this
                program, 10,000 by default; untold in the queue of one with a name, unlimited by default.
            exchange: an exchange of others, to be heard in place of ours: fanout, direct or topic. It must exist.
            expires: seconds without a subscriber after which one with a name goes.

        Raises:
            ConfigurationError: a pattern or an option is wrong.
            ExchangeNotFound: there is no such exchange.
            AccessRefused: the user may not hear it.
            ConnectionFailed: there is no connection.
            ClientClosed: the client is closed.
            OutOfPlace: it would wait on a client's own thread, for instance in a done callback.
        """
        self._check_may_wait("subscribe()")
        wanted = Wanted.checked(patterns, name=name, limit=limit, exchange=exchange, expires=expires)
        return Subscription(wanted, self._thread, self)

    def unsubscribe(self, name: str) -> None:
        """Delete a subscription with a name, and the events that wait in it. One that is not there is fine.

        Who still subscribes under it begins anew.

        Raises:
            AccessRefused: the user may not.
            ConfigurationError, ConnectionFailed, ClientClosed, OutOfPlace: as `subscribe`.
        """
        self._check_may_wait("unsubscribe()")
        queue = subscription_queue(name)
        self._thread.run(lambda: self._thread.link.subscriptions.delete(queue))

    def _check_may_wait(self, what: str) -> None:
        own_thread.refuse_to_wait(what)
        if self._closed:
            raise ClientClosed("the client is closed")


class AsyncEvents:
    """The methods of `AsyncRpcClient`."""

    _link: CallLink

    def _on_its_loop(self) -> asyncio.AbstractEventLoop:
        raise NotImplementedError

    def subscribe(
        self,
        *patterns: str,
        name: str | None = None,
        limit: int | None = None,
        exchange: str | None = None,
        expires: float | None = None,
    ) -> AsyncSubscription:
        """Hear events, with `async for`; see `RpcClient.subscribe`. It begins when it is awaited, entered or asked."""
        self._on_its_loop()
        wanted = Wanted.checked(patterns, name=name, limit=limit, exchange=exchange, expires=expires)
        return AsyncSubscription(wanted, self._link, self)

    async def unsubscribe(self, name: str) -> None:
        """Delete a subscription with a name; see `RpcClient.unsubscribe`."""
        self._on_its_loop()
        await self._link.subscriptions.delete(subscription_queue(name))
