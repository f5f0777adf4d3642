"""Casts: one-way work, made ready in the caller's thread. `outbox` is what becomes of them, `posting` sends them."""

from __future__ import annotations

import contextlib
import os
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ..amqp.topology import declare
from ..deadline import check_timeout
from ..errors import (
    AccessRefused,
    CastRejected,
    CastUnknown,
    ConfigurationError,
    NoServer,
    QueueMismatch,
    QueueNotFound,
    RequestTooLarge,
    RpcError,
)
from ..settings.client import ClientOptions
from ..settings.names import MOST_BYTES, check_method, check_queue
from ..wire import jsonrpc
from ..wire.casts import LEVELS, casts_queue, delayed, whole_delay
from ..wire.entities import for_delays
from ..wire.names import DELAY
from ..wire.sizes import BodyLimit
from .calls import now
from .outgoing import Outgoing
from .session import Session

_FREE = 2**128 - 1 - (0xF << 76) - (0x3 << 62)
_VERSION_4 = (0x4 << 76) + (0x2 << 62)
Settled = Callable[[Outgoing, RpcError | None], None]
"""Told once what became of a message: None where it is safe."""


class CastFactory:
    """Makes casts ready to send: named, checked and encoded. Any thread may use it.

    Args:
        options: the client's.
        limit: how large a request may be, as far as is known of the broker.
    """

    def __init__(self, options: ClientOptions, limit: BodyLimit) -> None:
        self._options = options
        self._limit = limit

    @cached_property
    def _kind(self) -> Cast:
        return Cast(self._options.queue)  # not earlier: a name that is too long for casts may do for calls

    def make(
        self,
        method: str,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        how: How,
        settled: Settled,
    ) -> Outgoing:
        """One cast, as it goes out.

        Args:
            method, args, kwargs: what is to be run.
            how: how it travels.
            settled: told what becomes of it.

        Raises:
            EncodingError: the method's name or an argument cannot be carried; RequestTooLarge is a kind of it.
            ConfigurationError: the queue's name is too long for casts.
        """
        check_method(method)
        kind = self._kind
        body = jsonrpc.encode_notification(method, jsonrpc.encode_params(args, kwargs))
        if len(body) > self._limit.most:
            raise RequestTooLarge(len(body), self._limit.most)
        begun, seconds = now(), self._options.timeout if how.timeout is None else how.timeout
        message = Outgoing(
            kind,
            how.message_id or new_id(),
            "",
            kind.queue,
            body,
            begun + seconds,
            seconds,
            settled,
        )
        message.type, message.timestamp = method, int(time.time())
        if how.priority is not None:
            message.priority = how.priority
        if how.expires is not None:
            message.expires_at = begun + how.expires
        if how.delay:
            # What comes back has found a level missing, and those are declared anew: no time but its own ends that.
            message.exchange, message.routing_key = delayed(how.delay, kind.queue)
            message.needs, message.waits_until = kind.waiting, message.deadline
        elif self._options.wait_for_server:
            message.waits_until = begun + self._options.wait_for_server
        return message


@dataclass(frozen=True, slots=True)
class How:
    """How a cast travels, checked.

    Attributes:
        delay: whole seconds before it may run.
        message_id: its id; None makes one.
        priority: 0 to 255, where its queue knows priorities.
        expires: seconds after which it is not run any more if it still waits in its queue.
        timeout: seconds until which the broker must have it; None takes the client's.
    """

    delay: int = 0
    message_id: str | None = None
    priority: int | None = None
    expires: float | None = None
    timeout: float | None = None

    @classmethod
    def checked(
        cls,
        *,
        delay: float | None = None,
        message_id: str | None = None,
        priority: int | None = None,
        expires: float | None = None,
        timeout: float | None = None,
    ) -> How:
        """From what a user gave.

        Raises:
            ConfigurationError: one of them is wrong, or two do not go together.
        """
        seconds = 0 if delay is None else whole_delay(delay)
        if expires is not None:
            expires = check_timeout(expires, "expires")
            if seconds:
                raise ConfigurationError(
                    f"a cast with a delay cannot expire as well (delay={delay!r}, expires={expires:g}): RabbitMQ would "
                    "end its delay then; leave out one of them, or have the function look at "
                    "current_call().first_published"
                )
        if message_id is not None:
            check_id(message_id)
        if priority is not None and (type(priority) is not int or not 0 <= priority <= 255):
            raise ConfigurationError(f"a priority is a whole number from 0 to 255, not {priority!r}")
        if timeout is not None:
            timeout = check_timeout(timeout, endless=True)
        return cls(seconds, message_id, priority, expires, timeout)


