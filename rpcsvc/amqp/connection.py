"""Connections and channels whose operations can be awaited.

Rules: everything runs on one event loop. An operation ends with its result, or with the error that took its channel or
connection away. `publish` and `ack` are not awaited: they go into the transport's buffer.
"""

from __future__ import annotations

import asyncio
import copy
import itertools
import os
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pika
import pika.channel
import pika.exceptions
import pika.spec

from .._version import __version__
from ..errors import RpcError
from ..settings import BrokerUrl
from . import fastpath
from .faults import lost_error, opening_error
from .messages import Delivery, Returned
from .transport import StreamConnection

CONTENT_TYPE = "application/json"
_CLOSE_TIMEOUT = 2.0


@dataclass(frozen=True, slots=True)
class QueueState:
    """What queue.declare-ok says: the queue's name, ready messages and consumers."""

    name: str
    messages: int
    consumers: int


class Connection:
    """An open connection to a broker.

    Attributes:
        url: where it leads; printing it hides the password.
        lost: done when the connection has ended, with the reason as its result.
        blocked: whether the broker has stopped reading from publishers (a memory or disk alarm).
    """

    def __init__(self, url: BrokerUrl, role: str) -> None:
        """For `open` only."""
        loop = asyncio.get_running_loop()
        self.url = url
        self.blocked = False
        self.lost: asyncio.Future[RpcError] = loop.create_future()
        self._opened: asyncio.Future[None] = loop.create_future()
        self._channels: set[Channel] = set()
        self._stream = StreamConnection(_parameters(url, role), opened=self._on_opened, ended=self._on_ended)
        self._stream.add_on_connection_blocked_callback(self._on_blocked)
        self._stream.add_on_connection_unblocked_callback(self._on_unblocked)

    @classmethod
    async def open(cls, url: BrokerUrl, *, role: str, timeout: float) -> Connection:
        """Connect and shake hands.

        Args:
            url: the broker's.
            role: what the broker's operator sees as the connection's name, before host and process id.
            timeout: seconds for all of it.

        Raises:
            ConnectionFailed, AuthenticationFailed, AccessRefused
        """
        connection = cls(url, role)
        context = ssl.create_default_context() if url.tls else None
        try:
            async with asyncio.timeout(timeout):
                await asyncio.get_running_loop().create_connection(
                    lambda: connection._stream, url.host, url.port, ssl=context
                )
                await connection._opened
        except (Exception, asyncio.CancelledError) as error:
            connection._stream.abort()
            if isinstance(error, asyncio.CancelledError):
                raise
            raise opening_error(error, url) from None
        return connection

    @property
    def is_open(self) -> bool:
        """Whether it can be used."""
        return self._opened.done() and not self.lost.done()

    def flush(self) -> None:
        """Let what was published and acked in this tick of the loop go out now, rather than at its end."""
        self._stream.flush()

    async def channel(self) -> Channel:
        """Open a channel."""
        if self.lost.done():
            raise copy.copy(self.lost.result())
        channel = Channel(self)
        self._channels.add(channel)
        await channel._open()
        return channel

    async def close(self) -> None:
        """Say goodbye to the broker and wait for the end; a silent broker gets two seconds. Never raises."""
        if self.lost.done():
            return
        try:
            self._stream.close()
            async with asyncio.timeout(_CLOSE_TIMEOUT):
                await asyncio.shield(self.lost)
        except (TimeoutError, pika.exceptions.AMQPError):
            self.abort()

    def abort(self) -> None:
        """Drop the connection without a word."""
        self._stream.abort()

    def _on_opened(self) -> None:
        if not self._opened.done():
            self._opened.set_result(None)

    def _on_ended(self, error: BaseException) -> None:
        if not self._opened.done():
            self._opened.set_exception(error)
            self._opened.exception()  # nobody may be waiting any more
            return
        reason = lost_error(error)
        for channel in list(self._channels):
            channel._ended(reason)
        if not self.lost.done():
            self.lost.set_result(reason)

    def _on_blocked(self, *_: object) -> None:
        self.blocked = True

    def _on_unblocked(self, *_: object) -> None:
        self.blocked = False

    def __repr__(self) -> str:
        state = "open" if self.is_open else "closed" if self.lost.done() else "opening"
        return f"<Connection {state}{', blocked' if self.blocked else ''} to {self.url}>"


def _parameters(url: BrokerUrl, role: str) -> pika.ConnectionParameters:
    return pika.ConnectionParameters(
        host=url.host,
        port=url.port,
        virtual_host=url.vhost,
        credentials=pika.PlainCredentials(url.user, url.password),
        heartbeat=url.heartbeat,
        client_properties={
            "connection_name": f"{role} {socket.gethostname()}:{os.getpid()}",
            "product": "rpcsvc",
            "version": __version__,
        },
    )


