"""What a server answers, in place of a result."""

from __future__ import annotations

from typing import Any, ClassVar

from .root import RpcError


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
