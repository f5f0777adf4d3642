"""Which arguments a function accepts before it runs: by its annotations, and by its parameters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal, NewType, Optional, Protocol, TypedDict, TypeVar, Union

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.examples import examples

from rpcsvc.errors import InvalidParams
from rpcsvc.functions.function import Function
from rpcsvc.functions.registration import Registry

BOUNDED = examples(60)

UserId = NewType("UserId", int)
Number = TypeVar("Number", int, str)
Short = TypeVar("Short", bound=str)


class Point(TypedDict):
    x: int
    y: int


class Sized(Protocol):
    def __len__(self) -> int: ...


def _entry(function: Callable[..., Any], **options: Any) -> Function:
    return Registry().add(function, name="f", **options)


def _accepts(function: Function, *args: Any, **kwargs: Any) -> bool:
    try:
        function.check(args, kwargs)
    except InvalidParams:
        return False
    return True


def _refusal(function: Function, *args: Any, **kwargs: Any) -> InvalidParams:
    with pytest.raises(InvalidParams) as caught:
        function.check(args, kwargs)
    return caught.value


# ---- arguments and annotations ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("annotation", "good", "bad"),
    [
        (int, [1, -(2**70), True], [1.0, "1", None]),
        (bool, [True, False], [0, 1, "yes"]),
        (str, ["", "a"], [b"a", 1]),
        (bytes, [b""], ["", bytearray()]),
        (float, [1.5, 1, True], ["1.5", 1j, None]),
        (complex, [1j, 1.5, 1], ["1"]),
        (list, [[], [1, "a"]], [(), "a"]),
        (dict, [{}], [[]]),
        (None, [None], [0, False]),
        (type(None), [None], [0]),
        (Any, [None, 1, "a", [object]], []),
        (object, [None, 1, "a"], []),
        (int | None, [1, None], ["1", 1.0]),
        (Optional[float], [1, 1.5, None], ["1"]),  # noqa: UP045 - people still write it
        (Union[int, str], [1, "a"], [b"a", None]),  # noqa: UP007
        (int | complex | None, [1, 1.5, 1j, None], ["1"]),
        (list[int] | None, [[1], None], [["1"], 1]),
        (Point | None, [{"x": 1, "y": 2}, None], [{"x": 1}]),
        (Union[int, Any], [1, "a", None], []),  # noqa: UP007
        (int | object, [1, "a", None], []),
        (Literal["up", "down"], ["up"], ["UP", 1]),
        (list[int], [[], [1, 2]], [["1"], [1, 2, 3, "4"], (1,), None]),
        (list[float], [[1, 1.5, True]], [[1, "2"]]),
        (list[list[int]], [[[1], []]], [[[1], ["a"]]]),
        (dict[str, int], [{}, {"a": 1}], [{"a": "1"}, {1: 1}, {"a": 1, "b": 2, "c": None}]),
        (dict[str, float], [{"a": 1}], [{"a": "1"}]),
        (dict[int, int], [{10**30: 1}], [{10**30: "1"}]),
        (tuple[int, str], [(1, "a")], [(1,), ("a", 1), [1, "a"]]),
        (tuple[int, ...], [(), (1, 2, 3)], [(1, 2, "3")]),
        (set[int], [{1, 2}], [{1, "2"}, [1]]),
        (Point, [{"x": 1, "y": 2}], [{"x": 1}, {"x": 1, "y": "2"}, {"x": 1, "y": 2, "z": 3}, [1, 2]]),
        (UserId, [7], ["7"]),
        (list[UserId], [[7]], [["7"]]),
        (Annotated[int, "cents"], [7], ["7"]),
        (Number, [7, "7"], [7.5]),
        (Short, ["a"], [7]),
        (Sized, ["abc", [1]], [7]),
    ],
)
def test_an_argument_fits_its_annotation_as_pep_484_reads_it(annotation: Any, good: list[Any], bad: list[Any]) -> None:
    def f(x: Any) -> None: ...

    f.__annotations__["x"] = annotation
    function = _entry(f)

    for value in good:
        assert _accepts(function, value)
        assert _accepts(function, x=value)
    for value in bad:
        assert _refusal(function, value).data == {"argument": "x"}
        assert "argument 'x'" in str(_refusal(function, x=value))


def test_annotations_written_as_strings_are_checked_like_others() -> None:
    """This module postpones the evaluation of annotations, so every annotation in it is a string."""

    def f(n: int, names: list[str]) -> None: ...

    assert f.__annotations__["n"] == "int"
    assert _accepts(_entry(f), 1, ["a"])
    assert not _accepts(_entry(f), 1, ["a", 2])


def test_check_false_binds_and_looks_no_further() -> None:
    def f(n: int) -> None: ...

    function = _entry(f, check=False)

    assert _accepts(function, "not a number")
    assert not _accepts(function)
    assert not _accepts(function, 1, 2)


def test_a_refusal_names_function_argument_and_both_types() -> None:
    def price(item: str, count: int) -> None: ...

    function = Registry().add(price)

    assert str(_refusal(function, "a", "b")) == "price: argument 'count' must be int, not str"
    assert str(_refusal(function, "a", count="b")) == "price: argument 'count' must be int, not str"


def test_a_refusal_names_the_item_that_does_not_fit() -> None:
    def f(values: list[int]) -> None: ...

    assert "item 3 of list" in str(_refusal(_entry(f), [1, 2, 3, "4"]))


@pytest.mark.parametrize("annotation", [dict[int, int], dict[str, int], list[int], int | None])
def test_a_huge_integer_may_stand_in_what_is_refused(annotation: Any) -> None:
    """The interpreter cannot print an integer of so many digits, so no sentence can show it."""

    def f(x: Any) -> None: ...

    f.__annotations__["x"] = annotation

    assert _refusal(_entry(f), {10**5000: "1"}).data == {"argument": "x"}


# ---- arguments and parameters -----------------------------------------------------------------------------------


def _of_every_kind(
    first: int, /, second: int, third: int = 3, *rest: int, key: int, other: int = 0, **more: int
) -> None:
    """One parameter of each kind that Python has."""


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [
        ((1, 2), {"key": 4}),
        ((1,), {"second": 2, "key": 4}),
        ((1, 2, 3, 4, 5), {"key": 4, "other": 5, "first": 6, "further": 7}),
    ],
)
def test_arguments_are_bound_as_python_binds_them(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    assert _accepts(_entry(_of_every_kind), *args, **kwargs)


@pytest.mark.parametrize(
    ("args", "kwargs", "sentence"),
    [
        ((), {}, "missing a required argument: 'first'"),
        ((1,), {"key": 4}, "missing a required argument: 'second'"),
        ((1, 2), {}, "missing a required argument: 'key'"),
        ((1, 2, 3), {}, "missing a required argument: 'key'"),
        ((1, 2), {"second": 2, "key": 4}, "multiple values for argument 'second'"),
        ((), {"first": 1, "second": 2, "key": 4}, "argument 'first' is given by its place, not by name"),
        ((1, 2, 3, "4"), {"key": 4}, "argument 'rest' must be int, not str"),
        ((1, 2), {"key": "4"}, "argument 'key' must be int, not str"),
        ((1, 2), {"key": 4, "further": "7"}, "argument 'more' must be int, not str"),
        ((1, 2, "3"), {"key": 4}, "argument 'third' must be int, not str"),
    ],
)
def test_a_call_that_does_not_bind_is_told_which_argument(
    args: tuple[Any, ...], kwargs: dict[str, Any], sentence: str
) -> None:
    assert sentence in str(_refusal(_entry(_of_every_kind), *args, **kwargs))


def test_a_call_that_does_not_bind_is_shown_the_declaration() -> None:
    def price(item: str, *, count: int = 1) -> float:
        return 0.0

    function = Registry().add(price)

    for args, kwargs in [((), {}), (("a", 2), {}), (("a",), {"counts": 2})]:
        assert "it is declared price(item: str, *, count: int = 1) -> float" in str(_refusal(function, *args, **kwargs))


def test_a_default_is_the_functions_own_and_not_checked() -> None:
    def f(n: int = None) -> None: ...  # type: ignore[assignment] # noqa: RUF013

    assert _accepts(_entry(f))
    assert not _accepts(_entry(f), None)


def test_parameters_may_have_any_name() -> None:
    def f(self: int, args: int, kwargs: int, name: int) -> None: ...

    assert _accepts(_entry(f), self=1, args=2, kwargs=3, name=4)


@BOUNDED
@given(
    st.lists(st.integers(), max_size=5),
    st.dictionaries(st.sampled_from(["first", "second", "third", "key", "other", "further"]), st.integers()),
)
def test_a_call_binds_exactly_where_python_would_take_it(args: list[int], kwargs: dict[str, int]) -> None:
    def plain(first: int, second: int = 2) -> None: ...

    for function in (_of_every_kind, plain):
        try:
            function(*args, **kwargs)
            taken = True
        except TypeError:
            taken = False
        assert _accepts(_entry(function), *args, **kwargs) == taken
