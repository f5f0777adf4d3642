"""Calls through dispatch, as a client and a worker make them together, without what lies between."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from rpcsvc.errors import RemoteError, WorkerLost
from rpcsvc.functions.registration import Registry
from rpcsvc.wire import values
from rpcsvc.wire.jsonrpc import decode_response, encode_params, encode_request
from rpcsvc.workers.inside.dispatch import Rules, dispatch

LOST = WorkerLost("the worker died", data={"exit_code": None, "signal": 9})


def serving(function: Callable[..., Any], *, default: str | None = None, **options: Any) -> Registry:
    registry = Registry(default=default)
    registry.add(function, name="f", **options)
    return registry


def call(registry: Registry, *args: Any, rules: Rules | None = None, **kwargs: Any) -> Any:
    """Call `f` as a client does: its result, or the typed error."""
    body = dispatch(registry, request_body("7", "f", args, kwargs), rules or Rules())
    assert body is not None
    assert values.decode(body)["id"] == "7"
    return decode_response(body)


def error_of(registry: Registry, *args: Any, rules: Rules | None = None, **kwargs: Any) -> RemoteError:
    with pytest.raises(RemoteError) as caught:
        call(registry, *args, rules=rules, **kwargs)
    return caught.value


def raising(error: BaseException) -> Registry:
    def f() -> None:
        raise error

    return serving(f)


def request_body(call_id: str, method: str, args: Any, kwargs: Any) -> bytes:
    """The body of a request."""
    return encode_request(call_id, method, encode_params(args, kwargs))