def check_id(message_id: object) -> None:
    """The id that a user gives a message.

    Raises:
        ConfigurationError: it can be none.
    """
    what = None
    if not isinstance(message_id, str):
        what = f"not {type(message_id).__name__}: {message_id!r}"
    elif not message_id:
        what = "and not empty"
    elif "\0" in message_id or len(message_id.encode("utf-8", "surrogatepass")) > MOST_BYTES:
        what = f"without a NUL in it, not {message_id[:20]!r}…"
    elif not message_id.isascii():
        try:
            message_id.encode()
        except UnicodeEncodeError:
            what = f"that UTF-8 can carry, not {message_id!r}"
    if what is not None:
        raise ConfigurationError(f"a message_id is text of 1 to {MOST_BYTES} bytes, {what}")


_random = random.Random()  # noqa: S311  # of our own: a program that seeds the common one would make the same ids each time
os.register_at_fork(after_in_child=_random.seed)


def new_id() -> str:
    """A random id, in the form of a UUID of version 4 (RFC 9562, section 5.4); no secret, and quicker than a UUID."""
    digits = f"{_random.getrandbits(128) & _FREE | _VERSION_4:032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def what_is_left(message: Outgoing, *, is_sure: bool) -> str:
    """What is to be said of a message whose sender waits no more.

    Args:
        message: which.
        is_sure: whether nobody may send it from here on.
    """
    name = f"the cast of {message.type!r} (message_id {message.message_id})"
    if is_sure and not message.may_be_taken:
        return f"{name} was not sent"
    return f"{name} may have been sent, and whether the broker has it is not known"


class Cast:
    """What the caster of a cast is told. (A kind of message: see `outgoing.Kind`.)

    Attributes:
        queue: where its casts go.
        waiting: what those need that are to wait.
    """

    def __init__(self, queue: str) -> None:
        self._served = queue
        self.queue = check_queue(casts_queue(queue), declared=False)
        self.waiting = Levels(queue)

    def returned(self, _: Outgoing) -> RpcError:
        """No queue took it."""
        return no_casts(self._served)

    def rejected(self, message: Outgoing) -> RpcError:
        """The broker refused it."""
        return CastRejected(message.type or "", message.message_id, message.exchange or message.routing_key)

    def unknown(self, message: Outgoing, reason: str) -> RpcError:
        """Nobody knows whether the broker has it."""
        return CastUnknown(message.type or "", message.message_id, reason)


def no_casts(queue: str) -> NoServer:
    """The error where a served queue has no queue for casts."""
    return NoServer(queue, f"it has no queue for casts, {casts_queue(queue)!r}: no pool has ever served casts there")


@dataclass(frozen=True, slots=True)
class Levels:
    """What casts need that are to wait: the levels, and that their queue is there when they have waited."""

    queue: str

    async def prepare(self, session: Session) -> None:
        """Declare the levels, and look for the queue; who may not, leaves it to whoever may.

        Raises:
            NoServer: there is no such queue.
            AccessRefused: the levels are not there, and may not be declared.
        """
        with contextlib.suppress(AccessRefused, QueueMismatch):
            try:
                await session.observe(casts_queue(self.queue))
            except QueueNotFound:
                raise no_casts(self.queue) from None
        try:
            await declare(session.connection, for_delays())
        except AccessRefused as refused:
            await self._look(session, refused)

    async def _look(self, session: Session, refused: AccessRefused) -> None:
        channel = await session.connection.channel()
        try:
            await channel.declare_exchange(f"{DELAY}{LEVELS - 1}", "topic", passive=True)
        except QueueNotFound:
            raise AccessRefused(
                f"the queues in which casts wait are not there, and this user may not declare them: {refused}; have "
                "whoever may cast with a delay once, or leave the delay out"
            ) from None
        except AccessRefused:
            pass  # it may not look either; what is published will show it
        finally:
            channel.close()

    def __str__(self) -> str:
        return "the queues in which casts wait"
