"""What `RpcClient` and `AsyncRpcClient` do with casts: the same methods, that wait or are awaited."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Iterable
from functools import partial
from typing import Any

from ..errors import RpcError
from ..settings.client import ClientOptions
from ..settings.names import check_queue
from .casting import CastFactory, How, what_is_left
from .dead_letters import AsyncDeadLetters, DeadLetters
from .futures import Waiter
from .link import CallLink
from .many_casts import cast_all, cast_all_awaited
from .outgoing import Outgoing
from .portal import LinkThread


class Casts:
    """The methods of `RpcClient`."""

    _thread: LinkThread
    _casts: CastFactory
    _options: ClientOptions

    def _check_may_wait(self, what: str) -> None:
        raise NotImplementedError

    def cast(
        self,
        method: str,
        /,
        *args: Any,
        delay: float | None = None,
        message_id: str | None = None,
        priority: int | None = None,
        expires: float | None = None,
        timeout: float | None = None,
        **kwargs: Any,
    ) -> str:
        """Have a function run once somebody has time for it; return when the broker has that safe.

        Nobody needs to serve the queue at the moment, but a pool must have served it once. It runs at least once, so
        perhaps twice: `message_id` is how a function can tell (`current_call().message_id`).

        Args:
            method: the function's name.
            args, kwargs: its arguments. Parameters that are named as one of those below are given by position.
            delay: seconds before it may run, rounded up to whole ones, at most 1,048,575.
            message_id: its id, up to 255 bytes; None makes a UUID.
            priority: 0 to 255, where the queue knows priorities.
            expires: seconds after which it is not run any more, if it waits in the queue until then.
            timeout: seconds until which the broker must have it; None takes the client's, `math.inf` is none. It is
                sent again meanwhile if the connection is lost.

        Returns:
            Its message_id.

        Raises:
            NoServer: there is no queue for casts: no pool ever served this one.
            CastRejected: the broker refused it; its queue is full.
            CastUnknown: it was sent, and no confirm came in time, or the client was closed: it may run.
            ConnectionFailed: it was not sent in time.
            EncodingError: an argument cannot be carried exactly, or is too large.
            ConfigurationError: one of the options is wrong.
            ClientClosed: the client is closed; it was not sent.
            OutOfPlace: it would wait on a client's own thread, for instance in a done callback.
        """
        self._check_may_wait("cast()")
        how = How.checked(delay=delay, message_id=message_id, priority=priority, expires=expires, timeout=timeout)
        answer = Waiter()
        message = self._casts.make(method, args, kwargs, how, partial(_tell, answer))
        try:
            self._thread.post(message)
            answer.wait()
        except BaseException as error:
            if not answer.done():  # Ctrl-C: nobody waits for it any more
                error.add_note(what_is_left(message, is_sure=False))
                self._thread.given_up(message)
            raise
        return message.message_id

    def cast_many(
        self,
        method: str,
        /,
        *iterables: Iterable[Any],
        delay: float | None = None,
        priority: int | None = None,
        expires: float | None = None,
        timeout: float | None = None,
    ) -> list[str]:
        """Cast a function for each item of an iterable, or of several side by side; return when all are safe.

        Casts are sent ahead of their confirms, as fast as the broker takes them, and a bounded number is under way. An
        item is one positional argument, also if it is a tuple.

        Args:
            method: the function's name.
            iterables: the positional arguments; the shortest one ends it.
            delay, priority, expires, timeout: of each cast, as for `cast`.

        Returns:
            The message_ids, in the order of the items.

        Raises:
            RpcError: the error of the first cast that failed (see `cast`), when all that were made have their outcome;
                no further item is cast after one has failed. Its attribute `failed` has all errors by the places of
                their items, `message_ids` the ids of all casts that were made. What an iterable raises comes likewise.
            ConfigurationError: no iterable, or an option is wrong.
        """
        self._check_may_wait("cast_many()")
        how = How.checked(delay=delay, priority=priority, expires=expires, timeout=timeout)
        make = partial(self._casts.make, method, kwargs={}, how=how)
        return cast_all(make, self._thread.post, self._thread.wait_for, iterables)

    def dead_letters(self, queue: str | None = None) -> DeadLetters:
        """The casts that were given up: what failed too often, could not be understood, or may have run half.

        Args:
            queue: the served queue, or the one of strangers that a pool takes casts from; None is the client's.
        """
        name = self._options.queue if queue is None else check_queue(queue, declared=False)
        return DeadLetters(lambda: self._thread, self._check_may_wait, name)


class AsyncCasts:
    """The methods of `AsyncRpcClient`."""

    _link: CallLink
    _casts: CastFactory

    def _on_its_loop(self) -> asyncio.AbstractEventLoop:
        raise NotImplementedError

    async def cast(
        self,
        method: str,
        /,
        *args: Any,
        delay: float | None = None,
        message_id: str | None = None,
        priority: int | None = None,
        expires: float | None = None,
        timeout: float | None = None,
        **kwargs: Any,
    ) -> str:
        """Have a function run once somebody has time for it; see `RpcClient.cast`.

        Who cancels this, or puts a time-out around it, does not know whether the broker has the cast, unless it was not
        sent yet; the CancelledError has a note that says so, with the cast's message_id.
        """
        loop = self._on_its_loop()
        how = How.checked(delay=delay, message_id=message_id, priority=priority, expires=expires, timeout=timeout)
        outcome: asyncio.Future[None] = loop.create_future()
        message = self._casts.make(method, args, kwargs, how, partial(_tell, outcome))
        self._link.posting.post(message)
        try:
            await outcome
        except asyncio.CancelledError as error:
            error.add_note(what_is_left(message, is_sure=True))
            self._link.posting.outbox.given_up(message)
            raise
        return message.message_id

    async def cast_many(
        self,
        method: str,
        /,
        *iterables: Iterable[Any] | AsyncIterable[Any],
        delay: float | None = None,
        priority: int | None = None,
        expires: float | None = None,
        timeout: float | None = None,
    ) -> list[str]:
        """Cast a function for each item of the iterables; see `RpcClient.cast_many`. One alone may be asynchronous.

        Who cancels this does not know of the casts that are under way; the CancelledError has a note that counts them.
        """
        self._on_its_loop()
        how = How.checked(delay=delay, priority=priority, expires=expires, timeout=timeout)
        make = partial(self._casts.make, method, kwargs={}, how=how)
        return await cast_all_awaited(make, self._link.posting.post, iterables)

    def dead_letters(self, queue: str | None = None) -> AsyncDeadLetters:
        """The casts that were given up; see `RpcClient.dead_letters`."""
        self._on_its_loop()
        name = self._link.queue if queue is None else check_queue(queue, declared=False)
        return AsyncDeadLetters(self._link.letter_box(name), name)


def _tell(answer: Waiter | asyncio.Future[None], _: Outgoing, error: RpcError | None) -> None:
    if answer.done():
        return  # who waited was cancelled
    if error is None:
        answer.set_result(None)
    else:
        answer.set_exception(error)
