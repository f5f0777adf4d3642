"""rpcsvc.wire.values: what goes in comes out with its type, or an error says where and why it cannot."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import enum
import math
import struct
import sys
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from decimal import Context, Decimal, InvalidOperation, localcontext
from fractions import Fraction
from io import BytesIO
from types import MappingProxyType
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import numpy
import orjson
import pytest
from exactly import exact
from hypothesis import HealthCheck, example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from support.examples import examples

from rpcsvc.errors import DecodingError, EncodingError
from rpcsvc.wire.values import MAX_NESTING, decode, encode, encode_plain, to_jsonable

BOUNDED = examples(100, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
BERLIN = ZoneInfo("Europe/Berlin")


def assert_comes_back(value: Any) -> None:
    assert exact(decode(encode(value))) == exact(value)


def nested(levels: int, wrap: Callable[[Any], Any] = lambda inner: [inner], innermost: Any = None) -> Any:
    for _ in range(levels):
        innermost = wrap(innermost)
    return innermost


zones = st.one_of(
    st.none(),
    st.just(UTC),
    st.builds(timezone, st.timedeltas(timedelta(hours=-23), timedelta(hours=23))),
    st.builds(timezone, st.timedeltas(timedelta(hours=-23), timedelta(hours=23)), st.text("CET+01", max_size=5)),
    st.sampled_from([BERLIN, ZoneInfo("America/St_Johns"), ZoneInfo("UTC")]),
)
moments = st.datetimes().flatmap(lambda at: st.builds(at.replace, tzinfo=zones, fold=st.sampled_from([0, 1])))
numbers = st.one_of(st.integers(), st.integers(-(2**70), 2**70), st.floats(), st.complex_numbers(), st.decimals())
texts = st.text(max_size=8) | st.sampled_from(["$", "$int", "$dict", "a$", "\\u0024", '"$', "1" * 25])
hashable_scalars = st.one_of(
    st.none(), st.booleans(), numbers.filter(lambda n: not (type(n) is Decimal and n.is_snan())), texts,
    st.binary(max_size=8), st.uuids(), moments, st.dates(), st.timedeltas(),
    st.builds(lambda at: at.timetz(), moments),
)  # fmt: skip
hashables: st.SearchStrategy[Any] = st.deferred(
    lambda: hashable_scalars | st.frozensets(hashables, max_size=2) | st.tuples(hashables) | st.tuples(hashables, texts)
)
number_arrays = arrays.arrays(
    st.sampled_from(["|b1", "|i1", "<i2", ">i4", "<u8", "<f2", ">f4", "<f8", "<c8", ">c16"]),
    arrays.array_shapes(min_dims=0, min_side=0),
)
scalars: st.SearchStrategy[Any] = (
    hashable_scalars | st.decimals(allow_nan=True) | st.binary(max_size=8).map(bytearray) | number_arrays
)
values = st.recursive(
    scalars | hashables,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(texts, inner, max_size=3),
        st.dictionaries(hashables, inner, max_size=3),
        st.sets(hashables, max_size=3),
    ),
    max_leaves=12,
)


def hex_ends(n: int) -> str:
    """A name for a test: pytest's own would be `str(n)`, which has a limit."""
    return hex(n)[:20] + (f"({n.bit_length()})" if n.bit_length() > 72 else "")


# ---- what comes back --------------------------------------------------------------------------------------------


@given(values)
@BOUNDED
@example({float("nan"): 1, float("nan"): 2, 1: True, "1": 1.0})
@example([1, 1.0, True, -0.0, 0, [float("nan")], (float("inf"), -math.inf)])
@example([1e308, 1e308, 1e308])
@example([2.5, float("inf"), None])
def test_any_value_comes_back_with_its_type(value: Any) -> None:
    assert_comes_back(value)
    assert orjson.dumps(to_jsonable(value)) == encode(value)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(
    "n", [2**53 + 1, 2**63 - 1, 2**63, 2**63 + 1, 2**64 - 1, 2**64, 10**19, 10**99_999 + 1], ids=hex_ends
)
def test_an_integer_comes_back_to_the_last_digit(n: int, sign: int) -> None:
    for value in (sign * n, [sign * n], {"n": sign * n}, (sign * n, "x"), {sign * n}, [0.5, sign * n, None]):
        assert_comes_back(value)


