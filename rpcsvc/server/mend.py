"""When the worker died over an `rpc.map`: its calls one by one, and their answers as one again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..errors import RemoteError
from ..wire import jsonrpc
from ..wire.many.answer import ErrorObject, MapResult, encode_response
from ..wire.many.request import read_body


def split(body: bytes) -> list[bytes] | None:
    """The requests that an `rpc.map` of several calls stands for, one by one; None if `body` is no such thing."""
    asked = read_body(body)
    if asked is None or asked.count == 1:
        return None
    return [
        jsonrpc.encode_request(
            asked.ids[index] if asked.ids else str(index), asked.method, jsonrpc.encode_params(list(args), {})
        )
        for index, args in enumerate(asked.each())
    ]


def join(body: bytes, responses: Sequence[bytes]) -> bytes:
    """The response to the `rpc.map` in `body`, from the responses to what `split` made of it."""
    request = jsonrpc.parse(body)
    assert isinstance(request, jsonrpc.Request)
    results: list[Any] = []
    errors: list[tuple[int, ErrorObject]] = []
    for index, response in enumerate(responses):
        try:
            results.append(jsonrpc.decode_response(response))
        except RemoteError as error:
            results.append(None)
            errors.append((index, jsonrpc.error_object(error)))
    # What the calls took is not known; calls of this method had better come alone for now.
    return encode_response(request.id, MapResult(results, errors, 0.0, True))


def split_with_ids(body: bytes) -> tuple[str, list[tuple[str, bytes]]] | None:
    """The method of an `rpc.map` of calls that only travel together, and each call's id and request.

    None if `body` is no such thing: without ids the calls have no callers of their own.
    """
    asked = read_body(body)
    if asked is None or not asked.ids:
        return None
    return asked.method, [
        (call_id, jsonrpc.encode_request(call_id, asked.method, jsonrpc.encode_params(list(args), {})))
        for call_id, args in zip(asked.ids, asked.each(), strict=True)
    ]
