"""Constraints, the sentences for what does not fit, and the schemas of what travels and of what does not yet."""

from __future__ import annotations

import collections.abc
import dataclasses
import datetime
import enum
import sys
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal, LiteralString, NotRequired, TypedDict

import annotated_types
import msgspec
import numpy
import pydantic
import pytest
import typing_extensions
from annotated_types import Gt, Interval, Len, MinLen, Predicate

from rpcsvc.errors import InvalidParams, RegistrationError
from rpcsvc.functions.adapters import misfit_of, validator
from rpcsvc.functions.checks import compile_check
from rpcsvc.functions.description import describe, schemas
from rpcsvc.functions.registration import Registry
from rpcsvc.workers.inside.exceptions import StopCall


class Colour(enum.Enum):
    RED = "red"


@dataclasses.dataclass
class Point:
    x: Annotated[int, Gt(0)]


class Model(pydantic.BaseModel):
    at: Point
    next: Model | None = None


class Tree(TypedDict):
    value: int
    children: NotRequired[list[Tree]]


class Elsewhere(TypedDict):
    x: Unknown  # type: ignore[name-defined] # noqa: F821 as for a type checker only


class Late(pydantic.BaseModel):
    x: Unknown  # type: ignore[name-defined] # noqa: F821


Whole = typing_extensions.TypeAliasType("Whole", int | list[int])


class Fields(typing_extensions.TypedDict, total=False):
    a: typing_extensions.Required[int]
    b: typing_extensions.ReadOnly[str]


def wrong(annotation: Any, value: Any) -> str | None:
    return misfit_of(validator(annotation), value)


def schema(annotation: Any) -> dict[str, Any]:
    made, _ = schemas({"it": annotation})
    return made["it"]


# ---- constraints ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("annotation", "good", "bad", "described"),
    [
        (Annotated[int, Gt(0)], [1, True], [0, False, "1", 1.0], {"type": "integer", "exclusiveMinimum": 0}),
        (Annotated[int, msgspec.Meta(ge=0, title="n")], [0], [-1], {"type": "integer", "minimum": 0, "title": "n"}),
        (Annotated[int, pydantic.Field(multiple_of=3)], [9], [10], {"type": "integer", "multipleOf": 3}),
        (pydantic.PositiveInt, [1], [0], {"type": "integer", "exclusiveMinimum": 0}),
        (
            Annotated[float, Interval(gt=0, le=1)],
            [1, 0.5, True],
            [0, 1.5, float("nan"), "1"],
            {"type": "number", "exclusiveMinimum": 0, "maximum": 1},
        ),
        (Annotated[str, MinLen(2)], ["ab"], ["a", ["a", "b"]], {"type": "string", "minLength": 2}),
        (Annotated[str, pydantic.Field(pattern="^a")], ["ab"], ["b"], {"type": "string", "pattern": "^a"}),
        (Annotated[bytes, MinLen(2)], [b"ab"], [b"a", "ab"], {}),
        (
            Annotated[list[Annotated[int, Gt(0)]], Len(1, 2)],
            [[1], [1, 2]],
            [[], [0], [1, 2, 3], (1,)],
            {
                "type": "array",
                "items": {"type": "integer", "exclusiveMinimum": 0},
                "minItems": 1,
                "maxItems": 2,
            },
        ),
        (Annotated[tuple[int, ...], Len(1)], [(1,)], [(), [1]], {}),
        (Annotated[Sequence[int], Len(1)], [(1,), [1]], [(), "", {1}], {"minItems": 1}),
        (Annotated[int | str, Predicate(bool)], [1, "a"], [0, "", None], {}),
        (Annotated[Any, Predicate(bool)], [1, [1]], [0, []], {}),
        (Annotated[Literal[1, 2], Gt(1)], [2], [1, 3], {"enum": [1, 2]}),
        (Annotated[list[Any], Predicate(any)], [[0, 1]], [[0]], {"type": "array"}),
        (Annotated[int, Gt(0), "cents", pydantic.BeforeValidator(int)], [1], ["1", 0], {"exclusiveMinimum": 0}),
        (Annotated[Annotated[int, Gt(0)] | None, "x"], [1, None], [0], {}),
        (Annotated[Tree, Predicate(lambda tree: tree["value"] > 0)], [{"value": 1}], [{"value": 0}, {}], {}),
        (annotated_types.LowerCase[str], ["a"], ["A", 1], {"type": "string"}),
    ],
)
def test_constraints_are_checked_and_described(
    annotation: Any, good: list[Any], bad: list[Any], described: dict[str, Any]
) -> None:
    for value in good:
        assert wrong(annotation, value) is None
    for value in bad:
        assert wrong(annotation, value) is not None
    assert described.items() <= schema(annotation).items()


