"""The calls of an `rpc.map`, made one after the other in a worker."""

from __future__ import annotations

from typing import Any, Protocol

from ...deadline import Clock
from ...errors import InvalidParams, RemoteError
from ...functions.function import Function
from ...host.logs import tell_failed
from ...wire import jsonrpc
from ...wire.many.answer import ErrorObject, MapResult
from ...wire.many.request import MapRequest
from . import exceptions as raising
from .exceptions import StopCall, Stray, function_raised, server_failed, stop_if_strayed


class Progress(Protocol):
    """Where the index of the running call is noted, at place 0: a list, or shared memory."""

    def __getitem__(self, place: int, /) -> int: ...

    def __setitem__(self, place: int, index: int, /) -> None: ...


def compute(
    asked: MapRequest, function: Function, progress: Progress, clock: Clock, *, send_tracebacks: bool
) -> MapResult:
    """Make the calls, one after the other.

    Args:
        asked: what to call.
        function: the method's.
        progress: its first item is set to the index of the call that is running.
        clock: seconds, for the time that it takes.
        send_tracebacks: whether errors carry the traceback.

    Raises:
        StopCall: the message is cancelled; no further call is made.
        Stray: this process is a child that the function has forked; likewise.
    """
    call, check = function.call, function.check
    needs_check = asked.columns is None or not function.accepts(asked.columns)
    results: list[Any] = []
    errors: list[tuple[int, ErrorObject]] = []
    started = clock()
    for index, args in enumerate(asked.each()):
        progress[0] = index
        told: RemoteError
        try:
            if needs_check:
                check(args, {})
                stop_if_strayed()
        except InvalidParams as error:
            stop_if_strayed(error)
            told = error
        except (StopCall, Stray):
            raise
        except BaseException as error:  # a class in an annotation may do anything
            told = server_failed(error)
        else:
            try:
                results.append(call(*args))
                if raising.strayed:
                    raise Stray
                continue
            except (StopCall, Stray):
                raise
            except BaseException as error:
                told = function_raised(function.name, error, send_traceback=send_tracebacks)
        tell_failed(asked.name(index), told)
        errors.append((index, jsonrpc.error_object(told)))
        results.append(None)
    return MapResult(results, errors, clock() - started, not function.idempotent)