class Channel:
    """An open channel.

    Attributes:
        lost: done when the channel has ended, with the reason as its result.
    """

    def __init__(self, connection: Connection) -> None:
        """For `Connection.channel` only."""
        self._connection = connection
        self._pika: Any = None
        self._number = 0
        self._publisher: fastpath.Publisher
        self._tags = itertools.count(1)
        self._consumers: list[tuple[int, bytes]] = []
        self._waiting: set[asyncio.Future[Any]] = set()
        # One after the other: pika takes the broker's answer to one for the answer to all, and never calls back for a
        # consumer that is stopped already.
        self._cancelling = asyncio.Lock()
        self.lost: asyncio.Future[RpcError] = asyncio.get_running_loop().create_future()

    async def _open(self) -> None:
        def begin(done: Callable[[Any], None]) -> None:
            self._pika = self._connection._stream.channel(on_open_callback=done)
            self._pika.add_on_close_callback(lambda _, error: self._ended(lost_error(error)))

        await self._operation(begin)
        self._number = self._pika.channel_number
        stream = self._connection._stream
        self._publisher = fastpath.Publisher(self._number, stream.params.frame_max, CONTENT_TYPE)

    # ---- operations that the broker answers

    async def declare_queue(
        self,
        name: str = "",
        *,
        durable: bool = False,
        exclusive: bool = False,
        auto_delete: bool = False,
        passive: bool = False,
    ) -> QueueState:
        """Declare a queue, or with `passive` ask for its state; "" has the broker choose a name.

        Raises:
            QueueNotFound: passive, and there is none. The channel is lost, as AMQP has it.
            QueueMismatch: it exists, declared otherwise. Likewise.
        """
        answer = await self._operation(
            lambda done: self._pika.queue_declare(
                name, durable=durable, exclusive=exclusive, auto_delete=auto_delete, passive=passive, callback=done
            )
        )
        return QueueState(answer.method.queue, answer.method.message_count, answer.method.consumer_count)

    async def delete_queue(self, name: str) -> None:
        """Delete a queue, whatever is in it or consumes it. One that is not there is fine (RabbitMQ's own rule)."""
        await self._operation(lambda done: self._pika.queue_delete(name, callback=done))

    async def prefetch(self, count: int) -> None:
        """How many unacked deliveries each consumer started after this may hold (basic.qos)."""
        await self._operation(lambda done: self._pika.basic_qos(prefetch_count=count, callback=done))

    async def consume(self, queue: str, delivered: Callable[[Delivery], None], *, no_ack: bool = False) -> str:
        """Start a consumer; the consumer tag."""

        tag = f"rpcsvc-{next(self._tags)}"
        self._consumers.append((self._number, tag.encode()))
        self._connection._stream.consumers[self._consumers[-1]] = delivered
        await self._operation(
            # The fast path takes the deliveries; pika never sees one.
            lambda done: self._pika.basic_consume(queue, _never, auto_ack=no_ack, consumer_tag=tag, callback=done)
        )
        return tag

    async def cancel(self, consumer_tag: str) -> None:
        """Stop a consumer; no delivery comes to it after this returns. One that is stopped already is fine."""
        async with self._cancelling:
            if self.lost.done() or consumer_tag in self._pika.consumer_tags:
                await self._operation(lambda done: self._pika.basic_cancel(consumer_tag, callback=done))

    # ---- operations that are only sent

    def publish(
        self,
        routing_key: str,
        body: bytes,
        *,
        mandatory: bool = False,
        correlation_id: str | None = None,
        reply_to: str | None = None,
        expiration: str | None = None,
        message_id: str | None = None,
        type: str | None = None,  # noqa: A002 the property's name in AMQP
    ) -> None:
        """Publish to the default exchange, that is, to the queue named `routing_key`, as a transient message.

        Raises:
            ConnectionLost: the channel has ended.
        """
        if self.lost.done():
            raise copy.copy(self.lost.result())
        self._connection._stream.write(
            self._publisher.publish(
                routing_key,
                body,
                mandatory=mandatory,
                correlation_id=correlation_id,
                reply_to=reply_to,
                expiration=expiration,
                message_id=message_id,
                type=type,
            )
        )

    def ack(self, delivery_tag: int) -> None:
        """Acknowledge a delivery.

        Raises:
            ConnectionLost: the channel has ended; the broker will deliver it again.
        """
        if self.lost.done():
            raise copy.copy(self.lost.result())
        self._connection._stream.write((fastpath.ack(self._number, delivery_tag),))

    def on_return(self, returned: Callable[[Returned], None]) -> None:
        """Be told of mandatory messages that no queue took."""

        def on_return(
            _: object, method: pika.spec.Basic.Return, properties: pika.spec.BasicProperties, _body: bytes
        ) -> None:
            returned(Returned(properties.correlation_id, method.reply_text))

        self._pika.add_on_return_callback(on_return)

    def on_cancelled(self, cancelled: Callable[[], None]) -> None:
        """Be told when the broker ends a consumer, as it does when the queue is deleted."""
        self._pika.add_on_cancel_callback(lambda _: cancelled())

    # ---- inside

    async def _operation(self, begin: Callable[[Callable[[Any], None]], object]) -> Any:
        """Begin something that pika reports by callback, and wait for it, or for the end of the channel."""
        if self.lost.done():
            raise copy.copy(self.lost.result())
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.add(answer)

        def done(value: Any) -> None:
            if not answer.done():
                answer.set_result(value)

        try:
            begin(done)
            return await answer
        except pika.exceptions.AMQPError as error:
            raise lost_error(error) from None
        finally:
            self._waiting.discard(answer)

    def _ended(self, reason: RpcError) -> None:
        self._connection._channels.discard(self)
        for consumer in self._consumers:
            self._connection._stream.consumers.pop(consumer, None)
        if not self.lost.done():
            self.lost.set_result(reason)
        for answer in self._waiting:
            if not answer.done():
                answer.set_exception(reason)

    def __repr__(self) -> str:
        return f"<Channel {'closed' if self.lost.done() else 'open'} of {self._connection!r}>"


def _never(*_: object) -> None:
    raise AssertionError("a delivery went past the fast path")