def test_metadata_that_constrains_nothing_costs_no_library() -> None:
    check = compile_check(Annotated[int, "cents", pydantic.BeforeValidator(int)])
    assert check is not None
    assert check.exact == {int}
    assert compile_check(Annotated[Any, "cents"]) is None


def test_a_constraint_that_a_value_cannot_be_asked_for_is_not_fulfilled() -> None:
    assert "Unable to apply constraint" in str(wrong(Annotated[int | None, Gt(0)], None))


def test_whatever_else_a_predicate_raises_comes_out() -> None:
    with pytest.raises(TypeError, match="no len"):
        wrong(Annotated[int, Predicate(lambda n: len(n) > 0)], 1)


def test_a_constraint_without_sense_is_found_before_the_first_call() -> None:
    registry = Registry()

    @registry.function
    def f(x: Annotated[str, pydantic.Field(pattern="(")], y: list[int]) -> None: ...

    with pytest.raises(RegistrationError, match=r"f: 'x' cannot be checked as annotated: .*validator"):
        registry.prepare()


def test_prepared_checks_are_those_that_are_made() -> None:
    registry = Registry()

    @registry.function
    def f(x: list[int], y: int) -> None: ...

    registry.prepare()
    with pytest.raises(InvalidParams, match="item 0 of list"):
        next(iter(registry)).check([["a"], 1], {})


# ---- what an annotation means -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("annotation", "good", "bad"),
    [
        (Sequence[str], ["abc", ["a"], ("a",)], [["a", 1], {"a"}, 1]),
        (collections.abc.Set[int], [{1}, frozenset({1})], [[1], {"a"}]),
        (Mapping[str, int], [{"a": 1}], [{"a": "b"}, {1: 1}, [1]]),
        (typing.List, [[], ["a"]], [()]),  # noqa: UP006
        (typing.Tuple, [(), (1, "a")], [[]]),  # noqa: UP006
        (tuple[()], [()], [(1,)]),
        (Literal[1, "up"], [1, "up"], [True, 1.0, "down", []]),
        (list[LiteralString], [["a"]], [[1]]),
        (list["Unknown"], [["a"], [1]], ["a"]),  # type: ignore[name-defined] # noqa: F821
        (list[Callable[[int], int]], [[]], [[1]]),
        (list[datetime.date], [[datetime.date(2024, 1, 1), datetime.datetime(2024, 1, 1)]], [["2024-01-01"]]),
        (list[numpy.ndarray], [[numpy.zeros(1)]], [[[0.0]]]),
        (list[typing.SupportsFloat], [[1]], [["1"]]),
        (Tree, [{"value": 1, "children": [{"value": 1, "children": []}]}], [{"value": 1, "children": [{}]}, {"x": 1}]),
        (list[Whole], [[1, [1]]], [["a"], [["a"]]]),
        (Fields, [{"a": 1}, {"a": 1, "b": "b"}], [{}, {"a": 1, "b": 1}]),
        (Elsewhere, [{"x": 1}], [{}]),
        (list[Colour], [[Colour.RED]], [["red"]]),
        (list[Point], [[Point(1)]], [[{"x": 1}]]),
        (list[Model], [[Model(at=Point(1))]], [[{"at": {"x": 1}}]]),
        (list[Late], [[]], [[1]]),
    ],
)
def test_nothing_is_converted_and_everything_is_looked_at(annotation: Any, good: list[Any], bad: list[Any]) -> None:
    for value in good:
        assert wrong(annotation, value) is None
    for value in bad:
        assert wrong(annotation, value) is not None


@pytest.mark.skipif(sys.version_info < (3, 12), reason="a syntax of Python 3.12")
def test_a_type_may_be_a_part_of_itself() -> None:
    names: dict[str, Any] = {}
    exec("type Json = int | list[Json]", names)

    for value, passes in [(1, True), ([[1], 2], True), ("a", False), ([["a"]], False)]:
        assert (wrong(names["Json"], value) is None) == passes
    assert schema(names["Json"]) == {"anyOf": [{"type": "integer"}, {"type": "array", "items": {}}]}


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (list[int], ["a"] * 9),
        (tuple[int, ...], ("a",) * 9),
        (set[int], set("abcdefghi")),
        (dict[str, int], dict.fromkeys("abcdefghi", "a")),
        (dict[int, int], dict.fromkeys("abcdefghi", 1)),
        (Sequence[int], ["a"] * 9),
        (Mapping[str, int], dict.fromkeys("abcdefghi", "a")),
    ],
)
def test_a_check_ends_with_the_first_item_that_does_not_fit(annotation: Any, value: Any) -> None:
    with pytest.raises(pydantic.ValidationError) as caught:
        validator(annotation).validate_python(value)
    assert caught.value.error_count() == 1


