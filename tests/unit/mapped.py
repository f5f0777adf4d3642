"""An `rpc.map` through dispatch, as a client and a worker make it together, without what lies between."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rpcsvc.functions.registration import Registry
from rpcsvc.wire.jsonrpc import decode_response, encode_params, encode_request
from rpcsvc.wire.many.answer import MapAnswer, read_answer
from rpcsvc.wire.names import MAP
from rpcsvc.workers.inside.dispatch import Rules, dispatch


def serving(function: Callable[..., Any], **options: Any) -> Registry:
    registry = Registry()
    registry.add(function, name="f", **options)
    return registry


def map_body(*, method: str = "f", **params: Any) -> bytes:
    """The body of an `rpc.map`."""
    return encode_request("7", MAP, encode_params([], {"method": method, **params}))


def map_result(registry: Registry, rules: Rules | None = None, *, method: str = "f", **params: Any) -> Any:
    """The result as it travels, or the typed error of the whole message."""
    response = dispatch(registry, map_body(method=method, **params), rules or Rules())
    assert response is not None
    return decode_response(response)


def map_answer(registry: Registry, rules: Rules | None = None, **params: Any) -> MapAnswer:
    """The same as its caller reads it."""
    count = len(params["columns"][0] if "columns" in params else params["rows"])
    return read_answer(map_result(registry, rules, **params), count)


# Three calls of `f` in one message, and each of them by itself.
PACK = map_body(rows=[[0], [1], [2]], ids=["a", "b", "c"])
PACKED = [encode_request(call_id, "f", b"[%d]" % n) for n, call_id in enumerate("abc")]
