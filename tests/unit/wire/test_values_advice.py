"""What a refusal tells to pass instead can be passed, and holds what the value held."""

from __future__ import annotations

import array
import collections
import dataclasses
import enum
import io
import os  # noqa: F401 - an advice names it
import pathlib
from datetime import date, datetime, timedelta
from typing import Any

import attrs
import msgspec
import numpy
import pandas
import pydantic
import pytest

from rpcsvc.errors import EncodingError
from rpcsvc.wire.values import decode, encode


class Colour(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    LOW = 1


@dataclasses.dataclass
class Point:
    x: int = 1


class Model(pydantic.BaseModel):
    x: int = 1


class Struct(msgspec.Struct):
    x: int = 1


@attrs.define
class Attrs:
    x: int = 1


Pair = collections.namedtuple("Pair", "a b")

FRAME = pandas.DataFrame({"a": [1, 2], "b": ["x", "y"]})
MOMENT = datetime(2026, 1, 2, 3, 4, 5, 678901)
MASKED = numpy.ma.array([1, 2], mask=[False, True])
RECORDS = numpy.array([(1, 2.5)], "i4,f4")


class Shaped:
    """An array of another library."""

    shape = (2,)

    def __array__(self, *_: object, **__: object) -> Any:
        return numpy.array([1, 2])


@pytest.mark.parametrize(
    ("value", "advised", "held"),
    [
        (Colour.RED, "value.value", "red"),
        (Level.LOW, "value.value", 1),
        (Point(), "dataclasses.asdict(value)", {"x": 1}),
        (Model(), "value.model_dump()", {"x": 1}),
        (Struct(), "msgspec.structs.asdict(value)", {"x": 1}),
        (Attrs(), "attrs.asdict(value)", {"x": 1}),
        (Pair(1, 2), "tuple(value)", (1, 2)),
        (collections.deque([1, 2]), "list(value)", [1, 2]),
        (array.array("i", [1, 2]), "list(value)", [1, 2]),
        (pathlib.PurePosixPath("/a"), "os.fspath(value)", "/a"),
        (io.BytesIO(b"a"), "value.read()", b"a"),
        (FRAME, "value.to_dict('list')", {"a": [1, 2], "b": ["x", "y"]}),
        (FRAME["a"], "value.tolist()", [1, 2]),
        (FRAME.index, "value.tolist()", [0, 1]),
        (FRAME["a"].astype("Int64").array, "value.tolist()", [1, 2]),
        (pandas.Timestamp(MOMENT), "value.to_pydatetime()", MOMENT),
        (pandas.Timedelta(seconds=1), "value.to_pytimedelta()", timedelta(seconds=1)),
        (pandas.NaT, "None", None),
        (pandas.NA, "None", None),
        (numpy.float64(1.5), "value.item()", 1.5),
        (numpy.bool_(True), "value.item()", True),
        (numpy.str_("a"), "value.item()", "a"),
        (numpy.longdouble(1.5), "float(value)", 1.5),
        (numpy.clongdouble(1.5), "complex(value)", 1.5 + 0j),
        (numpy.datetime64(MOMENT, "ns"), "value.astype('datetime64[us]').item()", MOMENT),
        (numpy.datetime64("2026-01-02"), "value.astype('datetime64[us]').item()", datetime(2026, 1, 2)),
        (numpy.datetime64(MOMENT, "ns"), "value.astype('int64').item()", 1767323045678901000),
        (numpy.timedelta64(5000, "ns"), "value.astype('timedelta64[us]').item()", timedelta(microseconds=5)),
        (RECORDS[0], "{name: value[name].item() for name in value.dtype.names}", {"f0": 1, "f1": 2.5}),
        (numpy.zeros(2, "V2")[0], "value.tobytes()", b"\0\0"),
        (numpy.array([MOMENT], "M8[ns]"), "value.astype('datetime64[us]').tolist()", [MOMENT]),
        (numpy.array([1], "m8[ns]"), "value.astype('int64').tolist()", [1]),
        (numpy.array(["a"]), "value.tolist()", ["a"]),
        (numpy.array([b"a"]), "value.tolist()", [b"a"]),
        (numpy.array([1, None, "a"], object), "value.tolist()", [1, None, "a"]),
        (numpy.zeros(2, "V2"), "value.tobytes()", b"\0\0\0\0"),
        (numpy.array([1.5], "longdouble"), "value.astype('float64').tolist()", [1.5]),
        (numpy.array([1.5], "clongdouble"), "value.astype('complex128').tolist()", [1.5 + 0j]),
        (MASKED, "value.mask.tolist()", [False, True]),
        (MASKED, "value.filled(-1).tolist()", [1, -1]),
        (Shaped(), "numpy.asarray(value).tolist()", [1, 2]),
        (Point, "its name", None),
        (len, "its name", None),
    ],
    ids=lambda value: str(value).partition(" at 0x")[0].replace("\n", " ")[:40],  # an address is each process's own
)
def test_what_is_advised_travels_and_is_what_the_value_holds(value: Any, advised: str, held: Any) -> None:
    with pytest.raises(EncodingError, match="does not travel") as refused:
        encode(value)
    told = advised.replace("value.value", "its .value").replace("filled(-1)", "filled(FILL)")
    told = told.removesuffix(".tolist()").removesuffix(".item()")
    assert told in str(refused.value)

    if advised != "its name":
        instead = eval(advised, {**globals(), "value": value})
        assert decode(encode(instead)) == held


@pytest.mark.parametrize(
    ("value", "advised"),
    [
        (RECORDS, "{name: value[name] for name in value.dtype.names}"),
        (RECORDS.view(numpy.recarray), "{name: numpy.asarray(value[name]) for name in value.dtype.names}"),
    ],
    ids=["structured", "record"],
)
def test_an_array_of_records_travels_by_its_fields(value: Any, advised: str) -> None:
    with pytest.raises(EncodingError) as refused:
        encode(value)
    assert f"pass {advised}" in str(refused.value)

    assert list(decode(encode(eval(advised, {**globals(), "value": value})))) == ["f0", "f1"]


def test_an_array_of_a_kind_of_its_own_travels_as_a_plain_one(tmp_path: pathlib.Path) -> None:
    value = numpy.memmap(tmp_path / "f", dtype="i4", mode="w+", shape=(2,))
    with pytest.raises(EncodingError, match=r"pass numpy.asarray\(value\)"):
        encode(value)

    found = decode(encode(numpy.asarray(value)))
    assert type(found) is numpy.ndarray
    assert (found == value).all()


def test_a_bare_number_of_nanoseconds_is_never_advised() -> None:
    """`datetime64[ns].item()` is an int, which would arrive without a word."""
    assert not isinstance(numpy.datetime64(MOMENT, "ns").item(), (datetime, date))
    with pytest.raises(EncodingError) as refused:
        encode(numpy.datetime64(MOMENT, "ns"))

    assert "pass value.item()" not in str(refused.value)