DECIMALS = ["NaN", "-NaN12", "sNaN", "-sNaN3", "-Infinity", "-0E+5", "1.50", "1E-1999999999999999997"]
CORNERS: list[Any] = [
    *map(Decimal, DECIMALS),
    *(
        datetime.min,
        datetime.max,
        datetime.max.replace(tzinfo=BERLIN),
        date.min,
        time.max,
        timedelta.min,
        timedelta.max,
    ),
    *(datetime(2026, 10, 25, 2, 30, tzinfo=BERLIN, fold=1), time(1, 2, tzinfo=BERLIN), time(1, tzinfo=timezone.max)),
    *(
        at.replace(tzinfo=timezone(timedelta(microseconds=us)))
        for at in (time(1), datetime.min)
        for us in (1, -1, 10**7 + 5)
    ),
    time(1, tzinfo=timezone(timedelta(microseconds=-1), "odd")),
    *(UUID(int=0), b"", bytearray(b"\0"), complex(-0.0, math.nan), complex(math.inf, -0.0), "\0\x7f\U0010ffff"),
    *(set(), frozenset(), (), {}, {"": {}}, {(): {1: {}}}, [2.5, math.inf, None]),
    *(numpy.array(5.0), numpy.empty((0, 3), ">i2"), numpy.eye(3, dtype="c16")),
]


@pytest.mark.parametrize("value", CORNERS, ids=repr)
def test_the_corners_of_each_type_come_back(value: Any) -> None:
    assert_comes_back(value)
    assert_comes_back([value, {"a": (value,)}])


def test_a_decimal_does_not_depend_on_the_context_of_either_side() -> None:
    with localcontext(Context(prec=2, capitals=0, traps=[InvalidOperation])):
        assert exact(decode(encode(Decimal("1.23456e+99")))) == exact(Decimal("1.23456e+99"))
    with localcontext(Context(traps=[])), pytest.raises(DecodingError, match="decimal number"):
        decode(b'{"$decimal":"not a number"}')


def test_the_order_of_a_dict_is_kept() -> None:
    for value in ({"b": 1, "a": 2, "c": 3}, {3: 1, "a": 2, 1: 3}):
        assert list(decode(encode(value))) == list(value)


@pytest.mark.parametrize("value", [{"$int": "0x1"}, {"$": 1}, {"$dict": []}, {"a": 1, "$b": 2}, {"$a": {"$b": ()}}])
def test_a_dict_that_looks_like_a_form_comes_back_as_a_dict(value: Any) -> None:
    assert_comes_back(value)


@pytest.mark.parametrize(
    "array", [numpy.arange(24).reshape(2, 3, 4).T, numpy.asfortranarray(numpy.eye(3)), numpy.arange(9)[::-2]]
)
def test_an_array_comes_back_writable_whatever_its_layout_was(array: Any) -> None:
    back = decode(encode(array))
    assert (back == array).all()
    assert back.flags.writeable
    assert back.flags.owndata


def test_encoding_changes_nothing_in_the_value() -> None:
    value = [1, (2, {"$a": {3}}), {"b": [2**70]}]
    before = exact(value)
    encode(value)
    to_jsonable(value)
    encode_plain(value)
    assert exact(value) == before


# ---- nesting ----------------------------------------------------------------------------------------------------

WRAPS: list[Callable[[Any], Any]] = [
    lambda inner: [inner],
    lambda inner: (inner,),
    lambda inner: {"a": inner},
    lambda inner: {1: inner},
    lambda inner: {"$a": inner, "b": 2**70},
]


@pytest.mark.parametrize("wrap", WRAPS)
def test_a_hundred_levels_travel_and_one_more_is_refused_on_both_sides(wrap: Callable[[Any], Any]) -> None:
    deepest = nested(MAX_NESTING, wrap, "é")
    assert_comes_back(deepest)
    assert decode(b"[%s]" % encode(deepest), max_nesting=MAX_NESTING + 1) == [deepest]
    assert decode(orjson.dumps({"result": to_jsonable(deepest)}), max_nesting=MAX_NESTING + 1) == {"result": deepest}
    with pytest.raises(EncodingError, match="100 levels"):
        encode(wrap(deepest))
    with pytest.raises(DecodingError, match="too deeply"):
        decode(b"[%s]" % encode(deepest))


@pytest.mark.parametrize(
    "form", [b'{"$tuple":%s}', b'{"$frozenset":%s}', b'{"$dict":%s}', b'{"a":%s,"b":"$"}', b"[%s]"]
)
def test_an_empty_container_one_level_too_deep_is_refused(form: bytes) -> None:
    assert decode(b"[" * 99 + form % b"[]" + b"]" * 99, max_nesting=101)
    with pytest.raises(DecodingError, match="too deeply"):
        decode(b"[" * 99 + form % b"[]" + b', {"$int":"0x1"}' + b"]" * 99, max_nesting=99)


def test_many_containers_side_by_side_are_not_deep() -> None:
    assert decode(b"[" + b"[1]," * 500 + b"{}]") == [[1]] * 500 + [{}]


def test_a_value_that_contains_itself_is_refused() -> None:
    chain: list[Any] = []
    chain.append(chain)
    ring: dict[int, Any] = {}
    ring[1] = ring
    for loop in (chain, ring):
        with pytest.raises(
            EncodingError, match=r"^at (\[0\]){8}…: .*contains itself|^at (\[1\]){8}…: .*contains itself"
        ):
            encode(loop)


