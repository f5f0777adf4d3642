"""Publishing the messages that the broker may refuse: in turn, and confirmed.

message --> the expendable channel --> confirmed: it waits for its reply like any other
                                       refused (406): RequestTooLarge, and a lower limit; no other call notices
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..deadline import expiration_ms
from ..errors import ConnectionLost, MessageTooLarge, RequestTooLarge, RpcError
from ..wire.names import SENT_AGAIN
from .engine import Engine
from .messages import Message
from .session import Session

_MOST_TRIES = 2
"""How often a request is published on one connection when its channel ends for a reason that says nothing about it."""


def publish_on(publish: Callable[..., Any], session: Session, message: Message, body: bytes, seconds: float) -> Any:
    """Publish a message that may wait in the queue for so many seconds, by one or the other of a channel's methods."""
    return publish(
        message.queue,
        body,
        mandatory=True,
        correlation_id=message.message_id,
        reply_to=session.callback_queue,
        expiration=expiration_ms(seconds),
        message_id=SENT_AGAIN if message.is_again else None,
        type=message.method,
    )


async def publish_in_turn(engine: Engine, session: Session, message: Message) -> None:
    """Publish a message on the expendable channel of a session, and tell the engine what becomes of it."""
    for _ in range(_MOST_TRIES):
        try:
            async with session.expendable.turn() as channel:
                if session.lost.done():
                    return
                seconds, body = engine.departs(message), message.body
                if seconds is None or body is None:
                    return
                await publish_on(channel.publish_confirmed, session, message, body, seconds)
                session.expendable.proved(len(body))
                engine.confirmed(message)
                return
        except MessageTooLarge as refused:
            error: RpcError = RequestTooLarge(refused.size, refused.limit)
            break
        except RpcError as lost:
            if session.connection.lost.done():
                return  # what waits is sent again on the next one
            error = lost
            if not isinstance(lost, ConnectionLost):
                break
    engine.refused(message, error)
