"""The raw section: large binary data goes in and comes out as it is, and a hostile section does no harm."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy
import orjson
import pytest
from exactly import exact
from hypothesis import HealthCheck, example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from support.examples import examples

from rpcsvc.errors import DecodingError, EncodingError
from rpcsvc.wire.values import MAX_NESTING, Encoded, decode, encode, encode_parts, encode_plain, encoding, to_jsonable
from rpcsvc.wire.values.limits import RAW_FROM
from rpcsvc.wire.values.section import Section

BOUNDED = examples(80, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
DTYPES = ["|b1", "|i1", "<i2", ">i4", "<u8", "<f2", ">f4", "<f8", "<c8", ">c16"]

small = st.none() | st.booleans() | st.integers() | st.text(max_size=3) | st.sampled_from(["$bytes", "ü"])
binary = st.binary(max_size=20)
number_arrays = arrays.arrays(st.sampled_from(DTYPES), arrays.array_shapes(min_dims=0, min_side=0, max_side=4))
keys = st.text(max_size=2) | st.integers() | binary | st.tuples(binary)
values = st.recursive(
    small | binary | binary.map(bytearray) | number_arrays,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(keys, inner, max_size=3),
        st.frozensets(binary, max_size=3),
    ),
    max_leaves=12,
)


@pytest.fixture
def raw_from_5(monkeypatch: pytest.MonkeyPatch) -> None:
    """Five bytes are large, so that small values show it all."""
    monkeypatch.setattr(encoding, "RAW_FROM", 5)


def body_of(encoded: bytes | Encoded) -> bytes:
    return encoded if isinstance(encoded, bytes) else encoded.joined()


def through(value: Any) -> Any:
    return decode(body_of(encode_parts(value)))


def nested(levels: int, innermost: Any) -> Any:
    for _ in range(levels):
        innermost = [innermost]
    return innermost


# ---- what comes back --------------------------------------------------------------------------------------------


@given(values)
@example([b"abcdef", bytearray(b"abcdef"), 2**64, b"ghijklm"])  # an integer for which the value is walked again
@example({b"0123456789": (b"0123456789",)})
@example([[b"abcdef"], "$bytes", {"$bytes": b"abcdef"}])
@BOUNDED
@pytest.mark.usefixtures("raw_from_5")
def test_a_value_comes_back_whatever_of_it_travels_apart(value: Any) -> None:
    assert exact(through(value)) == exact(value)


@pytest.mark.usefixtures("raw_from_5")
def test_large_data_is_named_in_the_text_and_stands_behind_it() -> None:
    value = [b"abcdef", {"a": bytearray(b"ghijk")}, b"tiny", numpy.array([1, 2, 3], "<i2")]

    text, _, section = body_of(encode_parts(value)).partition(b"\0")

    assert orjson.loads(text) == [
        {"$bytes": {"raw": [0, 6]}},
        {"a": {"$bytearray": {"raw": [6, 5]}}},
        {"$bytes": "dGlueQ=="},
        {"$ndarray": {"dtype": "<i2", "shape": [3], "data": {"raw": [11, 6]}}},
    ]
    assert section == b"abcdefghijk\1\0\2\0\3\0"


@pytest.mark.parametrize(("size", "is_apart"), [(RAW_FROM - 1, False), (RAW_FROM, True)])
@pytest.mark.parametrize("make", [bytes, bytearray, lambda size: numpy.ones(size, "|i1")], ids=["b", "ba", "array"])
def test_data_travels_apart_from_32_kib_on(make: Any, size: int, is_apart: bool) -> None:
    value = make(size)

    assert isinstance(encode_parts([value]), Encoded) is is_apart
    assert exact(through([value])) == exact([value])


def test_a_value_without_large_data_is_text_as_ever() -> None:
    for value in (30, [30], [b"small", 2**70], {"a": (1, 2.5)}, numpy.arange(3), nested(MAX_NESTING, 2**70)):
        assert encode_parts(value) == encode(value)


def test_text_alone_has_large_data_in_base64() -> None:
    large = bytes(RAW_FROM)
    in_base64 = encode(large)

    assert in_base64.startswith(b'{"$bytes":"AAAA')
    assert orjson.dumps(to_jsonable(large)) == in_base64
    assert encode_plain(large) == in_base64
    assert decode(in_base64) == large


@pytest.mark.usefixtures("raw_from_5")
@pytest.mark.parametrize("levels", [MAX_NESTING // 2 - 1, MAX_NESTING // 2, MAX_NESTING // 2 + 1, MAX_NESTING])
def test_large_data_may_lie_deep_and_beside_a_big_integer(levels: int) -> None:
    """Half way down the inner value becomes text before the outer one is done."""
    value = [b"before", nested(levels - 1, [b"inside", 2**64] if levels < MAX_NESTING else b"inside"), b"behind"]

    encoded = encode_parts(value)

    assert isinstance(encoded, Encoded)
    assert encoded.raw == (b"before", b"inside", b"behind")
    assert through(value) == value


def test_a_refusal_says_where_beside_large_data_too() -> None:
    with pytest.raises(EncodingError, match=r"at \[1\]\['a'\]: a value of type object"):
        encode_parts([bytes(RAW_FROM), {"a": object()}])
    with pytest.raises(EncodingError, match="lone surrogate"):
        encode_parts([bytes(RAW_FROM), "\ud800"])


# ---- memory -----------------------------------------------------------------------------------------------------


def test_the_parts_are_the_values_own_memory() -> None:
    data, mutable, array = bytes(RAW_FROM), bytearray(RAW_FROM), numpy.zeros((256, 256), ">f8")

    encoded = encode_parts([data, mutable, array])
    assert isinstance(encoded, Encoded)
    mutable[0] = 7
    array[0, 0] = 1.0

    assert encoded.raw[0] is data
    assert encoded.raw[1][0] == 7
    assert encoded.raw[2][:2] == b"\x3f\xf0"
    assert encoded.size == len(encoded.joined())


@pytest.mark.parametrize(
    "array",
    [
        numpy.arange(40_000, dtype="<i4").reshape(200, 200).T,
        numpy.asfortranarray(numpy.arange(40_000, dtype=">f8").reshape(200, 200)),
        numpy.arange(100_000, dtype="<c8")[::3],
        numpy.arange(100_000, dtype="<u2")[::-1],
        numpy.broadcast_to(numpy.float64(1.5), (100, 100)),
    ],
    ids=["transposed", "Fortran's order", "every third", "backwards", "one item for all"],
)
def test_an_array_that_is_not_in_c_order_comes_back_equal(array: Any) -> None:
    back = through(array)

    assert isinstance(encode_parts(array), Encoded)
    assert exact(back) == exact(array)


def test_what_comes_back_owns_its_memory_and_can_be_written() -> None:
    array, mutable = through([numpy.arange(10_000.0), bytearray(RAW_FROM)])

    array[0] = 7
    mutable.append(7)

    assert array.flags.owndata
    assert array.flags.aligned
    assert (array[0], mutable[-1]) == (7, 7)


def test_eight_mebibytes_are_copied_once_on_each_side() -> None:
    size = 8 << 20
    value = {"data": bytes(size)}
    tracemalloc.start()
    try:
        body = body_of(encode_parts(value))
        _, writing = tracemalloc.get_traced_memory()
        held, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        back = decode(body)
        _, reading = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert back == value
    assert writing < 1.01 * size
    assert reading - held < 1.01 * size


# ---- hostile sections -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("place", "sentence"),
    [
        ("[0, 11]", "outside of the raw section, which has 10 bytes"),
        ("[10, 1]", "outside"),
        ("[11, 0]", "outside"),
        ("[-1, 1]", "outside"),
        ("[-1, 5]", "outside"),
        ("[5, -1]", "outside"),
        ("[5, -5]", "outside"),
        ("[9223372036854775807, 9223372036854775807]", "outside"),
        ("[0, 18446744073709551615]", "outside"),
        ("[0, 99999999999999999999]", "two integers"),
        ("[0, true]", "two integers"),
        ("[false, 1]", "two integers"),
        ("[0, 1.0]", "two integers"),
        ('["0", 1]', "two integers"),
        ("[0, [1]]", "two integers"),
        ("[0]", "two integers"),
        ("[0, 1, 2]", "two integers"),
        ("{}", "two integers"),
        ("null", "two integers"),
    ],
)
@pytest.mark.parametrize(
    "form",
    [
        '{"$bytes": {"raw": PLACE}}',
        '{"$bytearray": {"raw": PLACE}}',
        '{"$ndarray": {"dtype": "|i1", "shape": [0], "data": {"raw": PLACE}}}',
    ],
)
def test_a_place_that_is_not_in_the_section_is_refused(form: str, place: str, sentence: str) -> None:
    with pytest.raises(DecodingError, match=sentence):
        decode(b"[" + form.replace("PLACE", place).encode() + b"]\0" + b"0123456789")


@pytest.mark.parametrize("content", ["{}", '{"raw": [0, 1], "more": 1}', '{"Raw": [0, 1]}', "[0, 1]", "null", "7"])
def test_what_is_no_reference_is_refused(content: str) -> None:
    with pytest.raises(DecodingError, match=r'must hold a string, or {"raw": \[offset, length\]}'):
        decode(b'{"$bytes": ' + content.encode() + b"}\0abc")


def test_a_reference_without_a_section_is_refused() -> None:
    for place in (b"[0, 0]", b"[0, 1]"):
        with pytest.raises(DecodingError, match="refers to a raw section, and the body has none"):
            decode(b'{"$bytes": {"raw": ' + place + b"}}")
    with pytest.raises(DecodingError, match="must hold a string"):
        decode(b'{"$bytes": {"a": 1}}')


def test_the_parts_of_a_section_may_overlap_and_leave_gaps() -> None:
    parts = (
        b'[{"$bytes": {"raw": [2, 4]}}, {"$bytes": {"raw": [3, 4]}}, {"$bytes": {"raw": [10, 0]}}, {"$bytes": "YQ=="}]'
    )

    assert decode(parts + b"\0" + b"0123456789") == [b"2345", b"3456", b"", b"a"]


def test_all_parts_together_are_no_larger_than_the_section() -> None:
    with pytest.raises(DecodingError, match="together larger than it"):
        decode(b'[{"$bytes": {"raw": [0, 6]}}, {"$bytes": {"raw": [0, 5]}}]\0' + b"0123456789")


def test_one_section_named_very_often_takes_no_more_memory_than_the_body() -> None:
    section = bytes(1 << 20)
    body = b"[" + b",".join([b'{"$bytes":{"raw":[0,1048576]}}'] * 10_000) + b"]\0" + section
    tracemalloc.start()
    try:
        with pytest.raises(DecodingError):
            decode(body)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < 10 * len(body)


def test_booleans_that_are_none_are_refused_in_a_section_too() -> None:
    text = b'{"$ndarray": {"dtype": "|b1", "shape": [3], "data": {"raw": [0, 3]}}}'

    assert decode(text + b"\0\0\1\1").tolist() == [False, True, True]
    with pytest.raises(DecodingError, match="no booleans"):
        decode(text + b"\0\0\1\2")


def test_an_array_must_fill_its_shape_from_a_section_too() -> None:
    with pytest.raises(DecodingError, match="does not fit its shape"):
        decode(b'{"$ndarray": {"dtype": "<i2", "shape": [3], "data": {"raw": [0, 5]}}}\0abcdef')


def test_the_section_is_no_part_of_the_text() -> None:
    """Whatever lies in it: brackets are no nesting, digits no integer, a "$" no form."""
    section = b"[" * 1000 + b"9" * 100 + b'{"$int": "0x1"}\0\0\xff'

    assert decode(b"[1.5]\0" + section) == [1.5]
    assert decode(b'{"a": "raw"}\0') == {"a": "raw"}
    assert decode(memoryview(b'{"$bytes": {"raw": [0, 3]}}\0\0\0\0')) == b"\0\0\0"


@pytest.mark.parametrize("body", [b"\0", b"\0{}", b'"a\0b"', b"[1,\0]", b'{"raw": \0}'])
def test_a_nul_byte_ends_the_text_wherever_it_stands(body: bytes) -> None:
    with pytest.raises(DecodingError, match="not JSON"):
        decode(body)


@given(values, st.integers(0, 400), st.binary(min_size=1, max_size=4))
@BOUNDED
@pytest.mark.usefixtures("raw_from_5")
def test_a_damaged_body_is_a_value_or_a_decoding_error(value: Any, place: int, damage: bytes) -> None:
    body = body_of(encode_parts(value))
    for damaged in (body[:place], body[:place] + damage + body[place + len(damage) :]):
        try:
            decode(damaged)
        except DecodingError as error:
            assert str(error)  # noqa: PT017 - both outcomes are right


# ---- what is shown ----------------------------------------------------------------------------------------------


def test_an_encoded_value_and_a_section_show_sizes_and_not_the_data() -> None:
    assert repr(encode_parts(bytes(RAW_FROM))) == "<Encoded: 28 bytes of text, 1 raw parts of 32768 bytes>"
    section = Section(memoryview(b"0123456789"))
    section.part({"raw": [0, 4]})
    assert repr(section) == "<Section of 10 bytes, 6 of them still to be given out>"
