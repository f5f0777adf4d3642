"""From the body of a request to the body of its response: find the function, check, compute, encode.

`dispatch` never raises, whatever the body, the function or the function's exception do; each failure becomes the error
response that the caller can tell apart. There are two exceptions, which come out of everything, so that nothing else of
the message runs: `StopCall`, raised inside a function whose message is cancelled, and `Stray`, in a process that is not
the worker but a child which a function has forked. `dispatch` runs in a worker process.
A server makes the same kind of response for a request that no worker could finish: `wire.jsonrpc.failure`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import CodeType
from typing import Any, TypeAlias

from ..._version import __version__
from ...deadline import Clock
from ...errors import EncodingError, InvalidParams, InvalidRequest, MethodNotFound, RemoteError, ResultNotEncodable
from ...functions.registration import Registry
from ...host.logs import tell_failed
from ...wire import jsonrpc, values
from ...wire.many.answer import encode_response
from ...wire.many.request import read
from ...wire.names import DISCOVER, MAP, PING
from ...wire.sizes import MAX_BODY
from . import exceptions as raising
from .context import Several, running
from .exceptions import StopCall, Stray, function_raised, server_failed, stop_if_strayed
from .many import Progress, compute


@dataclass(frozen=True, slots=True)
class Rules:
    """What a server lets its workers do.

    Attributes:
        max_result: the largest response in bytes.
        send_tracebacks: whether the caller sees the traceback of a function that raised.
        soft_time_limit, time_limit: seconds for a call of a function that has no limits of its own.
        memory_limit: likewise, bytes.
        threads: how many messages a worker computes at a time.
    """

    max_result: int = MAX_BODY
    send_tracebacks: bool = True
    soft_time_limit: float | None = None
    time_limit: float | None = None
    memory_limit: int | None = None
    threads: int = 1


_DEFAULT_RULES = Rules()
_Encode: TypeAlias = Callable[[jsonrpc.Request, Any], bytes]
"""From a request and its result to the body of the response."""


def dispatch(
    registry: Registry,
    body: bytes,
    rules: Rules = _DEFAULT_RULES,
    progress: Progress | None = None,
    clock: Clock = lambda: 0.0,
) -> bytes | None:
    """Compute what `body` asks for.

    Args:
        registry: the functions.
        body: the request.
        rules: what they may do.
        progress: its first item is set to the index of the call that is running, in an `rpc.map` or a batch.
        clock: in seconds, for the time that the calls of an `rpc.map` take.

    Returns:
        The body of the response, or None where none is wanted (notifications).

    Raises:
        StopCall: it was raised inside the function: the message is cancelled.
        Stray: this process is a child that the function has forked.
    """
    message = jsonrpc.parse(body)
    if isinstance(message, jsonrpc.Request) and message.method == MAP:
        return _answer_map(registry, message, rules, [0] if progress is None else progress, clock)
    if isinstance(message, jsonrpc.Batch):
        return _answer_batch(registry, message, rules, [0] if progress is None else progress)
    if isinstance(message, jsonrpc.Bare):
        return _answer_bare(registry, message, rules)
    return _answer(registry, message, rules, _as_asked)


# ---- one request ------------------------------------------------------------------------------------------------


def _as_asked(request: jsonrpc.Request, result: Any) -> bytes:
    return jsonrpc.encode_result(request.id, result, raw=request.raw)


def _inline(request: jsonrpc.Request, result: Any) -> bytes:
    """Within a batch: a raw section stands at the end of a body, and the response of a member is not that."""
    return jsonrpc.encode_result(request.id, result)


def _bare(_request: jsonrpc.Request, result: Any) -> bytes:
    return values.encode_plain(result)


def _answer(
    registry: Registry, message: jsonrpc.Request | jsonrpc.Malformed, rules: Rules, encode: _Encode
) -> bytes | None:
    if isinstance(message, jsonrpc.Malformed):
        return jsonrpc.encode_error(message.id, message.error)
    answer = _respond(registry, message, rules, encode)
    return None if message.is_notification else answer


def _answer_batch(registry: Registry, batch: jsonrpc.Batch, rules: Rules, progress: Progress) -> bytes | None:
    responses = []
    for index, member in enumerate(batch.members):
        progress[0] = index
        answer = _answer(registry, member, rules, _inline)
        if answer is not None:
            responses.append(answer)
    if not responses:
        return None  # a batch of notifications only: section 6
    whole = jsonrpc.encode_batch(responses)
    if len(whole) <= rules.max_result:
        return whole
    told = too_large(len(whole), rules.max_result)
    tell_failed(f"a batch of {len(batch.members)} calls", told)
    return jsonrpc.encode_error(None, told)


def _answer_map(
    registry: Registry, request: jsonrpc.Request, rules: Rules, progress: Progress, clock: Clock
) -> bytes | None:
    def compute_all() -> bytes:
        asked = read(request.args, request.kwargs)
        function = registry.get(asked.method)
        if function is None:
            raise not_found(registry, asked.method)
        running.asked = Several(asked, request.id, progress)
        try:
            outcome = compute(asked, function, progress, clock, send_tracebacks=rules.send_tracebacks)
        finally:
            running.asked = None
        answer = encode_response(request.id, outcome, lambda index, told: tell_failed(asked.name(index), told))
        if len(answer) > rules.max_result and not function.idempotent:
            raise _too_large_together(len(answer), rules)
        return answer

    answer = _guarded(request, rules, compute_all)
    return None if request.is_notification else answer


def _answer_bare(registry: Registry, message: jsonrpc.Bare, rules: Rules) -> bytes:
    """A tutorial's client sends a bare value and gets the bare result; an error is a JSON-RPC error all the same."""
    if registry.default is None:
        error = InvalidRequest("this server has no default function for a bare value; send a JSON-RPC 2.0 request")
        return jsonrpc.encode_error(None, error)
    request = jsonrpc.Request(registry.default, (message.value,), {}, None, False)
    return _respond(registry, request, rules, _bare)


