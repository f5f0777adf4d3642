"""Every error that rpcsvc raises, and whose fault each one is.

The tree:

    RpcError
    ├── ConfigurationError (ValueError)       an option, a URL or a name given to us is wrong
    ├── RegistrationError (TypeError)         a function cannot be served as it is declared
    ├── RegistryFailed                        the registry of a server cannot be imported
    ├── PoolFailed                            the workers of a server cannot be kept running
    ├── EncodingError (ValueError)            a value cannot travel without changing
    │   └── RequestTooLarge                   a request is larger than a message may be
    ├── DecodingError (ValueError)            bytes are not a value
    ├── BrokerError                           the private RabbitMQ node
    │   ├── BrokerNotInstalled
    │   └── BrokerStartFailed
    ├── ConnectionFailed (ConnectionError)    no connection could be opened
    │   ├── AuthenticationFailed
    │   ├── AccessRefused
    │   └── TlsFailed
    ├── ConnectionLost (ConnectionError)      an open connection or channel went away
    │   └── MessageTooLarge                   over a message that is larger than the broker takes
    ├── MessageRefused                        the broker could not put a message into its queue
    ├── QueueNotFound                         the queue does not exist
    ├── QueueMismatch                         the queue exists, and cannot be used as it is
    │   └── QueueLocked                       it is exclusive to another connection
    ├── ClientClosed                          the client was closed before or during the call
    ├── OutOfPlace (RuntimeError)             a client or a future is used where that cannot work
    ├── NoServer                              no queue, or nobody consumes it
    ├── RpcTimeout (TimeoutError)             no reply before the deadline
    └── RemoteError                           a server answered with an error
        ├── ParseError            -32700
        ├── InvalidRequest        -32600
        ├── MethodNotFound        -32601
        ├── InvalidParams         -32602
        ├── InternalError         -32603
        ├── FunctionRaised        -32000
        ├── ResultNotEncodable    -32001
        ├── WorkerLost            -32002
        ├── OutcomeUnknown        -32003
        ├── TimeLimitExceeded     -32004
        ├── CallCancelled         -32005
        └── MemoryLimitExceeded   -32006

The numbers are JSON-RPC 2.0 error codes (section 5.1); -32000 to -32099 are left to implementations.
Errors carry data; `str` makes the sentence. All of them can be pickled, because user code moves them between processes.
"""

from __future__ import annotations

from typing import Any, ClassVar


class RpcError(Exception):
    """The root of every error of this package."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (_rebuild, (type(self), self.args, self.__dict__))


def _rebuild(cls: type[RpcError], args: tuple[Any, ...], state: dict[str, Any]) -> RpcError:
    error = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update(state)
    return error


# ---- the caller's own fault -------------------------------------------------------------------------------------


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


# ---- the broker and the way to it -------------------------------------------------------------------------------


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


class QueueMismatch(RpcError):
    """The queue exists, and cannot be used as it is, or not be declared so (AMQP 0-9-1 reply code 406)."""


class QueueLocked(QueueMismatch):
    """The queue is exclusive to another connection (AMQP 0-9-1 reply code 405)."""


# ---- the outcome of a call, as the client sees it ---------------------------------------------------------------


class NoServer(RpcError):
    """The queue does not exist, or no server consumes it.

    Attributes:
        queue: the queue's name.
        reason: what was found, for instance "the queue does not exist".
    """

    def __init__(self, queue: str, reason: str) -> None:
        super().__init__(queue, reason)
        self.queue = queue
        self.reason = reason

    def __str__(self) -> str:
        return (
            f"no server answers on queue {self.queue!r}: {self.reason}; start one (rpcsvc serve --queue {self.queue}),"
            " or let the client wait for it: RpcClient(wait_for_server=SECONDS)"
        )


class RpcTimeout(RpcError, TimeoutError):
    """No reply came before the deadline of the call.

    Attributes:
        method: the method's name.
        timeout: the call's time-out in seconds.
        call_id: the call's id (its JSON-RPC id and AMQP correlation_id).
    """

    def __init__(self, method: str, timeout: float, call_id: str) -> None:
        super().__init__()
        self.args = (method, timeout, call_id)  # OSError would take them for errno, strerror and filename
        self.method = method
        self.timeout = timeout
        self.call_id = call_id

    def __str__(self) -> str:
        return f"no reply to {self.method!r} within {self.timeout:g} s (call {self.call_id})"


class RemoteError(RpcError):
    """A server answered the call with an error.

    Attributes:
        code: the JSON-RPC 2.0 error code.
        message: the error's one-sentence message.
        data: the error's further members, by name; empty where there are none.
    """

    CODE: ClassVar[int] = -32000

    def __init__(self, message: str, *, code: int | None = None, data: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.code = self.CODE if code is None else code
        self.message = message
        self.data: dict[str, Any] = {} if data is None else data

    def __str__(self) -> str:
        return self.message


class ParseError(RemoteError):
    """The request was not JSON."""

    CODE = -32700


class InvalidRequest(RemoteError):
    """The request was JSON but not a JSON-RPC 2.0 request."""

    CODE = -32600


class MethodNotFound(RemoteError):
    """The server has no such function."""

    CODE = -32601


class InvalidParams(RemoteError):
    """The arguments do not fit the function's signature or annotations; nothing has run."""

    CODE = -32602


