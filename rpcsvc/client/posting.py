"""What drives the outbox on an event loop: a channel in confirm mode, on the connection that the calls have too.

    submitted -> outbox -> publish, mandatory ....... the broker writes it to disk .......
                                                                                         |
    settled   <- outbox <- its number on this channel <---------- confirm, return, or nack

The channel is opened when there is a first message for it. A body that the broker might refuse for its size goes
through the expendable channel, as those of calls do: the refusal would cost all that wait for their confirm.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections import deque
from collections.abc import Callable, Coroutine, Hashable
from functools import lru_cache, partial
from typing import Any, Protocol

from ..amqp import Channel, Properties, Returned
from ..amqp.confirms import Outcome
from ..deadline import expiration_ms
from ..errors import (
    AccessRefused,
    ConfigurationError,
    ConnectionLost,
    ExchangeNotFound,
    MessageRefused,
    MessageTooLarge,
    QueueNotFound,
    RequestTooLarge,
    RpcError,
)
from ..wire.names import AGAIN
from .calls import now
from .outbox import Outbox
from .outgoing import Outgoing
from .session import Session

log = logging.getLogger(__name__)

_TICK = 0.001
"""Seconds that a timer is set late, so that it never comes before what it is for."""
_FLUSH_EVERY = 100
"""Messages after which they are handed to the network, to see whether it takes more."""
_OPEN_AGAIN = 0.25
"""Seconds before a channel is opened after one that confirmed nothing."""
_EXCHANGE = re.compile(r"exchange '([^']*)'")
"""How RabbitMQ names the exchange over which it closed a channel."""
_TOPIC = re.compile(r"access to topic '(.*)' in exchange '")
"""Likewise the topic, where topic permissions forbid that alone."""


class Need(Hashable, Protocol):
    """What must be there before a message is sent: `Outgoing.needs`."""

    async def prepare(self, session: Session) -> None:
        """See to it.

        Raises:
            RpcError: it cannot be had; this is what the messages end with. ConnectionLost: it may be, with another
                connection.
        """
        ...


class Posting:
    """The messages of one client that wait for the broker's confirm, and their channel. Lives on one event loop.

    Attributes:
        outbox: what decides.

    Args:
        connect: called when a connection is wanted; `connected` or `unreachable` is called then.
        hold: called with a session whose connection had better get no messages now; `outbox.free` is called then.
    """

    def __init__(self, connect: Callable[[], None], hold: Callable[[Session], None]) -> None:
        self.outbox = Outbox(self, now)
        self._connect = connect
        self._hold = hold
        self._session: Session | None = None
        self._channel: Channel | None = None
        self._proved: set[str] = set()  # exchanges for which this channel has confirmed something
        self._tasks: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._opens_at = 0.0
        self._is_wanted = False  # a channel is, and there is no connection
        self._written = 0

    def post(self, message: Outgoing) -> None:
        """Begin to send a message; what becomes of it is told to its `settled`."""
        session = self._session
        if session is not None and session.connection.held:
            self._hold(session)
        self.outbox.submitted(message)

    def post_all(self, messages: deque[Outgoing]) -> None:
        """Begin to send all of a queue that others may put more into meanwhile, and let them go out now."""
        while messages:
            self.post(messages.popleft())
        if self._session is not None:
            self._session.connection.flush()

    async def close(self) -> None:
        """End every message."""
        self.outbox.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._timer is not None:
            self._timer.cancel()

    # ---- what the link tells

    def connected(self, session: Session) -> None:
        """There is a connection."""
        self._session = session
        if self._is_wanted:
            self.open()

    def unreachable(self, error: RpcError) -> None:
        """No connection is to be had."""
        if self._is_wanted:
            self._is_wanted = False
            self.outbox.unreachable(error)

    def disconnected(self) -> None:
        """The connection went."""
        self._session = self._channel = None
        self._opens_at = 0.0
        self.outbox.lost()
        self.outbox.free()

    # ---- what the outbox wants: see `Port`

    def open(self) -> None:
        self._is_wanted = self._session is None
        if self._session is None:
            self._connect()
        else:
            self._begin(self._open(self._session))

    def prepare(self, needs: Hashable) -> None:
        assert self._session is not None, "the outbox has heard of no loss"
        self._begin(self._prepare(self._session, needs))

    def publish(self, message: Outgoing) -> bool:
        channel, session = self._channel, self._session
        if channel is None or session is None or channel.lost.done():
            raise ConnectionLost("the channel has ended")
        if len(message.body) > session.expendable.surely:
            self._begin(self._publish_in_turn(session, message))
            return False
        _publish_on(channel.publish, message)
        channel.expect(partial(self._settled, message), (message.message_id, None))
        self._written += 1
        if not self._written % _FLUSH_EVERY:
            session.connection.flush()
            if session.connection.held:
                self._hold(session)
        return True

    def wake_at(self, moment: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(max(0.0, moment - now()) + _TICK, self._on_timer)

    # ---- what becomes of that

    def _begin(self, errand: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(errand)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _on_timer(self) -> None:
        self._timer = None
        self.outbox.tick()

    def _settled(self, message: Outgoing, outcome: Outcome) -> None:
        if outcome is None:
            self._proved.add(message.exchange)
            self.outbox.confirmed(message)
        elif isinstance(outcome, Returned):
            self._proved.add(message.exchange)
            self.outbox.returned(message)
        elif isinstance(outcome, MessageRefused):
            self.outbox.refused(message, outcome)
        # Else the channel has ended, and the outbox hears of that.

    async def _publish_in_turn(self, session: Session, message: Outgoing) -> None:
        try:
            async with session.expendable.turn() as channel:
                if session is not self._session or not self.outbox.departs(message):
                    return
                outcome = await _publish_on(channel.publish_confirmed, message)
                session.expendable.proved(len(message.body))
                self._settled(message, outcome)
        except MessageTooLarge as refused:
            self.outbox.refused(message, RequestTooLarge(refused.size, refused.limit))
        except ConnectionLost:
            await asyncio.sleep(_OPEN_AGAIN)
            if session is self._session:  # else it is sent again on the next one
                self.outbox.failed(message)
        except RpcError as error:
            self.outbox.refused(message, error)

    # ---- the channel

    async def _open(self, session: Session) -> None:
        while True:
            await asyncio.sleep(max(0.0, self._opens_at - now()))
            try:
                channel = await session.connection.channel()
                await channel.confirm()
                break
            except RpcError as error:
                if session.connection.lost.done():
                    return  # the outbox hears of that
                log.info("no channel for messages that are to be confirmed: %s", error)
                self._opens_at = now() + _OPEN_AGAIN
        if session is self._session:
            self._channel = channel
            self._proved.clear()
            channel.lost.add_done_callback(lambda lost: self._channel_lost(channel, lost.result()))
            self.outbox.opened()

    def _channel_lost(self, channel: Channel, reason: RpcError) -> None:
        if channel is not self._channel:
            return
        self._channel = None
        if not self._proved:
            self._opens_at = now() + _OPEN_AGAIN
        if isinstance(reason, AccessRefused | QueueNotFound):
            named = _EXCHANGE.search(str(reason))
            exchange = named[1] if named else ""
            exchange = "" if exchange == "amq.default" else exchange
            if exchange and isinstance(reason, QueueNotFound):
                reason = ExchangeNotFound(exchange)
            topic = _TOPIC.search(str(reason))
            if topic is not None:
                self.outbox.denied(exchange, reason, topic[1])
            elif exchange not in self._proved:
                self.outbox.denied(exchange, reason)
        self.outbox.lost()

    async def _prepare(self, session: Session, needs: Any) -> None:
        try:
            await needs.prepare(session)
        except RpcError as error:
            if session is self._session and not isinstance(error, ConnectionLost):
                self.outbox.unprepared(needs, error)
        else:
            if session is self._session:
                self.outbox.prepared(needs)

    def __repr__(self) -> str:
        return f"<Posting: {self.outbox!r}>"


def _properties_of(message: Outgoing) -> Properties:
    if message.headers is None:
        return _properties(message.content_type, message.priority, message.timestamp, message.is_again)
    headers = {**message.headers, AGAIN: True} if message.is_again else message.headers
    return Properties(headers, True, message.priority, message.content_type, message.timestamp)


def _publish_on(publish: Callable[..., Any], message: Outgoing) -> Any:
    """Publish a message by one or the other of a channel's methods."""
    try:
        return publish(
            message.routing_key,
            message.body,
            exchange=message.exchange,
            mandatory=message.is_mandatory,
            expiration=None if message.expires_at is None else expiration_ms(message.expires_at - now()),
            message_id=message.message_id,
            type=message.type,
            properties=_properties_of(message),
        )
    except ValueError as error:
        raise ConfigurationError(f"the message cannot be sent: {error}") from None


@lru_cache(maxsize=64)
def _properties(content_type: str | None, priority: int | None, timestamp: int | None, is_again: bool) -> Properties:
    headers = {AGAIN: True} if is_again else None
    return Properties(headers, persistent=True, priority=priority, content_type=content_type, timestamp=timestamp)
