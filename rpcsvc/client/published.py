"""Events that are published, made ready in the caller's thread. `outbox` is what becomes of them, `posting` sends."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..amqp import Properties
from ..amqp.topology import declare
from ..deadline import check_timeout
from ..errors import (
    AccessRefused,
    ConfigurationError,
    EventUnknown,
    ExchangeNotFound,
    MessageRefused,
    QueueNotFound,
    RequestTooLarge,
    RpcError,
)
from ..settings.client import ClientOptions
from ..wire.casts import OWN
from ..wire.entities import for_topics
from ..wire.events import check_exchange, check_topic, encode_body
from ..wire.names import FIRST_PUBLISHED, TOPICS
from ..wire.sizes import BodyLimit
from .calls import now
from .casting import Settled, check_id, new_id
from .outgoing import Outgoing
from .session import Session


@dataclass(frozen=True, slots=True)
class There:
    """What events need: that their exchange is there."""

    exchange: str

    async def prepare(self, session: Session) -> None:
        """Look for it, and declare it if it is ours. Who may not look, believes that it is there.

        Raises:
            ExchangeNotFound: it is not there, and others'.
            AccessRefused: it is not there, and may not be declared.
        """
        channel = await session.connection.channel()
        try:
            await channel.declare_exchange(self.exchange, "topic", passive=True)
        except QueueNotFound:
            if self.exchange != TOPICS:
                raise ExchangeNotFound(self.exchange) from None
            await declare(session.connection, for_topics())
        except AccessRefused:
            if self.exchange == TOPICS:
                with contextlib.suppress(AccessRefused):
                    await declare(session.connection, for_topics())
        finally:
            channel.close()

    def __str__(self) -> str:
        return f"the exchange {self.exchange!r}"


class Published:
    """What the publisher of an event is told. (A kind of message: see `outgoing.Kind`.)"""

    def returned(self, _: Outgoing) -> None:
        """Nobody hears it, which is well."""

    def rejected(self, message: Outgoing) -> RpcError:
        """A queue did not take it."""
        return MessageRefused(
            f"the broker refused the event {message.routing_key!r}: a queue of one of its subscribers is full and "
            f"refuses, or failed; others may have got it (message_id {message.message_id})"
        )

    def unknown(self, message: Outgoing, reason: str) -> RpcError:
        """Nobody knows whether the broker has it."""
        return EventUnknown(message.routing_key, message.message_id, reason)


_PUBLISHED = Published()
_TO_TOPICS = There(TOPICS)


@dataclass(frozen=True, slots=True)
class PublishedHow:
    """How events travel, checked.

    Attributes:
        exchange: where they go.
        headers: theirs.
        message_id: of one event; None makes one.
        timeout: seconds until which the broker must have them; None takes the client's.
    """

    exchange: There
    headers: Mapping[str, Any]
    message_id: str | None
    timeout: float | None

    @classmethod
    def checked(
        cls,
        *,
        exchange: str | None = None,
        headers: Mapping[str, Any] | None = None,
        message_id: str | None = None,
        timeout: float | None = None,
    ) -> PublishedHow:
        """From what a user gave.

        Raises:
            ConfigurationError: one of them is wrong.
        """
        there = _TO_TOPICS if exchange is None else There(check_exchange(exchange, written=True))
        if message_id is not None:
            check_id(message_id)
        if timeout is not None:
            timeout = check_timeout(timeout, endless=True)
        return cls(there, {} if headers is None else _checked_headers(headers), message_id, timeout)


def _checked_headers(headers: object) -> Mapping[str, Any]:
    if not isinstance(headers, Mapping) or not all(isinstance(name, str) for name in headers):
        raise ConfigurationError(f"headers are a dictionary with names of text, not {headers!r}")
    for name in headers:
        if name.startswith(OWN):
            raise ConfigurationError(f"the header {name!r} begins with {OWN!r}, which is for this package's own")
    try:
        Properties(headers).encoded(b"")
    except ValueError as error:
        raise ConfigurationError(
            f"headers are text, bytes, whole numbers, bools, None, and lists and dictionaries of these: {error}"
        ) from None
    return dict(headers)


class EventFactory:
    """Makes events ready to be published: checked and encoded. Any thread may use it.

    Args:
        options: the client's.
        limit: how large a message may be, as far as is known of the broker.
    """

    def __init__(self, options: ClientOptions, limit: BodyLimit) -> None:
        self._options = options
        self._limit = limit

    def make(self, topic: str, body: Any, how: PublishedHow, settled: Settled) -> Outgoing:
        """One event, as it goes out.

        Raises:
            ConfigurationError: the topic can be none.
            EncodingError: the body cannot travel exactly; RequestTooLarge is a kind of it.
        """
        check_topic(topic, foreign=how.exchange is not _TO_TOPICS)
        data, content_type = encode_body(body)
        if len(data) > self._limit.most:
            raise RequestTooLarge(len(data), self._limit.most)
        seconds = self._options.timeout if how.timeout is None else how.timeout
        moment = time.time()
        event = Outgoing(
            _PUBLISHED,
            how.message_id or new_id(),
            how.exchange.exchange,
            topic,
            data,
            now() + seconds,
            seconds,
            settled,
        )
        event.content_type, event.timestamp = content_type, int(moment)
        event.headers = {**how.headers, FIRST_PUBLISHED: int(moment * 1000)}
        event.is_mandatory, event.needs = False, how.exchange
        return event

    def make_one(self, topic: str, how: PublishedHow, *, args: tuple[Any], settled: Settled) -> Outgoing:
        """One of many, of which `args` is the body."""
        return self.make(topic, args[0], how, settled)


def what_is_left(message: Outgoing, *, is_sure: bool) -> str:
    """What is to be said of an event whose publisher waits no more.

    Args:
        message: which.
        is_sure: whether nobody may send it from here on.
    """
    name = f"the event {message.routing_key!r} (message_id {message.message_id})"
    if is_sure and not message.may_be_taken:
        return f"{name} was not sent"
    return f"{name} may have been sent, and whether the broker has it is not known"
