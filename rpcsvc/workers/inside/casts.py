"""Casts in a worker: from the body of a notification to a report of what became of it.

Whether it is to be tried again is decided here, where the exception is known. `perform` never raises, with the two
exceptions that `dispatch` has. It runs in a worker process.
"""

from __future__ import annotations

from types import CodeType
from typing import Any

from ...deadline import Clock
from ...errors import DecodingError, InvalidParams, InvalidRequest, MethodNotFound, RemoteError, RetryLater
from ...functions.function import Function
from ...functions.registration import Registry
from ...functions.retry import after_later, after_loss, after_raise
from ...host.logs import tell_failed
from ...wire import jsonrpc, values
from ...wire.events import Event, decode_body, moment
from ...wire.names import DISCOVER, MAP, PING
from ..job import Context, Report
from . import exceptions as raising
from .context import running
from .dispatch import Rules, dispatch, not_found
from .exceptions import NoMemory, SoftLimit, StopCall, Stray, function_raised, server_failed, stop_if_strayed
from .many import Progress


def do(
    registry: Registry, body: bytes, context: Context, rules: Rules, *, progress: Progress, clock: Clock
) -> bytes | None:
    """Do a message of which the server has told more than its body: a cast, an event, or a call; see `dispatch`."""
    if context.kind != "call":
        return perform(registry, body, context, rules)
    running.context = context
    try:
        return dispatch(registry, body, rules, progress, clock)
    finally:
        running.context = None


_ELSEWHERE = 1.0
"""Seconds after which an event comes again that has no handler here."""


def perform(registry: Registry, body: bytes, context: Context, rules: Rules) -> bytes:
    """Do what a cast asks for.

    Args:
        registry: the functions.
        body: the cast's.
        context: what the server knows of it.
        rules: what functions may do.

    Returns:
        The report, for the server.

    Raises:
        StopCall: it was raised inside the function: the message is cancelled.
        Stray: this process is a child that the function has forked.
    """
    running.context = context
    try:
        return _perform(registry, body, context, rules).encode()
    except (StopCall, Stray):
        raise
    except BaseException as error:
        return _failed(context, "", server_failed(error)).encode()
    finally:
        running.context = None


def _perform(registry: Registry, body: bytes, context: Context, rules: Rules) -> Report:
    if context.kind == "event":
        return _handle(registry, body, context, rules)
    try:
        request = _asked(registry, body, bare=context.bare)
        if request.method in (PING, DISCOVER):
            return Report()  # there is nobody to be told
        function = registry.get(request.method)
        if function is None:
            raise not_found(registry, request.method)
    except RemoteError as error:
        return _failed(context, "", error)
    try:
        function.check(request.args, request.kwargs)
    except InvalidParams as error:
        stop_if_strayed(error)
        return _failed(context, function.name, error)
    stop_if_strayed()
    return run(function, request, context, rules)


def _handle(registry: Registry, body: bytes, context: Context, rules: Rules) -> Report:
    """Call the handler of an event."""
    handler = registry.handlers.get(context.handler)
    if handler is None:
        # The registry was loaded anew, or is another pool's: that which has it may get the event.
        error = MethodNotFound(f"no handler {context.handler!r} in this registry (any more)")
        return _failed(context, "", error, after_later(None, context.attempt, _ELSEWHERE))
    event = Event(
        context.topic,
        moment(context.first_published),
        decode_body(body, context.content_type),
        headers=context.headers,
        redelivered=context.redelivered,
        message_id=context.message_id,
    )
    return run(handler.function, jsonrpc.Request(handler.name, (event,), {}, None, True), context, rules)


def run(function: Function, request: jsonrpc.Request, context: Context, rules: Rules) -> Report:
    """Run a function whose arguments are checked.

    Raises:
        StopCall, Stray: as for `perform`.
    """
    running.asked = request
    try:
        function.call(*request.args, **request.kwargs)
    except StopCall:
        raise
    except BaseException as error:
        told = function_raised(function.name, error, send_traceback=rules.send_tracebacks)
        return _failed(context, function.name, told, _again_in(function, error, context.attempt))
    finally:
        running.asked = None
    if raising.strayed:
        raise Stray
    return Report()


CALLERS: frozenset[CodeType] = frozenset((run.__code__,))
"""The code that calls functions here; see `dispatch.CALLERS`."""


def _again_in(function: Function, error: BaseException, attempt: int) -> float | None:
    """Seconds until a cast is tried again whose function has raised; None if it is not."""
    bases = type(error).__mro__
    if RetryLater in bases:
        try:
            seconds = RetryLater(error.seconds).seconds  # type: ignore[attr-defined]
        except BaseException:  # a class derived from it may do anything
            return None
        return after_later(function.retry, attempt, seconds)
    if SoftLimit in bases or NoMemory in bases:
        return after_loss(function.retry, attempt, idempotent=function.idempotent)
    return after_raise(function.retry, attempt, error)


def _failed(context: Context, method: str, error: RemoteError, retry_in: float | None = None) -> Report:
    tell_failed(f"{context.kind} {context.message_id or 'without an id'} of {method or 'nothing'}", error)
    return Report(jsonrpc.error_object(error), retry_in)


# ---- what a body asks for ---------------------------------------------------------------------------------------


def _asked(registry: Registry, body: bytes, *, bare: bool) -> jsonrpc.Request:
    """What a cast asks for.

    Args:
        bare: whether a body that is no JSON-RPC object is for the default function.

    Raises:
        RemoteError: nothing that can be done.
    """
    message = jsonrpc.parse(body)
    if isinstance(message, jsonrpc.Request) and message.method != MAP:
        return message
    if bare and not _is_jsonrpc(body):
        return _default(registry, body)
    if isinstance(message, jsonrpc.Malformed):
        raise message.error
    raise InvalidRequest("a cast is a JSON-RPC 2.0 notification, a single one; cast each of several")


def _is_jsonrpc(body: bytes) -> bool:
    """Whether a body means to be a JSON-RPC object, be it right or not."""
    try:
        document: Any = values.decode(body)
    except DecodingError:
        return False
    return type(document) is dict and "jsonrpc" in document


def _default(registry: Registry, body: bytes) -> jsonrpc.Request:
    """The call of the default function, with a body as it came: text where it is that."""
    if registry.default is None:
        raise InvalidRequest(
            "this body is no JSON-RPC 2.0 notification, and the registry has no default function for it: "
            "Registry(default=NAME)"
        )
    value: str | bytes
    try:
        value = body.decode()
    except UnicodeDecodeError:
        value = body
    return jsonrpc.Request(registry.default, (value,), {}, None, True)
