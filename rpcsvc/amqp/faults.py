"""pika's exceptions and broken sockets, as our typed errors. No sentence holds a password."""

from __future__ import annotations

import ssl

import pika.exceptions

from ..errors import (
    AccessRefused,
    AuthenticationFailed,
    ConnectionFailed,
    ConnectionLost,
    QueueMismatch,
    QueueNotFound,
    RpcError,
)
from ..settings import BrokerUrl


def opening_error(error: BaseException, url: BrokerUrl, cause: BaseException | None = None) -> RpcError:
    """Why a connection could not be opened.

    Args:
        error: what opening it ended with.
        url: the broker's.
        cause: what ended the stream, if there was one. pika takes any end in the middle of the handshake for a refusal;
            it is one only if the broker says so.
    """
    if isinstance(cause, pika.exceptions.StreamLostError) or (
        isinstance(cause, pika.exceptions.ConnectionClosedByBroker) and not _is_refusal(cause)
    ):
        error = cause
    match error:
        case RpcError():
            return error
        case pika.exceptions.StreamLostError():
            return ConnectionFailed(f"the connection to {url} broke before it was open; is a broker there?")
        case pika.exceptions.ProbableAuthenticationError():
            return AuthenticationFailed(f"the broker at {url} refuses user {url.user!r} or the password")
        case pika.exceptions.ProbableAccessDeniedError():
            return AccessRefused(
                f"the broker at {url} has no virtual host {url.vhost!r} for user {url.user!r}:"
                " it does not exist, or the user may not enter it"
            )
        case TimeoutError():
            return ConnectionFailed(f"no AMQP broker answered at {url} in time")
        case ssl.SSLError():
            return ConnectionFailed(f"no TLS connection to {url}: {error}")
        case OSError():
            return ConnectionFailed(f"no AMQP broker can be reached at {url}: {error}; is RabbitMQ running there?")
        case pika.exceptions.IncompatibleProtocolError():
            return ConnectionFailed(f"what listens at {url} does not speak AMQP 0-9-1")
        case _:
            return ConnectionFailed(f"no connection to {url}: {error}")


def _is_refusal(closed: pika.exceptions.ConnectionClosedByBroker) -> bool:
    # A virtual host that has too many connections says 530 too, but may have room later.
    return closed.reply_code == 403 or (closed.reply_code == 530 and "limit" not in closed.reply_text)


def lost_error(error: BaseException) -> RpcError:
    """Why an open connection or channel went away."""
    match error:
        case RpcError():
            return error
        case pika.exceptions.ChannelClosedByBroker() | pika.exceptions.ConnectionClosedByBroker():
            return _closed_by_broker(error.reply_code, error.reply_text)
        case pika.exceptions.ConnectionClosed() | pika.exceptions.ChannelClosed():
            return ConnectionLost(f"closed: {error.reply_text}")
        case pika.exceptions.AMQPHeartbeatTimeout():
            return ConnectionLost("the broker was silent for longer than the heartbeat allows")
        case pika.exceptions.StreamLostError():
            return ConnectionLost("the connection to the broker broke")
        case _:
            return ConnectionLost(f"the connection to the broker was lost: {error}")


def _closed_by_broker(code: int, text: str) -> RpcError:
    match code:
        case 404:
            return QueueNotFound(text)
        case 406 if "inequivalent arg" in text:
            return QueueMismatch(
                f"a queue of that name exists, declared otherwise: {text}; delete it, or use another --queue"
            )
        case 405:
            return QueueMismatch(f"the queue belongs to another connection alone: {text}; use another --queue")
        case 403 | 530:
            return AccessRefused(f"the broker refused access: {text}")
        case _:
            return ConnectionLost(f"the broker closed the channel or connection: {code} {text}")
