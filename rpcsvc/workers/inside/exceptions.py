"""Exceptions of functions, however hostile, as the error that their caller gets.

An exception's `__str__`, its class and its metaclass are the author's own code and may raise, lie or return oddities;
nothing in here lets that out.
"""

from __future__ import annotations

import traceback
from typing import Any

from ...errors import CallCancelled, FunctionRaised, InternalError, MemoryLimitExceeded, RemoteError, TimeLimitExceeded

MAX_TRACEBACK = 16 * 1024
"""Characters of a remote traceback that travel; the end of it says most."""


class SoftLimit(TimeLimitExceeded):
    """What a soft limit raises inside the function: this worker's own, not one from a call of the function's."""


class NoMemory(MemoryLimitExceeded):
    """What becomes of the MemoryError of a function that has a memory limit."""


class StopCall(CallCancelled):
    """What a cancel raises inside the function: it ends the whole message, for whose answer nobody waits."""


strayed = False
"""Whether this process is a child that a function has forked: it ends where the function does, and answers nothing.

Set in the child (`workers.own`), and looked at whenever a function has ended."""


class Stray(BaseException):
    """A function has ended in a child that it forked. It comes out of everything, and nothing else is computed.

    Attributes:
        error: what the function raised; None if it returned.
    """

    def __init__(self, error: BaseException | None = None) -> None:
        super().__init__()
        self.error = error


def stop_if_strayed(error: BaseException | None = None) -> None:
    """Go no further in a child of the worker.

    Args:
        error: what code of the function has raised; None if it returned.

    Raises:
        Stray: this process is one.
    """
    if strayed:
        raise Stray(error)


def function_raised(method: str, error: BaseException, *, send_traceback: bool) -> RemoteError:
    """What the caller of `method` gets when it raised `error`.

    Raises:
        Stray: it was raised in a child that the function had forked: no caller gets anything from there.
    """
    stop_if_strayed(error)
    if type(error) is SoftLimit:
        return TimeLimitExceeded(f"{method}: {error.message}", data=error.data)
    if type(error) is NoMemory:
        return MemoryLimitExceeded(f"{method}: {error.message}", data=error.data)
    kind = _qualified_name(type(error))
    message = _text(error)
    data: dict[str, Any] = {"type": kind, "message": message}
    if send_traceback:
        data["traceback"] = _traceback(error)
    return FunctionRaised(f"{method} raised {kind}: {message}" if message else f"{method} raised {kind}", data=data)


def server_failed(error: BaseException) -> InternalError:
    """What a caller gets when the server itself raised `error`.

    Raises:
        Stray: as above.
    """
    stop_if_strayed(error)
    return InternalError(f"the server failed: {_qualified_name(type(error))}: {_text(error)}")


def _qualified_name(cls: type[BaseException]) -> str:
    try:
        module, name = cls.__module__, cls.__qualname__
    except BaseException:  # a metaclass may do anything
        return "<an exception without a name>"
    return _text(name) if _text(module) == "builtins" else f"{_text(module)}.{_text(name)}"


def _text(thing: object) -> str:
    try:
        # `str` may give a subclass, whose methods may do anything; `str.__str__` makes it a str and nothing else.
        return str.__str__(str(thing))
    except BaseException:
        return "<its __str__ raised>"


def _traceback(error: BaseException) -> str:
    try:
        # The frames of this module, at the top, tell the caller nothing.
        own = error.__traceback__.tb_next if error.__traceback__ is not None else None
        text = "".join(traceback.format_exception(type(error), error, own))
    except BaseException:
        return ""
    return text if len(text) <= MAX_TRACEBACK else "[…]\n" + text[-MAX_TRACEBACK:]
