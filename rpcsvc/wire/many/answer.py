"""What came of an `rpc.map`: the outcome of each call, to bytes and back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any, TypeAlias

from ...errors import (
    DecodingError,
    EncodingError,
    InvalidParams,
    InvalidRequest,
    MethodNotFound,
    ParseError,
    RemoteError,
    ResultNotEncodable,
)
from .. import jsonrpc, values
from ..names import MAP

ErrorObject: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class MapResult:
    """The outcomes of the calls of an `rpc.map`; see the package's text."""

    results: list[Any]
    errors: list[tuple[int, ErrorObject]]
    seconds: float
    alone: bool


def encode_response(
    call_id: jsonrpc.RequestId, outcome: MapResult, failed: Callable[[int, RemoteError], None] = lambda *_: None
) -> bytes:
    """The body of the response; a result that cannot be carried is an error of its call.

    Args:
        call_id: of the whole.
        outcome: what came of the calls.
        failed: told of each result that cannot be carried, with its index.
    """
    errors = list(outcome.errors)
    try:
        results = values.encode(outcome.results)
    except EncodingError:
        results = b"[" + b",".join(_encode_each(outcome.results, errors, failed)) + b"]"
    rest = values.encode(
        {
            "errors": [list(each) for each in errors],
            "seconds": outcome.seconds,
            "bytes": len(results),
            "alone": outcome.alone,
        }
    )
    return jsonrpc.wrap_result(call_id, b'{"results":' + results + b"," + rest[1:])


def _encode_each(
    results: Sequence[Any], errors: list[tuple[int, ErrorObject]], failed: Callable[[int, RemoteError], None]
) -> Iterator[bytes]:
    for index, result in enumerate(results):
        try:
            yield values.encode(result)
        except EncodingError as error:
            told = ResultNotEncodable(f"the result cannot be carried: {error}")
            failed(index, told)
            errors.append((index, jsonrpc.error_object(told)))
            yield b"null"


@dataclass(frozen=True, slots=True)
class MapAnswer:
    """The result of an `rpc.map`, as its caller sees it; see the package's text."""

    results: list[Any]
    errors: dict[int, RemoteError]
    seconds: float
    size_in_bytes: int
    alone: bool


def read_answer(result: Any, count: int) -> MapAnswer:
    """The decoded result of an `rpc.map` of `count` calls.

    Raises:
        DecodingError: it is no such thing.
    """
    try:
        results, seconds, size, alone = (result[name] for name in ("results", "seconds", "bytes", "alone"))
        errors = {index: jsonrpc.read_error(told) for index, told in result["errors"]}
        if (
            isinstance(results, list)
            and len(results) == count
            and all(type(index) is int and 0 <= index < count for index in errors)
            and isinstance(seconds, int | float)
            and 0 <= seconds < inf
            and isinstance(size, int)
        ):
            return MapAnswer(results, errors, seconds, size, bool(alone))
    except (TypeError, KeyError, ValueError):
        pass
    raise jsonrpc.not_a_response(f"it is no result of {MAP} for {count} calls")


class Understanding:
    """Whether the servers of one queue know `rpc.map`, by what they answered.

    Servers of another make need not. How they say so is theirs: "method not found" from most, but also another error
    of JSON-RPC that means that nothing has run, or a body that is no response at all. Anything but the first may also
    be about one message, so it says nothing of the others once an `rpc.map` has been answered.

    Attributes:
        is_given: false once it is known that they do not.
    """

    def __init__(self) -> None:
        self.is_given = True
        self._is_certain = False

    def confirm(self) -> None:
        """An `rpc.map` has been answered as it should be."""
        self._is_certain = True

    def is_missing(self, error: BaseException) -> bool:
        """Whether an `rpc.map` failed because its server knows no such thing, so that its calls should go alone."""
        match error:
            case MethodNotFound():
                # A server of ours names the method that it misses: the one that the message is about.
                self.is_given = error.data.get("method", MAP) != MAP
                return not self.is_given
            case InvalidRequest() | InvalidParams() | ParseError() | DecodingError() if not self._is_certain:
                self.is_given = False
                return True
            case _:
                return False
