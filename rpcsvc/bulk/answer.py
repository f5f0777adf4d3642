"""What came of an `rpc.map`: the outcome of each call, to bytes and back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any, TypeAlias

from .. import jsonrpc, values
from ..errors import EncodingError, RemoteError, ResultNotEncodable
from .request import METHOD

ErrorObject: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class MapResult:
    """What came of it; see the package's text."""

    results: list[Any]
    errors: list[tuple[int, ErrorObject]]
    seconds: float
    alone: bool


def encode_response(call_id: jsonrpc.RequestId, outcome: MapResult) -> bytes:
    """The body of the response; a result that cannot be carried is an error of its call."""
    errors = list(outcome.errors)
    try:
        results = values.encode(outcome.results)
    except EncodingError:
        results = b"[" + b",".join(_encode_each(outcome.results, errors)) + b"]"
    rest = values.encode(
        {
            "errors": [list(each) for each in errors],
            "seconds": outcome.seconds,
            "bytes": len(results),
            "alone": outcome.alone,
        }
    )
    return jsonrpc.wrap_result(call_id, b'{"results":' + results + b"," + rest[1:])


def _encode_each(results: Sequence[Any], errors: list[tuple[int, ErrorObject]]) -> Iterator[bytes]:
    for index, result in enumerate(results):
        try:
            yield values.encode(result)
        except EncodingError as error:
            told = ResultNotEncodable(f"the result cannot be carried: {error}")
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
    raise jsonrpc.not_a_response(f"it is no result of {METHOD} for {count} calls")
