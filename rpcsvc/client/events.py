"""What `RpcClient` and `AsyncRpcClient` do with events: the same methods, that wait or are awaited."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Iterable, Mapping
from functools import partial
from typing import Any

from ..errors import RpcError
from ..wire.events import subscription_queue
from .futures import Waiter
from .link import CallLink
from .many_casts import cast_all, cast_all_awaited
from .outgoing import Outgoing
from .portal import LinkThread
from .published import EventFactory, PublishedHow, what_is_left
from .subscribing import Wanted
from .subscriptions import AsyncSubscription, Subscription


class Events:
    """The methods of `RpcClient`."""

    _thread: LinkThread
    _published: EventFactory

    def publish(
        self,
        topic: str,
        body: Any,
        *,
        exchange: str | None = None,
        headers: Mapping[str, Any] | None = None,
        message_id: str | None = None,
        timeout: float | None = None,
    ) -> str:
        """Publish an event: whoever has subscribed to its topic hears it. Return when the broker has it safe.

        Safe is: in the queue of each durable subscription that was there, on disk. That nobody hears it is no error.

        Args:
            topic: words with dots between, up to 255 bytes. Those that begin with "rpcsvc." are the servers' own.
            body: `str` is text and `bytes` are themselves; all else travels as JSON, as the arguments of calls do.
            exchange: an exchange of others that it goes to, in place of ours; the topic is its routing key. It must
                exist.
            headers: text, bytes, whole numbers, bools, None, and lists and dictionaries of these, by name.
            message_id: its id, up to 255 bytes, by which subscribers tell doubles; None makes a UUID.
            timeout: seconds until which the broker must have it; None takes the client's, `math.inf` is none. It is
                sent again meanwhile if the connection is lost.

        Returns:
            Its message_id.

        Raises:
            EventUnknown: it was sent, and no confirm came in time, or the client was closed: it may be heard.
            MessageRefused: a queue that was to get it is full and refuses.
            ExchangeNotFound: there is no such exchange.
            AccessRefused: the user may not publish there.
            ConnectionFailed: it was not sent in time.
            EncodingError: the body cannot be carried exactly, or is too large.
            ConfigurationError: the topic or an option is wrong.
            ClientClosed: the client is closed; it was not sent.
            OutOfPlace: it would wait on a client's own thread, for instance in a done callback.
        """
        self._check_may_wait("publish()")
        how = PublishedHow.checked(exchange=exchange, headers=headers, message_id=message_id, timeout=timeout)
        answer = Waiter()
        message = self._published.make(topic, body, how, partial(_tell, answer))
        try:
            self._thread.post(message)
            answer.wait()
        except BaseException as error:
            if not answer.done():  # Ctrl-C: nobody waits for it any more
                error.add_note(what_is_left(message, is_sure=False))
                self._thread.given_up(message)
            raise
        return message.message_id

    def publish_many(
        self,
        topic: str,
        bodies: Iterable[Any],
        *,
        exchange: str | None = None,
        headers: Mapping[str, Any] | None = None,
        timeout: float | None = None,
    ) -> list[str]:
        """Publish an event for each body; return when the broker has all of them safe.

        They are sent ahead of their confirms, as fast as the broker takes them, and a bounded number is under way.

        Args:
            topic: of all of them.
            bodies: theirs.
            exchange, headers, timeout: of each, as for `publish`.

        Returns:
            The message_ids, in the order of the bodies.

        Raises:
            RpcError: the error of the first event that failed (see `publish`), when all that were made have their
                outcome; its attributes `failed` and `message_ids` are those of `cast_many`.
            ConfigurationError: the topic or an option is wrong, or the bodies are no iterable.
        """
        self._check_may_wait("publish_many()")
        how = PublishedHow.checked(exchange=exchange, headers=headers, timeout=timeout)
        make = partial(self._published.make_one, topic, how)
        return cast_all(make, self._thread.post, self._thread.wait_for, (bodies,), "publish_many")

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
        raise NotImplementedError


class AsyncEvents:
    """The methods of `AsyncRpcClient`."""

    _link: CallLink
    _published: EventFactory

    def _on_its_loop(self) -> asyncio.AbstractEventLoop:
        raise NotImplementedError

    async def publish(
        self,
        topic: str,
        body: Any,
        *,
        exchange: str | None = None,
        headers: Mapping[str, Any] | None = None,
        message_id: str | None = None,
        timeout: float | None = None,
    ) -> str:
        """Publish an event; see `RpcClient.publish`.

        Who cancels this, or puts a time-out around it, does not know whether the broker has the event, unless it was
        not sent yet; the CancelledError has a note that says so, with its message_id.
        """
        loop = self._on_its_loop()
        how = PublishedHow.checked(exchange=exchange, headers=headers, message_id=message_id, timeout=timeout)
        outcome: asyncio.Future[None] = loop.create_future()
        message = self._published.make(topic, body, how, partial(_tell_unless_done, outcome))
        self._link.posting.post(message)
        try:
            await outcome
        except asyncio.CancelledError as error:
            error.add_note(what_is_left(message, is_sure=True))
            self._link.posting.outbox.given_up(message)
            raise
        return message.message_id

    async def publish_many(
        self,
        topic: str,
        bodies: Iterable[Any] | AsyncIterable[Any],
        *,
        exchange: str | None = None,
        headers: Mapping[str, Any] | None = None,
        timeout: float | None = None,
    ) -> list[str]:
        """Publish an event for each body, which may come asynchronously; see `RpcClient.publish_many`."""
        self._on_its_loop()
        how = PublishedHow.checked(exchange=exchange, headers=headers, timeout=timeout)
        make = partial(self._published.make_one, topic, how)
        return await cast_all_awaited(make, self._link.posting.post, (bodies,), "publish_many")

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


def _tell(answer: Waiter | asyncio.Future[None], _: Outgoing, error: RpcError | None) -> None:
    if error is None:
        answer.set_result(None)
    else:
        answer.set_exception(error)


def _tell_unless_done(outcome: asyncio.Future[None], message: Outgoing, error: RpcError | None) -> None:
    if not outcome.done():  # else who waited was cancelled
        _tell(outcome, message, error)
