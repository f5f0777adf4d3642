"""What a registry serves, as an OpenRPC document (https://spec.open-rpc.org): the answer to `rpc.discover`."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue

from .adapters import ANY, core
from .function import Function
from .registration import Registry

OPENRPC_VERSION = "1.3.2"
_Schema = dict[str, Any]


def describe(registry: Registry, version: str) -> dict[str, Any]:
    """The OpenRPC document of a registry; `version` is the service's."""
    annotations: dict[tuple[str, str | None], Any] = {
        (function.name, parameter.name): parameter.annotation
        for function in registry
        for parameter in function.signature.parameters.values()
    }
    annotations |= {(function.name, None): function.signature.return_annotation for function in registry}
    made, shared = schemas(annotations)
    document = {
        "openrpc": OPENRPC_VERSION,
        "info": {"title": "rpcsvc", "version": version},
        "methods": [_method(function, made) for function in registry],
    }
    return document | ({"components": {"schemas": shared}} if shared else {})


def _method(function: Function, made: Mapping[tuple[str, str | None], _Schema]) -> dict[str, Any]:
    method: dict[str, Any] = {
        "name": function.name,
        "params": [_param(each, made[function.name, each.name]) for each in function.signature.parameters.values()],
        "result": {"name": "result", "schema": made[function.name, None]},
        "x-idempotent": function.idempotent,
    }
    if function.summary:
        method["summary"] = function.summary
    return method


def _param(parameter: inspect.Parameter, schema: _Schema) -> dict[str, Any]:
    variadic = parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    return {
        "name": parameter.name,
        "required": parameter.default is parameter.empty and not variadic,
        "schema": schema,
    }


def schemas(annotations: Mapping[Any, Any]) -> tuple[dict[Any, dict[str, Any]], dict[str, Any]]:
    """A JSON Schema for each annotation, {} where JSON has no word for it; and those they refer to, by name."""
    inputs: list[Any] = []
    for key, annotation in annotations.items():
        try:
            inputs.append((key, "validation", core(annotation)))
        except Exception:  # of a function that is not checked
            inputs.append((key, "validation", ANY))
    made: Any
    shared: Any
    made, shared = _Schemas(ref_template="#/components/schemas/{model}").generate_definitions(inputs)
    return {key: made[key, "validation"] for key in annotations}, shared


class _Schemas(GenerateJsonSchema):
    """JSON Schemas of core schemas; in place of a check its metadata say what it is to be told as."""

    def generate_inner(self, schema: Any) -> JsonSchemaValue:
        return super().generate_inner((schema.get("metadata") or {}).get("told", schema))

    def handle_invalid_for_json_schema(self, schema: Any, error_info: str) -> JsonSchemaValue:
        return {}