def test_a_stack_that_is_nearly_full_gives_our_errors() -> None:
    deepest = nested(MAX_NESTING, lambda inner: (inner,))
    body = encode(deepest)
    outcomes: set[object] = set()

    def descend(call: Callable[[], Any]) -> None:
        with contextlib.suppress(RecursionError):
            descend(call)
        try:
            outcomes.add(type(call()))
        except (EncodingError, DecodingError) as error:
            outcomes.add((type(error), "stack" in str(error)))

    for call in (lambda: encode(deepest), lambda: decode(body)):
        try:
            descend(call)
        except RecursionError:
            outcomes.add("no room for the call itself")
    assert {(EncodingError, True), (DecodingError, True), bytes, tuple} <= outcomes


# ---- what is refused --------------------------------------------------------------------------------------------


class Colour(enum.IntEnum):
    RED = 1


class Text(str):
    pass


class Zone(tzinfo):
    def utcoffset(self, _at: datetime | None) -> timedelta:
        return timedelta(hours=1)

    def dst(self, _at: datetime | None) -> timedelta:
        return timedelta(0)

    def tzname(self, _at: datetime | None) -> str:
        return "somewhere"


@dataclasses.dataclass
class Point:
    x: int = 1


class Index:
    def __index__(self) -> int:
        return 1


Pair = collections.namedtuple("Pair", "a b")


@pytest.mark.parametrize(
    ("value", "name", "advice"),
    [
        (Colour.RED, "Colour", "its .value"),
        (Text("a"), "Text", "str(value)"),
        (Point(), "Point", "dataclasses.asdict(value)"),
        (Pair(1, 2), "Pair", "tuple(value)"),
        (collections.OrderedDict(a=1), "collections.OrderedDict", "dict(value)"),
        (numpy.int64(1), "numpy.int64", "value.item()"),
        (numpy.float64(1), "numpy.float64", "value.item()"),
        (numpy.ma.array([1]), "numpy.ma.MaskedArray", "plain numpy.ndarray"),
        (type("Moment", (datetime,), {})(2026, 1, 1), "Moment", "a plain datetime.datetime"),
        (memoryview(b""), "memoryview", "bytes(value)"),
        (Index(), "Index", "int(value)"),
        (MappingProxyType({}), "mappingproxy", "dict(value)"),
        (range(3), "range", "list(value)"),
        (object(), "object", "numbers, text"),
        (Fraction(1, 3), "fractions.Fraction", "numbers, text"),
    ],
)
def test_a_type_that_would_change_is_refused_with_its_name_and_what_to_pass(value: Any, name: str, advice: str) -> None:
    for refused in (encode, to_jsonable, encode_plain):
        with pytest.raises(EncodingError, match=r"does not travel; pass ") as caught:
            refused(value)
        assert name in str(caught.value)
        assert advice in str(caught.value)


def test_a_gmpy2_integer_is_refused() -> None:
    gmpy2 = pytest.importorskip("gmpy2")
    with pytest.raises(EncodingError, match=r"mpz does not travel; pass int\(value\)"):
        encode([gmpy2.mpz(1)])


@pytest.mark.parametrize(
    ("value", "where"),
    [
        ([1, 2, {"x": object()}], "at [2]['x']: "),
        ((1, [{3: {4: "\ud800"}}]), "at [1][0][3][4]: "),
        ({"a": {"\udfff": 1}}, "at ['a'].keys()[0]: "),
        ({Colour.RED: 1}, "at .keys()[0]: "),
        ({"k" * 99: [Point]}, f"at ['{'k' * 40}'…][0]: "),
        ({(1, 2): object()}, "at [<tuple>]: "),
        ({10**9999: object()}, "at [<int>]: "),
        ({None: {True: {1.5: "\ud800"}}}, "at [None][True][1.5]: "),
        ("\ud800", "text with a lone surrogate"),
    ],
)
def test_the_error_says_where_the_value_is(value: Any, where: str) -> None:
    for refused in (encode, to_jsonable, encode_plain):
        with pytest.raises(EncodingError) as caught:
            refused(value)
        assert str(caught.value).startswith(where)


@pytest.mark.parametrize("dtype", ["O", "U3", "S3", "M8[s]", "longdouble", "i4,f4", "V2"])
def test_an_array_of_anything_but_numbers_is_refused(dtype: str) -> None:
    with pytest.raises(EncodingError, match=r"an array of dtype .* does not travel"):
        encode(numpy.zeros(2, dtype))


def test_without_numpy_loaded_a_stranger_is_still_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "numpy")
    with pytest.raises(EncodingError, match="object does not travel"):
        encode(object())


def test_a_zone_that_the_other_side_cannot_find_is_refused() -> None:
    smallest = b"TZif" + bytes(16) + struct.pack(">6I", 0, 0, 0, 0, 1, 4) + bytes(6) + b"UTC\0"  # RFC 8536, version 1
    for zone in (Zone(), ZoneInfo.from_file(BytesIO(smallest))):
        with pytest.raises(EncodingError, match="a tzinfo of type"):
            encode(datetime(2026, 1, 1, tzinfo=zone))