def _respond(registry: Registry, request: jsonrpc.Request, rules: Rules, encode: _Encode) -> bytes:
    return _guarded(request, rules, lambda: encode(request, _compute(registry, request, rules)))


def _guarded(request: jsonrpc.Request, rules: Rules, answer_it: Callable[[], bytes]) -> bytes:
    """The answer, or the error that says why there is none."""
    told: RemoteError
    try:
        answer = answer_it()
    except (StopCall, Stray):
        raise
    except RemoteError as error:
        told = error
    except EncodingError as error:
        told = ResultNotEncodable(f"{request.method}: the result cannot be carried: {error}")
    except BaseException as error:
        told = server_failed(error)
    else:
        if len(answer) <= rules.max_result:
            return answer
        told = too_large(len(answer), rules.max_result)
    tell_failed(f"call {request.id} of {request.method}", told)
    return jsonrpc.encode_error(request.id, told)


def _compute(registry: Registry, request: jsonrpc.Request, rules: Rules) -> Any:
    function = registry.get(request.method)
    if function is None:
        return _protocol_method(registry, request)
    try:
        function.check(request.args, request.kwargs)
    except InvalidParams as error:
        stop_if_strayed(error)
        raise
    if raising.strayed:
        raise Stray
    running.asked = request
    try:
        result = function.call(*request.args, **request.kwargs)
    except StopCall:
        raise
    except BaseException as error:
        raise function_raised(request.method, error, send_traceback=rules.send_tracebacks) from None
    finally:
        running.asked = None
    if raising.strayed:
        raise Stray
    return result


CALLERS: frozenset[CodeType] = frozenset((_compute.__code__, compute.__code__))
"""The code that calls functions, and in which an exception at any moment tears nothing apart."""


def _protocol_method(registry: Registry, request: jsonrpc.Request) -> Any:
    if request.method == PING:
        return "pong"
    if request.method == DISCOVER:
        from ...functions.description import describe  # noqa: PLC0415 pydantic, where it is needed

        return describe(registry, __version__)
    raise not_found(registry, request.method)


def not_found(registry: Registry, method: str) -> MethodNotFound:
    """The error for a method that is not served."""
    known = ", ".join(function.name for function in registry)
    sentence = f"there is no function {method[:100]!r} here; there are: {known[:1000]}"
    return MethodNotFound(sentence, data={"method": method[:100]})


def too_large(size: int, most: int, data: dict[str, Any] | None = None) -> ResultNotEncodable:
    """The error for a response of `size` bytes where at most `most` are sent; `data` is told besides."""
    sentence = f"the result takes {size} bytes; this server sends at most {most}"
    return ResultNotEncodable(sentence, data={"size": size, "limit": most, **(data or {})})


def _too_large_together(size: int, rules: Rules) -> ResultNotEncodable:
    """Of calls that must not run twice: their caller is not to try whether each result by itself is small enough."""
    sentence = (
        f"the results take {size} bytes together; this server sends at most {rules.max_result}; the calls have run"
    )
    return ResultNotEncodable(sentence, data={"size": size, "limit": rules.max_result, "may_run_again": False})
