"""Errors of the broker, and of the way to it."""

from __future__ import annotations

from .root import RpcError


class BrokerError(RpcError):
    """The private RabbitMQ node could not do what was asked of it."""


class BrokerNotInstalled(BrokerError):
    """RabbitMQ's programs are not on this machine."""


class BrokerStartFailed(BrokerError):
    """The private node did not come up."""


class ConnectionFailed(RpcError, ConnectionError):
    """No connection to the broker could be opened."""


class AuthenticationFailed(ConnectionFailed):
    """The broker refused the user name or the password."""


class AccessRefused(ConnectionFailed):
    """The user may not use the virtual host, or a queue or exchange in it."""


class TlsFailed(ConnectionFailed):
    """The broker and we do not trust each other's certificates, or one of us speaks no TLS."""


class ConnectionLost(RpcError, ConnectionError):
    """An open connection or channel went away; whether a call under way has run is not known."""


class MessageTooLarge(ConnectionLost):
    """The broker closed a channel over a message that is larger than it takes (AMQP 0-9-1 reply code 406).

    A call reports this as RequestTooLarge or ResultNotEncodable.

    Attributes:
        size: the message's body in bytes.
        limit: the most that the broker takes (its `max_message_size`).
    """

    def __init__(self, size: int, limit: int) -> None:
        super().__init__()
        self.args = (size, limit)  # OSError would take them for errno and strerror
        self.size = size
        self.limit = limit

    def __str__(self) -> str:
        return f"the broker takes messages of at most {self.limit} bytes, and one had {self.size}"


class MessageRefused(RpcError):
    """The broker could not put a message into its queue, which is full or failed (basic.nack)."""


class QueueNotFound(RpcError):
    """The queue does not exist (AMQP 0-9-1 reply code 404). A call reports this as NoServer."""


class ExchangeNotFound(QueueNotFound):
    """There is no such exchange, whose events were to be heard, or where one was to be published.

    Attributes:
        exchange: its name.
    """

    def __init__(self, exchange: str) -> None:
        super().__init__(exchange)
        self.exchange = exchange

    def __str__(self) -> str:
        return (
            f"there is no exchange {self.exchange!r}; whoever publishes there declares it first; without exchange=, "
            "events need none to be declared"
        )


class QueueMismatch(RpcError):
    """The queue exists, and cannot be used as it is, or not be declared so (AMQP 0-9-1 reply code 406)."""


class QueueLocked(QueueMismatch):
    """The queue is exclusive to another connection (AMQP 0-9-1 reply code 405)."""
