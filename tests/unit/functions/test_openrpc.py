"""The OpenRPC document: what a caller learns of a registry."""

from __future__ import annotations

import typing
from typing import Any, Optional

import orjson
import pytest

from rpcsvc.functions import registry as built_in
from rpcsvc.functions.description import describe, schemas
from rpcsvc.functions.registration import Registry
from rpcsvc.wire import values


def test_a_function_is_described_with_its_parameters_and_its_result() -> None:
    registry = Registry()

    @registry.function(name="shop.price", idempotent=False)
    def price(item: str, count: int = 1, *notes: str, rebate: float | None, **more: Any) -> dict[str, float]:
        """What it costs.

        In cents.
        """
        return {}

    document = describe(registry, "1.2.3")

    assert document["openrpc"].startswith("1.")
    assert document["info"] == {"title": "rpcsvc", "version": "1.2.3"}
    assert document["methods"] == [
        {
            "name": "shop.price",
            "summary": "What it costs.",
            "params": [
                {"name": "item", "required": True, "schema": {"type": "string"}},
                {"name": "count", "required": False, "schema": {"type": "integer"}},
                {"name": "notes", "required": False, "schema": {"type": "string"}},
                {"name": "rebate", "required": True, "schema": {"anyOf": [{"type": "number"}, {"type": "null"}]}},
                {"name": "more", "required": False, "schema": {}},
            ],
            "result": {
                "name": "result",
                "schema": {"type": "object", "additionalProperties": {"type": "number"}},
            },
            "x-idempotent": False,
        }
    ]


def test_a_function_without_a_docstring_has_no_summary() -> None:
    registry = Registry()
    registry.add(lambda: None, name="quiet")

    assert "summary" not in describe(registry, "1")["methods"][0]


def test_the_document_of_the_built_in_functions_is_plain_json() -> None:
    document = describe(built_in, "1")

    assert orjson.loads(values.encode(document)) == document
    assert [method["name"] for method in document["methods"]] == [function.name for function in built_in]
    assert len({method["name"] for method in document["methods"]}) == len(built_in)


@pytest.mark.parametrize(
    ("annotation", "expected"),
    [
        (bool, {"type": "boolean"}),
        (int, {"type": "integer"}),
        (float, {"type": "number"}),
        (str, {"type": "string"}),
        (None, {"type": "null"}),
        (list, {"type": "array", "items": {}}),
        (dict, {"type": "object", "additionalProperties": True}),
        (list[int], {"type": "array", "items": {"type": "integer"}}),
        (
            dict[str, list[bool]],
            {"type": "object", "additionalProperties": {"type": "array", "items": {"type": "boolean"}}},
        ),
        (typing.List, {"type": "array", "items": {}}),  # noqa: UP006 - people still write it
        (typing.Dict, {"type": "object", "additionalProperties": True}),  # noqa: UP006
        (typing.List[int], {"type": "array", "items": {"type": "integer"}}),  # noqa: UP006
        (int | str, {"anyOf": [{"type": "integer"}, {"type": "string"}]}),
        (Optional[int], {"anyOf": [{"type": "integer"}, {"type": "null"}]}),  # noqa: UP045
        (Any, {}),
        (bytes, {}),
        (complex, {}),
        (tuple[int, str], {}),
        ("a string that nobody resolved", {}),
        ({"not": "hashable"}, {}),
    ],
    ids=str,
)
def test_an_annotation_becomes_the_schema_that_json_has_for_it(annotation: Any, expected: dict[str, Any]) -> None:
    assert schemas({"it": annotation}) == ({"it": expected}, {})
