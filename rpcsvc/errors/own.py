"""Errors that are the fault of whoever uses the package: a wrong option, a value that cannot travel, a wrong place."""

from __future__ import annotations

from .root import RpcError


class ConfigurationError(RpcError, ValueError):
    """An option, a URL or a name given to rpcsvc is wrong; the sentence says which and what is right."""


class RegistrationError(RpcError, TypeError):
    """A function cannot be served as it is declared."""


class RegistryFailed(RpcError):
    """The registry could not be imported.

    Attributes:
        target: what was asked for, MODULE:NAME.
        remote_traceback: the traceback of the import, or one line.
    """

    def __init__(self, target: str, remote_traceback: str) -> None:
        super().__init__(target, remote_traceback)
        self.target = target
        self.remote_traceback = remote_traceback

    def __str__(self) -> str:
        return f"the registry {self.target!r} cannot be loaded:\n{self.remote_traceback}"


class PoolFailed(RpcError):
    """The workers of a server cannot be kept running."""


class EncodingError(RpcError, ValueError):
    """A value cannot be carried without changing it."""


class RequestTooLarge(EncodingError):
    """A request is larger than a message may be; it was not sent, or the broker refused it. Nothing has run.

    Attributes:
        size: the request in bytes.
        limit: the most that may be sent, in bytes: the client's `max_request`, or less if the broker takes less.
    """

    def __init__(self, size: int, limit: int) -> None:
        super().__init__(size, limit)
        self.size = size
        self.limit = limit

    def __str__(self) -> str:
        return f"the request takes {self.size} bytes; at most {self.limit} can be sent"


class DecodingError(RpcError, ValueError):
    """Bytes are not the encoding of a value."""


class ClientClosed(RpcError):
    """The client was closed before the call could be sent, or before its reply came."""


class OutOfPlace(RpcError, RuntimeError):
    """A client or a future is used where that cannot work; the sentence says where it can.

    It would wait for ever: on the thread of its own that a client has (done callbacks run there, and finalizers may),
    on another event loop than the client's, in a forked child for a call of its parent, or on green threads.
    """
