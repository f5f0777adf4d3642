"""Channels whose operations can be awaited.

Rules: everything runs on one event loop. An operation ends with its result, or with the error that took its channel or
connection away. What is published, acked or rejected is not awaited: it goes into the transport's buffer. What becomes
of a message is known on a channel in confirm mode alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import itertools
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Concatenate, ParamSpec

import pika.exceptions
import pika.spec

from ..errors import ConnectionLost, RpcError
from ..wire.names import CONTENT_TYPE
from . import fastpath
from .arguments import QueueArguments
from .confirms import Confirms, Outcome
from .faults import lost_error
from .messages import Delivery, QueueState, Returned
from .transport import StreamConnection

P = ParamSpec("P")


class Channel:
    """An open channel.

    Attributes:
        publish: publishes a message: `fastpath.Publisher.publish`.
        lost: done when the channel has ended, with the reason as its result.
    """

    def __init__(self, stream: StreamConnection, ended: Callable[[Channel], None]) -> None:
        """For `Connection.channel` only.

        Raises:
            pika.exceptions.AMQPError: the connection takes no further channel.
        """
        self._stream = stream
        self._when_ended = ended
        loop = asyncio.get_running_loop()
        self.lost: asyncio.Future[RpcError] = loop.create_future()
        self._opened: asyncio.Future[Any] = loop.create_future()
        self._waiting = {self._opened}
        self._tags = itertools.count(1)
        self._cancelled: dict[str, Callable[[], None] | None] = {}  # by the consumer's tag
        self._confirms: Confirms | None = None  # in confirm mode
        # One after the other: pika takes the broker's answer to one for the answer to all, and never calls back for a
        # consumer that is stopped already.
        self._cancelling = asyncio.Lock()
        self._pika: Any = stream.channel(on_open_callback=lambda _: _done(self._opened, None))
        self._pika.add_on_close_callback(lambda _, error: self._ended(lost_error(error)))
        self._pika.add_on_cancel_callback(lambda frame: self._consumer_ended(frame.method.consumer_tag))
        self._number: int = self._pika.channel_number
        self._publisher = fastpath.Publisher(self._number, stream.params.frame_max, CONTENT_TYPE, stream.write)
        self.publish = self._publisher.publish

    async def _until_open(self) -> None:
        try:
            await self._opened
        finally:
            self._waiting.discard(self._opened)

    # ---- queues and exchanges

    async def declare_queue(
        self,
        name: str = "",
        *,
        durable: bool = False,
        exclusive: bool = False,
        auto_delete: bool = False,
        passive: bool = False,
        arguments: QueueArguments | Mapping[str, Any] | None = None,
    ) -> QueueState:
        """Declare a queue, or with `passive` ask for its state; "" has the broker choose a name.

        Args:
            durable, exclusive, auto_delete, passive: the bits of AMQP's queue.declare.
            arguments: RabbitMQ's, by name or as their table.

        Raises:
            QueueNotFound: passive, and there is none; or its node is down. The channel is lost, as AMQP has it.
            QueueMismatch: it exists, declared otherwise. Likewise.
            QueueLocked: it is exclusive to another connection. Likewise.
            AccessRefused: the user may not. Likewise.
        """
        answer = await self._operation(
            self._pika.queue_declare,
            name,
            durable=durable,
            exclusive=exclusive,
            auto_delete=auto_delete,
            passive=passive,
            arguments=arguments.table() if isinstance(arguments, QueueArguments) else _table(arguments),
        )
        return QueueState(answer.method.queue, answer.method.message_count, answer.method.consumer_count)

    async def declare_exchange(
        self,
        name: str,
        kind: str,
        *,
        durable: bool = False,
        passive: bool = False,
        arguments: Mapping[str, Any] | None = None,
    ) -> None:
        """Declare an exchange of that kind ("direct", "fanout", "topic", "headers").

        Args:
            kind: its type.
            durable: whether it outlives the broker's restart.
            passive: only look whether there is one of that name, of whatever kind.
            arguments: RabbitMQ's, {"alternate-exchange": NAME} for instance.

        Raises:
            QueueNotFound: passive, and there is none. The channel is lost, as AMQP has it.
            AccessRefused: the user may not. The channel is lost, as AMQP has it.
            QueueMismatch: it exists, declared otherwise. Likewise.
        """
        await self._operation(
            self._pika.exchange_declare,
            name,
            exchange_type=kind,
            durable=durable,
            passive=passive,
            arguments=_table(arguments),
        )

    async def bind(
        self, queue: str, exchange: str, routing_key: str = "", arguments: Mapping[str, Any] | None = None
    ) -> None:
        """Have what is published to an exchange with a routing key come to a queue too.

        Raises:
            QueueNotFound: there is no such exchange or queue. The channel is lost, as AMQP has it.
            AccessRefused: the user may not. Likewise.
        """
        await self._operation(self._pika.queue_bind, queue, exchange, routing_key, _table(arguments))

    async def unbind(
        self, queue: str, exchange: str, routing_key: str = "", arguments: Mapping[str, Any] | None = None
    ) -> None:
        """Undo a `bind` of the same arguments. A binding that is not there is fine (RabbitMQ's own rule)."""
        await self._operation(self._pika.queue_unbind, queue, exchange, routing_key, _table(arguments))

    async def bind_exchange(
        self, destination: str, source: str, routing_key: str = "", arguments: Mapping[str, Any] | None = None
    ) -> None:
        """Have what is published to the exchange `source` with a routing key go to the exchange `destination` too.

        Raises:
            QueueNotFound, AccessRefused: as `bind`.
        """
        await self._operation(self._pika.exchange_bind, destination, source, routing_key, _table(arguments))

    async def delete_exchange(self, name: str) -> None:
        """Delete an exchange with its bindings. One that is not there is fine (RabbitMQ's own rule)."""
        await self._operation(self._pika.exchange_delete, name)

    async def delete_queue(self, name: str) -> int:
        """Delete a queue, whatever is in it or consumes it; how many messages went with it.

        One that is not there is fine (RabbitMQ's own rule).
        """
        return int((await self._operation(self._pika.queue_delete, name)).method.message_count)

    async def purge_queue(self, name: str) -> int:
        """Throw away the messages of a queue that nobody has been given; how many there were.

        Raises:
            QueueNotFound, AccessRefused: the channel is lost, as AMQP has it.
        """
        return int((await self._operation(self._pika.queue_purge, name)).method.message_count)

    # ---- consumers

    async def prefetch(self, count: int) -> None:
        """How many unacked deliveries each consumer started after this may hold (basic.qos)."""
        await self._operation(self._pika.basic_qos, prefetch_count=count)

    async def consume(
        self,
        queue: str,
        delivered: Callable[[Delivery], None],
        *,
        cancelled: Callable[[], None] | None = None,
        no_ack: bool = False,
        arguments: Mapping[str, Any] | None = None,
    ) -> str:
        """Start a consumer, beside those of this queue or of others; the consumer tag.

        Args:
            delivered: called with each delivery.
            cancelled: called when the broker ends the consumer, as it does when the queue is deleted. From RabbitMQ
                4.3 on it does so too when a delivery of a quorum queue was not acked for too long, and delivers that
                again.
            no_ack: deliveries need no ack.
            arguments: RabbitMQ's, {"x-priority": 10} for instance.
        """
        tag = f"rpcsvc-{next(self._tags)}"
        self._cancelled[tag] = cancelled
        self._stream.consumers[self._number, tag.encode()] = delivered
        await self._operation(
            self._pika.basic_consume,
            queue,
            _never,  # the fast path takes the deliveries; pika never sees one
            auto_ack=no_ack,
            consumer_tag=tag,
            arguments=_table(arguments),
        )
        return tag

    async def cancel(self, consumer_tag: str) -> None:
        """Stop a consumer; no delivery comes to it after this returns. One that has ended already is fine."""
        async with self._cancelling:
            if self.lost.done() or consumer_tag in self._cancelled:
                await self._operation(self._pika.basic_cancel, consumer_tag)
                self._forget(consumer_tag)

    def ack(self, delivery_tag: int) -> None:
        """Acknowledge a delivery.

        Raises:
            ConnectionLost: the channel has ended; the broker will deliver it again.
        """
        self._check_open()
        self._stream.write((fastpath.ack(self._number, delivery_tag),))

    def ack_all(self, acks: Iterable[tuple[int, bool]]) -> None:
        """Acknowledge deliveries, as `Acks.take` says; raises as `ack`."""
        self._check_open()
        self._stream.write([fastpath.ack(self._number, tag, multiple=multiple) for tag, multiple in acks])

    def nack(self, delivery_tag: int, *, requeue: bool, multiple: bool = False) -> None:
        """Give back a delivery that was not dealt with.

        Args:
            delivery_tag: the delivery's; 0 with `multiple` is all.
            requeue: whether it is delivered again; else it is dead-lettered, or dropped where there is no dead-letter
                exchange.
            multiple: whether all up to it are meant.

        Raises:
            ConnectionLost: the channel has ended; the broker will deliver it again.
        """
        self._check_open()
        self._pika.basic_nack(delivery_tag, multiple=multiple, requeue=requeue)

    def reject(self, delivery_tag: int, *, requeue: bool) -> None:
        """Refuse one delivery. Quorum queues of some releases count it as failed where they do not count a `nack`.

        Args:
            delivery_tag, requeue: as `nack`.

        Raises:
            ConnectionLost: the channel has ended; the broker will deliver it again.
        """
        self._check_open()
        self._pika.basic_reject(delivery_tag, requeue=requeue)

    # ---- what becomes of messages

    async def confirm(self) -> None:
        """Put the channel into confirm mode.

        From now on every message is published by `publish_told`, `publish_confirmed`, or `publish` and then `expect`.
        """
        confirms = Confirms()
        await self._operation(self._pika.confirm_delivery, _never)  # the fast path takes the confirms
        self.on_return(confirms.returned)
        self._confirms = self._stream.confirms[self._number] = confirms
        self.expect = confirms.expect
        self.publish_told = confirms.told(self.publish)
        self.publish_confirmed = _confirmed(self.publish_told)

    def on_return(self, returned: Callable[[Returned], None]) -> None:
        """Be told of mandatory messages that no queue took. In confirm mode that is before their ack."""

        def on_return(
            _: object, method: pika.spec.Basic.Return, properties: pika.spec.BasicProperties, _body: bytes
        ) -> None:
            returned(
                Returned(
                    properties.correlation_id,
                    method.reply_text,
                    properties.message_id,
                    method.exchange,
                    method.routing_key,
                )
            )

        self._pika.add_on_return_callback(on_return)

    def close(self) -> None:
        """Say goodbye on this channel, without waiting for the answer: what is sent on it from now on, nobody reads."""
        with contextlib.suppress(pika.exceptions.AMQPError):  # it is closing already
            self._pika.close()
        self._ended(ConnectionLost("the channel was closed"))

    # ---- inside

    def _check_open(self) -> None:
        if self.lost.done():
            raise copy.copy(self.lost.result())

    async def _operation(self, begin: Callable[..., object], *args: Any, **options: Any) -> Any:
        """Begin something that pika reports by `callback`, and wait for it, or for the end of the channel."""
        self._check_open()
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.add(answer)
        try:
            begin(*args, **options, callback=lambda value: _done(answer, value))
            return await answer
        except pika.exceptions.AMQPError as error:
            raise lost_error(error) from None
        finally:
            self._waiting.discard(answer)

    def _ended(self, reason: RpcError) -> None:
        self._when_ended(self)
        for tag in list(self._cancelled):
            self._forget(tag)
        if not self.lost.done():
            self.lost.set_result(reason)
            self._publisher.ended = reason
        for answer in self._waiting:
            if not answer.done():
                answer.set_exception(reason)
        if self._confirms is not None:
            if self._stream.confirms.get(self._number) is self._confirms:  # else the number is another channel's now
                del self._stream.confirms[self._number]
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
        self._stream.consumers.pop((self._number, tag.encode()), None)
        return self._cancelled.pop(tag, None)

    def __repr__(self) -> str:
        return f"<Channel {self._number}, {'closed' if self.lost.done() else 'open'}>"


def _confirmed(
    publish_told: Callable[Concatenate[Callable[[Outcome], None], P], None],
) -> Callable[P, asyncio.Future[Returned | None]]:
    """A `publish` that returns a future.

    Its result is None where a queue has the message, or what came back. Its errors: MessageRefused, if the broker said
    so; MessageTooLarge, AccessRefused, ConnectionLost and others, if the channel ended before that. Then the broker may
    have taken it.
    """

    def publish_confirmed(*args: P.args, **options: P.kwargs) -> asyncio.Future[Returned | None]:
        outcome: asyncio.Future[Returned | None] = asyncio.get_running_loop().create_future()

        def settled(known: Outcome) -> None:
            if outcome.done():
                return  # whoever waited was cancelled
            if isinstance(known, RpcError):
                outcome.set_exception(known)
                outcome.exception()  # nobody may be waiting any more
            else:
                outcome.set_result(known)

        publish_told(settled, *args, **options)
        return outcome

    return publish_confirmed


def _table(arguments: Mapping[str, Any] | None) -> dict[str, Any] | None:
    return None if arguments is None else dict(arguments)


def _done(answer: asyncio.Future[Any], value: Any) -> None:
    if not answer.done():
        answer.set_result(value)


def _never(*_: object) -> None:
    raise AssertionError("a delivery or a confirm went past the fast path")