class Leaves(type):
    def __instancecheck__(cls, value: object) -> bool:
        raise StopCall("cancelled") if value == 1 else SystemExit(2)


class Left(metaclass=Leaves):
    pass


@pytest.mark.parametrize(("value", "error"), [(1, StopCall), (2, SystemExit)])
def test_what_ends_a_call_comes_out_of_a_check(value: int, error: type[BaseException]) -> None:
    with pytest.raises(error):
        wrong(list[Left], [value])


@pytest.mark.parametrize(
    ("annotation", "value", "sentence"),
    [
        (list[int], "a", "must be list, not str"),
        (list[int], [1, "2", "3"], "does not fit its annotation: item 1 of list must be int, not str"),
        (dict[str, int], {1: 1}, "does not fit its annotation: key 1 of dict must be str, not int"),
        (dict[str, list[int]], {"a": [None]}, "item 0 of value of key 'a' of dict must be int, not NoneType"),
        (set[int], {"a"}, "an item of set must be int, not str"),
        (tuple[int, str], (1,), "item 1 of tuple must be there"),
        (Tree, {"children": []}, "key 'value' of dict must be there"),
        (Tree, {"value": 1, "x": 1}, "key 'x' of dict must not be there"),
        (list[int] | str | None, 1.5, "must be list, not float; or must be str, not float; or must be None, not float"),
        (Tree, {"value": 1} | dict.fromkeys(map(str, range(200)), 1), "must have at most 102 items"),
        (list[int | None], [1, "a"], "item 1 of list must be int, not str; or item 1 of list must be None, not str"),
        (list[Literal["up", "down"]], ["left"], "item 0 of list must be 'up' or 'down'"),
        (Annotated[int, Gt(0)], 0, "must be greater than 0"),
        (Annotated[str, MinLen(2)], "a", "must have at least 2 characters"),
        (Annotated[int, Predicate(bool)], 0, "does not fit its annotation: Predicate 'bool' failed"),
        (dict[int, int], {10**5000: "1"}, "must be int, not str"),
    ],
)
def test_what_does_not_fit_is_named_with_its_place(annotation: Any, value: Any, sentence: str) -> None:
    assert sentence in str(wrong(annotation, value))


# ---- schemas ----------------------------------------------------------------------------------------------------


def test_classes_that_do_not_travel_yet_are_described_by_what_they_hold() -> None:
    registry = Registry()

    def paint(colour: Colour, where: Model, *more: Point) -> None: ...

    registry.add(paint, check=False)
    # Annotations of a function that is not checked are not resolved.
    paint.__annotations__ = typing.get_type_hints(paint)
    registry.add(paint, name="resolved", check=False)
    document = describe(registry, "1")

    assert [each["schema"] for each in document["methods"][0]["params"]] == [{}, {}, {}]
    assert [each["schema"] for each in document["methods"][1]["params"]] == [
        {"$ref": "#/components/schemas/Colour"},
        {"$ref": "#/components/schemas/Model"},
        {"$ref": "#/components/schemas/Point"},
    ]
    shared = document["components"]["schemas"]
    assert shared.keys() == {"Colour", "Model", "Point"}
    assert shared["Colour"] == {"type": "string", "title": "Colour", "enum": ["red"]}
    assert shared["Point"]["properties"]["x"] == {"title": "X", "type": "integer", "exclusiveMinimum": 0}


@pytest.mark.parametrize(
    ("annotation", "described"),
    [
        (
            Tree,
            {
                "type": "object",
                "properties": {
                    "value": {"type": "integer"},
                    "children": {"type": "array", "items": {}},
                },
                "required": ["value"],
                "additionalProperties": False,
            },
        ),
        (list[set[int]], {"type": "array", "items": {}}),
        (Mapping[str, int], {"type": "object", "additionalProperties": {"type": "integer"}}),
        (Literal["up", 1], {"enum": ["up", 1]}),
        (numpy.ndarray, {}),
        (Callable[[int], int], {}),
        (Late, {}),
        (Annotated[str, Len("one")], {}),
    ],
)
def test_a_schema_says_what_passes_and_nothing_of_what_json_has_no_word_for(
    annotation: Any, described: dict[str, Any]
) -> None:
    found = schema(annotation)
    for property_ in found.get("properties", {}).values():
        property_.pop("title", None)
    assert found == described