class InternalError(RemoteError):
    """The server failed by a fault of its own."""

    CODE = -32603


class FunctionRaised(RemoteError):
    """The function raised an exception.

    The remote traceback, where the server sends it, is a note of the exception (PEP 678): an uncaught one shows it.
    """

    CODE = -32000

    def __init__(self, message: str, *, code: int | None = None, data: dict[str, Any] | None = None) -> None:
        super().__init__(message, code=code, data=data)
        if self.remote_traceback:
            self.add_note("On the server:\n" + self.remote_traceback.rstrip())

    @property
    def exception_type(self) -> str:
        """The exception's class, qualified with its module unless that is `builtins`."""
        return _text(self.data, "type")

    @property
    def exception_message(self) -> str:
        """`str` of the exception."""
        return _text(self.data, "message")

    @property
    def remote_traceback(self) -> str:
        """The formatted traceback from the worker, or an empty string where the server keeps it to itself."""
        return _text(self.data, "traceback")


class ResultNotEncodable(RemoteError):
    """The function returned, but its result cannot be carried exactly, or is too large."""

    CODE = -32001


class WorkerLost(RemoteError):
    """The worker process died while it computed the call."""

    CODE = -32002

    @property
    def exit_code(self) -> int | None:
        """The worker's exit code, or None if a signal killed it."""
        return _number(self.data, "exit_code")

    @property
    def signal_number(self) -> int | None:
        """The signal that killed the worker, or None if it ended by itself."""
        return _number(self.data, "signal")


class OutcomeUnknown(RemoteError):
    """The call may have run before a server or a connection was lost, and its function must not run twice."""

    CODE = -32003


class TimeLimitExceeded(RemoteError):
    """The function ran longer than its limit.

    The soft limit raises this inside the function, which may tidy up; the hard one kills its worker.
    """

    CODE = -32004


class CallCancelled(RemoteError):
    """The call was cancelled, by its caller or because nobody waited for it any more.

    This is raised inside a function that runs, which may tidy up; a function that goes on is killed with its worker.
    """

    CODE = -32005


class MemoryLimitExceeded(RemoteError):
    """The worker took more memory than the function may."""

    CODE = -32006

    @property
    def limit(self) -> int | None:
        """What the function may take, in bytes."""
        return _number(self.data, "limit")

    @property
    def used(self) -> int | None:
        """What its worker had taken when that was noticed, in bytes."""
        return _number(self.data, "used")


def _text(data: dict[str, Any], name: str) -> str:
    value = data.get(name)
    return value if isinstance(value, str) else ""


def _number(data: dict[str, Any], name: str) -> int | None:
    value = data.get(name)
    return value if isinstance(value, int) else None
