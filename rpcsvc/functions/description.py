"""What a registry serves, as an OpenRPC document (https://spec.open-rpc.org): the answer to `rpc.discover`."""

from __future__ import annotations

import inspect
import types
import typing
from typing import Any

from .registration import Function, Registry

OPENRPC_VERSION = "1.3.2"

_SCHEMAS: dict[Any, dict[str, Any]] = {
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"type": "number"},
    str: {"type": "string"},
    type(None): {"type": "null"},
    None: {"type": "null"},
    list: {"type": "array"},
    dict: {"type": "object"},
}


def describe(registry: Registry, version: str) -> dict[str, Any]:
    """The OpenRPC document of a registry; `version` is the service's."""
    return {
        "openrpc": OPENRPC_VERSION,
        "info": {"title": "rpcsvc", "version": version},
        "methods": [_method(function) for function in registry],
    }


def _method(function: Function) -> dict[str, Any]:
    method: dict[str, Any] = {
        "name": function.name,
        "params": [_param(parameter) for parameter in function.signature.parameters.values()],
        "result": {"name": "result", "schema": schema(function.signature.return_annotation)},
        "x-idempotent": function.idempotent,
    }
    if function.summary:
        method["summary"] = function.summary
    return method


def _param(parameter: inspect.Parameter) -> dict[str, Any]:
    variadic = parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    return {
        "name": parameter.name,
        "required": parameter.default is parameter.empty and not variadic,
        "schema": schema(parameter.annotation),
    }


def schema(annotation: Any) -> dict[str, Any]:
    """A JSON Schema for an annotation; {} (anything) where JSON has no word for it."""
    try:
        if annotation in _SCHEMAS:
            return dict(_SCHEMAS[annotation])
    except TypeError:  # an unhashable annotation
        return {}
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (typing.Union, types.UnionType):
        return {"anyOf": [schema(arg) for arg in args]}
    if origin is list:
        # typing.List without an argument has this origin too.
        return {"type": "array", "items": schema(args[0])} if args else {"type": "array"}
    if origin is dict:
        return {"type": "object", "additionalProperties": schema(args[1])} if args else {"type": "object"}
    return {}
