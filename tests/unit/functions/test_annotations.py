"""Annotations that nothing can fit are found when a function is registered; all others let something pass."""

from __future__ import annotations

import collections
import dataclasses
import enum
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date
from decimal import Decimal
from numbers import Number
from pathlib import Path
from typing import Annotated, Any, Literal, NewType, NoReturn, TypedDict, TypeVar

import numpy
import numpy.typing
import pydantic
import pytest

from rpcsvc import Registry
from rpcsvc.errors import InvalidParams, RegistrationError
from rpcsvc.functions.annotations import misfit


class Colour(enum.Enum):
    RED = 1


@dataclasses.dataclass
class Point:
    x: int


class Model(pydantic.BaseModel):
    x: int


class Text(str):
    pass


class Options(TypedDict):
    n: int


class Addable(typing.Protocol):
    def __add__(self, other: Any) -> Any: ...


class Judge(type):
    def __instancecheck__(cls, instance: object) -> bool:
        return instance == 7


class Seven(metaclass=Judge):
    pass


Pair = collections.namedtuple("Pair", "a b")
UserId = NewType("UserId", int)
ColourId = NewType("ColourId", Colour)
AnyOne = TypeVar("AnyOne")
Textual = TypeVar("Textual", str, bytes)
Coloured = TypeVar("Coloured", bound=Colour)


@pytest.mark.parametrize(
    "annotation",
    [
        *(int, float, str, bytes, None, type(None), Any, object, date, Decimal, list, dict, tuple, set),
        *(list[int], dict[str, list[float]], tuple[int, ...], tuple[int, str], tuple[()], set[int]),
        *(int | None, Colour | None, Colour | int, Literal["up", "down"], Literal[Colour.RED, "red"]),
        *(Annotated[int, "cents"], UserId, AnyOne, Textual, list[AnyOne], Options, list[Options], Addable, Seven),
        *(Number, Sequence[int], Iterable[str], Mapping[str, int], collections.abc.Sized, NoReturn, typing.Never),
        *(numpy.ndarray, numpy.typing.NDArray[numpy.float64], numpy.ndarray | None),
    ],
    ids=str,
)
def test_something_fits(annotation: Any) -> None:
    assert misfit(annotation) is None


@pytest.mark.parametrize(
    ("annotation", "named"),
    [
        (Colour, "Colour"),
        (Point, "Point"),
        (Model, "Model"),
        (Text, "Text"),
        (Pair, "Pair"),
        (Path, "Path"),
        (memoryview, "memoryview"),
        (numpy.float64, "float64"),
        (list[Colour], "Colour"),
        (dict[str, Point], "Point"),
        (tuple[int, Point], "Point"),
        (tuple[Point, ...], "Point"),
        (list[list[Model]], "Model"),
        (Colour | Point, "Colour | "),
        (Annotated[Colour, "dark"], "Colour"),
        (Literal[Colour.RED], "Colour.RED"),
        (ColourId, "Colour"),
        (Coloured, "Colour"),
        (type[int], "type"),
        (type, "type"),
        (Callable[[int], int], "Callable"),
        (Iterator[int], "Iterator"),
        (collections.deque[int], "deque"),
    ],
    ids=str,
)
def test_nothing_fits_and_what_it_is_is_named(annotation: Any, named: str) -> None:
    assert named in str(misfit(annotation))


def test_without_numpy_loaded_its_arrays_are_not_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(__import__("sys").modules, "numpy")
    assert misfit(Point) is not None
    assert misfit(list[int]) is None


# ---- at registration --------------------------------------------------------------------------------------------


def test_a_function_whose_parameter_nothing_fits_is_refused_with_the_ways_out() -> None:
    def paint(colour: Colour) -> None: ...

    with pytest.raises(
        RegistrationError, match=r"paint: nothing fits 'colour', since no .*Colour travels; annotate .*check"
    ):
        Registry().add(paint)
    Registry().add(paint, check=False)


def test_so_is_one_that_takes_any_number_of_them() -> None:
    def paint(*colours: Colour, **more: int) -> None: ...

    with pytest.raises(RegistrationError, match="nothing fits 'colours'"):
        Registry().add(paint)


def test_so_is_one_whose_result_could_never_arrive() -> None:
    def pick() -> Colour:
        return Colour.RED

    with pytest.raises(RegistrationError, match=r"pick: its result would be a .*Colour, and none travels"):
        Registry().add(pick)


def test_a_parameter_that_may_be_left_out_is_left_out_and_its_refusal_says_so() -> None:
    def paint(n: int, colour: Colour = Colour.RED) -> str:
        return f"{n} {colour.name}"

    function = Registry().add(paint)
    function.check([1], {})

    with pytest.raises(
        InvalidParams, match=r"argument 'colour' must be Colour, not str; no .*Colour travels, so leave"
    ):
        function.check([1, "RED"], {})
