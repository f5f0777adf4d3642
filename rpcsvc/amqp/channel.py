"""Channels whose operations can be awaited.

Rules: everything runs on one event loop. An operation ends with its result, or with the error that took its channel or
connection away. `publish` and `ack` are not awaited: they go into the transport's buffer.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pika
import pika.exceptions
import pika.spec

from ..errors import ConnectionLost, RpcError
from ..wire.names import CONTENT_TYPE
from . import fastpath
from .confirms import Confirms
from .faults import lost_error
from .messages import Delivery, Returned

if TYPE_CHECKING:
    from .connection import Connection


@dataclass(frozen=True, slots=True)
class QueueState:
    """What queue.declare-ok says: the queue's name, ready messages and consumers."""

    name: str
    messages: int
    consumers: int


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
        self._cancelled: dict[str, Callable[[], None] | None] = {}  # by the consumer's tag
        self._waiting: set[asyncio.Future[Any]] = set()
        self._confirms: Confirms | None = None  # in confirm mode
        # One after the other: pika takes the broker's answer to one for the answer to all, and never calls back for a
        # consumer that is stopped already.
        self._cancelling = asyncio.Lock()
        self.lost: asyncio.Future[RpcError] = asyncio.get_running_loop().create_future()

    async def _open(self) -> None:
        def begin(done: Callable[[Any], None]) -> None:
            self._pika = self._connection._stream.channel(on_open_callback=done)
            self._pika.add_on_close_callback(lambda _, error: self._ended(lost_error(error)))
            self._pika.add_on_cancel_callback(lambda frame: self._consumer_ended(frame.method.consumer_tag))

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
        queue_type: str | None = None,
    ) -> QueueState:
        """Declare a queue, or with `passive` ask for its state; "" has the broker choose a name.

        Args:
            name: the queue's.
            durable, exclusive, auto_delete, passive: the bits of AMQP's queue.declare.
            queue_type: RabbitMQ's argument `x-queue-type`; None leaves it to the virtual host.

        Raises:
            QueueNotFound: passive, and there is none; or its node is down. The channel is lost, as AMQP has it.
            QueueMismatch: it exists, declared otherwise. Likewise.
            QueueLocked: it is exclusive to another connection. Likewise.
            AccessRefused: the user may not. Likewise.
        """
        answer = await self._operation(
            lambda done: self._pika.queue_declare(
                name,
                durable=durable,
                exclusive=exclusive,
                auto_delete=auto_delete,
                passive=passive,
                arguments=None if queue_type is None else {"x-queue-type": queue_type},
                callback=done,
            )
        )
        return QueueState(answer.method.queue, answer.method.message_count, answer.method.consumer_count)

    async def declare_exchange(self, name: str, kind: str, *, durable: bool = False) -> None:
        """Declare an exchange of that kind ("fanout", …).

        Raises:
            AccessRefused: the user may not. The channel is lost, as AMQP has it.
            QueueMismatch: it exists, declared otherwise. Likewise.
        """
        await self._operation(
            lambda done: self._pika.exchange_declare(name, exchange_type=kind, durable=durable, callback=done)
        )

    async def bind(self, queue: str, exchange: str, routing_key: str = "") -> None:
        """Have what is published to an exchange with a routing key come to a queue too.

        Raises:
            QueueNotFound: there is no such exchange or queue. The channel is lost, as AMQP has it.
            AccessRefused: the user may not. Likewise.
        """
        await self._operation(
            lambda done: self._pika.queue_bind(queue, exchange, routing_key=routing_key, callback=done)
        )

    async def delete_queue(self, name: str) -> None:
        """Delete a queue, whatever is in it or consumes it. One that is not there is fine (RabbitMQ's own rule)."""
        await self._operation(lambda done: self._pika.queue_delete(name, callback=done))

    async def prefetch(self, count: int) -> None:
        """How many unacked deliveries each consumer started after this may hold (basic.qos)."""
        await self._operation(lambda done: self._pika.basic_qos(prefetch_count=count, callback=done))

    async def consume(
        self,
        queue: str,
        delivered: Callable[[Delivery], None],
        *,
        cancelled: Callable[[], None] | None = None,
        no_ack: bool = False,
    ) -> str:
        """Start a consumer; the consumer tag.

        Args:
            queue: whose messages.
            delivered: called with each delivery.
            cancelled: called when the broker ends the consumer, as it does when the queue is deleted. From RabbitMQ
                4.3 on it does so too when a delivery of a quorum queue was not acked for too long, and delivers that
                again.
            no_ack: deliveries need no ack.
        """
        tag = f"rpcsvc-{next(self._tags)}"
        self._cancelled[tag] = cancelled
        self._connection._stream.consumers[self._number, tag.encode()] = delivered
        await self._operation(
            # The fast path takes the deliveries; pika never sees one.
            lambda done: self._pika.basic_consume(queue, _never, auto_ack=no_ack, consumer_tag=tag, callback=done)
        )
        return tag

    async def cancel(self, consumer_tag: str) -> None:
        """Stop a consumer; no delivery comes to it after this returns. One that has ended already is fine."""
        async with self._cancelling:
            if self.lost.done() or consumer_tag in self._cancelled:
                await self._operation(lambda done: self._pika.basic_cancel(consumer_tag, callback=done))
                self._forget(consumer_tag)

    async def confirm(self) -> None:
        """Put the channel into confirm mode: from now on every message is published with `publish_confirmed`."""
        confirms = Confirms()

        def settled(frame: Any) -> None:
            method = frame.method
            settle = confirms.confirmed if isinstance(method, pika.spec.Basic.Ack) else confirms.refused
            settle(method.delivery_tag, multiple=method.multiple)

        await self._operation(lambda done: self._pika.confirm_delivery(settled, callback=done))
        self._confirms = confirms

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

    def publish_confirmed(
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
    ) -> asyncio.Future[None]:
        """Publish as `publish` does, on a channel in confirm mode.

        Returns:
            A future that is done when the broker has taken the message. Its errors: MessageRefused, if the broker said
            so; MessageTooLarge, AccessRefused, ConnectionLost and others, if the channel ended before that. Then the
            broker may have taken it.

        Raises:
            ConnectionLost: the channel has ended already.
        """
        assert self._confirms is not None, "the channel is in confirm mode"
        self.publish(
            routing_key,
            body,
            mandatory=mandatory,
            correlation_id=correlation_id,
            reply_to=reply_to,
            expiration=expiration,
            message_id=message_id,
            type=type,
        )
        return self._confirms.expect()

    def publish_to_exchange(
        self,
        exchange: str,
        body: bytes,
        *,
        routing_key: str = "",
        type: str | None = None,  # noqa: A002 the property's name in AMQP
    ) -> None:
        """Publish to an exchange. If there is none of that name, or it is forbidden, the broker closes the channel.

        Raises:
            ConnectionLost: the channel has ended.
        """
        if self.lost.done():
            raise copy.copy(self.lost.result())
        properties = pika.BasicProperties(content_type=CONTENT_TYPE, type=type)
        self._pika.basic_publish(exchange, routing_key, body, properties)

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

    def close(self) -> None:
        """Say goodbye on this channel, without waiting for the answer: what is sent on it from now on, nobody reads."""
        with contextlib.suppress(pika.exceptions.AMQPError):  # it is closing already
            self._pika.close()
        self._ended(ConnectionLost("the channel was closed"))

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
        for tag in list(self._cancelled):
            self._forget(tag)
        if not self.lost.done():
            self.lost.set_result(reason)
        for answer in self._waiting:
            if not answer.done():
                answer.set_exception(reason)
        if self._confirms is not None:
            self._confirms.end(reason)

    def _consumer_ended(self, tag: str) -> None:
        """The broker ended a consumer (Basic.Cancel).

        RabbitMQ 4.3 keeps a consumer that held a delivery for too long, and gives it messages again once it has acked
        that, unless the client cancels it too. Where the consumer is gone, a cancel changes nothing. (The answer that
        AMQP has for this, Basic.CancelOk, closes the connection where the queue is gone.)
        """
        self._pika._send_method(pika.spec.Basic.Cancel(consumer_tag=tag, nowait=True))
        cancelled = self._forget(tag)
        if cancelled is not None:
            cancelled()

    def _forget(self, tag: str) -> Callable[[], None] | None:
        self._connection._stream.consumers.pop((self._number, tag.encode()), None)
        return self._cancelled.pop(tag, None)

    def __repr__(self) -> str:
        return f"<Channel {'closed' if self.lost.done() else 'open'} of {self._connection!r}>"


def _never(*_: object) -> None:
    raise AssertionError("a delivery went past the fast path")
