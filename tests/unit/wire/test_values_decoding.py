"""wire.values with bytes from elsewhere: exact integers from any writer, a DecodingError for whatever is wrong."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from typing import Any

import numpy
import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from support.examples import examples

from rpcsvc.errors import DecodingError, EncodingError
from rpcsvc.wire.values import MAX_DECIMAL_DIGITS, decode, encode, encode_plain

BOUNDED = examples(120)
TAGS = ["$int", "$float", "$complex", "$decimal", "$bytes", "$bytearray", "$tuple", "$set", "$frozenset", "$dict"]
TAGS += ["$uuid", "$date", "$time", "$datetime", "$timedelta", "$ndarray", "$", "$x"]


# ---- plain JSON -------------------------------------------------------------------------------------------------


INTEGERS = [
    2**63 - 1,
    2**63,
    2**63 + 1,
    2**64 - 1,
    2**64,
    10**18,
    10**19,
    10**307,
    10**308,
    10**309,
    10**600 - 1,
    7**5000,
]


@pytest.mark.parametrize("spaces", [{}, {"indent": 1}])
@pytest.mark.parametrize("n", INTEGERS, ids=lambda n: f"{n.bit_length()}-bits")
def test_big_integers_of_other_json_writers_are_exact(n: int, spaces: dict[str, int]) -> None:  # fmt: skip
    for value in (n, -n, [n, -n, 1.5], {"a": {"b": -n}}, [[1e300, n]], [n, "1" * 30, '\\"' + "1" * 30, 1.0]):
        back = decode(json.dumps(value, **spaces).encode())  # type: ignore[arg-type]
        assert back == value
        assert str(back) == str(value)


@pytest.mark.parametrize(
    "text",
    [
        "18446744073709551616.0",
        "1E25",
        "-12345678901234567890e-1",
        "-0.12345678901234567890",
        "1e-1000000000000000000000",
        "1e+00000000000000000000020",
    ],
)
def test_a_number_with_a_fraction_or_an_exponent_stays_a_float(text: str) -> None:
    for body in (f"[{text}]", f"[{text},{2**70}]"):
        first = decode(body.encode())[0]
        assert type(first) is float
        assert first == float(text)


@pytest.fixture(params=[0, 640])
def digit_limit(request: pytest.FixtureRequest) -> Iterator[None]:
    before = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(request.param)
    yield
    sys.set_int_max_str_digits(before)


@pytest.mark.usefixtures("digit_limit")
def test_decimal_integers_have_a_limit_of_their_own() -> None:
    assert decode(b"-1" + b"0" * (MAX_DECIMAL_DIGITS - 1)) == -(10 ** (MAX_DECIMAL_DIGITS - 1))
    assert decode(b"[1" + b"0" * 700 + b"]") == [10**700]
    with pytest.raises(DecodingError, match=r'4301 digits.*send it as {"\$int": "0x…"}'):
        decode(b"[" + b"9" * (MAX_DECIMAL_DIGITS + 1) + b"]")
    assert decode(encode(10**9000)) == 10**9000


@given(st.recursive(
    st.none() | st.booleans() | st.integers() | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False, allow_infinity=False) | st.text() | st.sampled_from(["1" * 20, '"', '\\"' + "1" * 20]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, min_size=2, max_size=4),
))  # fmt: skip
@BOUNDED
def test_what_pythons_json_writes_is_read_as_pythons_json_reads_it(value: Any) -> None:
    text = json.dumps(value)
    assert repr(decode(text.encode())) == repr(json.loads(text))


NOT_JSON = [
    *(
        b"",
        b"{",
        b"nan",
        b"NaN",
        b"[Infinity]",
        b"1e400",
        b"01",
        b"\xff",
        b'"\\ud800"',
        b"'a'",
        b"[1,]",
        b"1 2",
        b"[" * 10**5,
    ),
    *(
        b'"1234567890123456789012',
        b"[12345678901234567890123",
        b"[012345678901234567890123]",
        b"-" + b"9" * 400 + b"e1",
    ),
    *(b"9" * 400 + b" x", b'"' + b"9" * 400 + b'\\"', b'{1234567890123456789012:"$"}', b"- " + b"1" * 400),
]


@pytest.mark.parametrize("body", NOT_JSON, ids=lambda body: repr(body[:20]))
def test_what_is_not_json_is_said_to_be_none(body: bytes) -> None:
    with pytest.raises(DecodingError, match=r"^not JSON: "):
        decode(body)


def test_of_members_with_one_name_the_last_one_counts() -> None:
    assert decode(b'{"a":1,"a":{"$int":"0x2"}}') == {"a": 2}


def test_a_memoryview_is_read_like_bytes() -> None:
    assert decode(memoryview(b'x{"$tuple":[1]}x')[1:-1]) == (1,)


def test_a_foreign_object_with_several_members_is_taken_as_it_is() -> None:
    assert decode(b'{"$int":"0x1","a":[{"$int":"0x1"}]}') == {"$int": "0x1", "a": [1]}


@pytest.mark.parametrize("body", [b'{"\\u0024int":"0x1f"}', b'{"\\u0024\\u0069nt":"0x1F"}', b' { "$int" : "0x1f" } '])
def test_a_form_is_a_form_however_its_name_is_written(body: bytes) -> None:
    assert decode(b"[%s]" % body) == [31]


@pytest.mark.parametrize(
    "body", [b'"$"', b'"$int"', b'["$int","0x1"]', b'"\\u0024int"', b'{"a":"$int"}', b'"costs $5, \\n"']
)
def test_text_with_a_dollar_sign_is_text(body: bytes) -> None:
    assert decode(body) == json.loads(body)


# ---- forms that are wrong ---------------------------------------------------------------------------------------


WRONG_FORMS = r"""
{"$x":1}   {"$":1}   {"$INT":"0x1"}   {"$int":"12"}   {"$int":"0x1_0"}   {"$int":" 0x1"}
{"$int":12345678901234567890123}   {"$float":"1.5"}   {"$float":"-nan"}   {"$float":null}   {"$complex":[1]}
{"$complex":[1,"2"]}   {"$complex":[1,true]}   {"$complex":{"$tuple":[1,2]}}   {"$complex":[1,{"$float":"x"}]}
{"$complex":[1,123456789012345678901]}   {"$decimal":"1e9999999999999999999999"}   {"$decimal":""}   {"$decimal":1}
{"$uuid":"12"}   {"$uuid":[]}   {"$bytes":"a"}   {"$bytes":"YQ=="  ,"$bytes":"YQ"}   {"$bytes":"é"}
{"$bytes":"YQ==\n"}   {"$bytearray":{}}   {"$tuple":1}   {"$tuple":{"$tuple":[]}}   {"$set":{}}   {"$set":[[]]}
{"$set":[{"$dict":[]}]}   {"$set":[1,true]}   {"$set":[{"$decimal":"sNaN"}]}   {"$frozenset":[{"$set":[]}]}
{"$frozenset":"ab"}   {"$set":[{"$tuple":[[]]}]}   {"$dict":{}}   {"$dict":[1]}   {"$dict":[[1]]}
{"$dict":[[1,2,3]]}   {"$dict":[[[],1]]}   {"$dict":["ab"]}   {"$dict":[["a",1],["a",2]]}
{"$dict":[{"$tuple":[1,2]}]}   {"$dict":[[1,0],[1.0,0]]}   {"$date":"2026-13-01"}   {"$date":1}   {"$datetime":"x"}
{"$datetime":{}}   {"$datetime":{"at":1}}   {"$time":"25:00"}   {"$timedelta":[1,2]}   {"$timedelta":[1,2,3.0]}
{"$timedelta":[9999999999,0,0]}   {"$timedelta":[18446744073709551615,0,0]}   {"$timedelta":[true,0,0]}
{"$timedelta":1}   {"$datetime":{"at":"2026-01-01","fold":true}}   {"$time":{"at":"01:00","fold":2}}
{"$datetime":{"at":"2026-01-01","name":"X"}}   {"$datetime":{"at":"2026-01-01","more":1}}   {"$time":{"at":"1:0"}}
{"$datetime":{"at":"2026-01-01T00:00Z","zone":"UTC"}}   {"$datetime":{"at":"2026-01-01T00:00Z","offset":[0,1,0]}}
{"$time":{"at":"00:00","offset":[1,0,0]}}   {"$time":{"at":"00:00","offset":1}}   {"$time":{"at":"00:00","name":1}}
{"$datetime":{"at":"2026-01-01","zone":"UTC","name":"X"}}
"""


@pytest.mark.parametrize("form", re.split(r" {3}|\n", WRONG_FORMS.strip()), ids=lambda form: form[:40])
def test_a_form_that_is_not_right_is_a_decoding_error(form: str) -> None:
    for body in (form, f"[{form}]", f'{{"$tuple":[0,{form}]}}'):
        with pytest.raises(DecodingError, match=r"is not right: |is no form that is known"):
            decode(body.encode())


ZONES = [
    "",
    "/etc/passwd",
    "../UTC",
    "No/Where",
    "Europe",
    "zone.tab",
    "\0",
    "x" * 5000,
    "é",
    "a/../b",
    ".",
    "UTC/",
    "UTC/x",
]


@pytest.mark.parametrize("zone", ZONES, ids=lambda zone: repr(zone[:20]))
def test_a_zone_that_is_not_known_is_named(zone: str) -> None:
    body = orjson.dumps({"$datetime": {"at": "2026-01-01T00:00:00", "zone": zone}})
    with pytest.raises(DecodingError, match=r"the time zone .* is not known here"):
        decode(body)


DTYPES = ["O", "|O", "<f16", "=i8", "i8", "<U4", "<M8[s]", "i4,i4", "|V8", "<b1", "<i1", "", None]
SHAPES = [
    [1],
    [3],
    [-1],
    [-1, -2],
    [2, True],
    2,
    [0, 2**62],
    [2**40, 2**40],
    [1.0],
    [1] * 65 + [2],
    [2**64 - 1] * 65,
    [{"$int": "0x2"}],
]
WRONG_ARRAYS: list[dict[str, Any]] = [
    *({"dtype": dtype} for dtype in DTYPES),
    *({"shape": shape} for shape in SHAPES),
    {"shape": [0, 2**63 - 1, 2**63 - 1], "data": ""},
    {"data": "?"},
    {"more": 1},
    {"dtype": "|b1", "shape": [16], "data": "AgAAAAAAAAAAAAAAAAAAAA=="},
]


@pytest.mark.parametrize("change", WRONG_ARRAYS, ids=repr)
def test_a_hostile_array_is_refused_before_it_takes_memory(change: dict[str, Any]) -> None:
    content = orjson.loads(encode(numpy.arange(2)))["$ndarray"]
    assert decode(orjson.dumps({"$ndarray": content})).tolist() == [0, 1]
    with pytest.raises(DecodingError, match="is not right"):
        decode(orjson.dumps({"$ndarray": {**content, **change}}))


def test_an_array_of_endless_dimensions_is_refused_before_they_are_multiplied() -> None:
    with pytest.raises(DecodingError, match="at most 64 sizes"):
        decode(orjson.dumps({"$ndarray": {"dtype": "<i8", "shape": [2**64 - 1] * 10_000, "data": ""}}))


def test_an_array_where_numpy_is_missing_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    body = encode(numpy.arange(3))
    monkeypatch.setitem(sys.modules, "numpy", None)
    with pytest.raises(DecodingError, match="needs numpy, which is not installed"):
        decode(body)
    with pytest.raises(EncodingError, match="does not travel"):
        encode(object())


def test_members_made_to_collide_are_refused_and_honest_ones_are_not() -> None:
    colliding = [i * sys.hash_info.modulus for i in range(20_000)]
    for body in (json.dumps({"$set": colliding}), json.dumps({"$dict": [[n, 0] for n in colliding]})):
        with pytest.raises(DecodingError, match="the same hash"):
            decode(body.encode())
    honest = set(range(3000))
    assert decode(encode(honest)) == honest


# ---- any bytes --------------------------------------------------------------------------------------------------

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5)
    | st.sampled_from(["0x1f", "nan", "YQ==", "1e5", "2026-01-01", "01:00", "2026-01-01T01:00+01:00", "UTC", "<f8"]),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(st.sampled_from(TAGS), inner, min_size=1, max_size=1)
    | st.fixed_dictionaries({}, optional=dict.fromkeys(["at", "fold", "name", "offset", "zone"], inner))
    | st.fixed_dictionaries({}, optional=dict.fromkeys(["dtype", "shape", "data"], inner))
    | st.lists(st.lists(inner, min_size=2, max_size=2), max_size=3),
    max_leaves=10,
)  # fmt: skip


def gives_a_value_or_our_error(body: bytes) -> None:
    try:
        value = decode(body)
    except DecodingError:
        return
    assert type(decode(encode(value))) is type(value)  # and it can be sent on


@given(st.binary() | st.text(alphabet='{}[]",:$\\u0024int1e-+.9 ').map(str.encode))
@BOUNDED
@example(b'{"$tuple":' * 101 + b"[]" + b"}" * 101)
@example(b'{"$set":[' * 500 + b"]}" * 500)
@example(b'{"$dict":[[' * 340 + b"]]}" * 340)
@example(b"[" * 1024 + b"9" * 400 + b"]" * 1024)
@example(b'{"$set":[{"$decimal":"1E+999999999999999999"},{"$decimal":"1E-999999999999999999"},1.5]}')
def test_any_bytes_give_a_value_or_a_decoding_error(body: bytes) -> None:
    gives_a_value_or_our_error(body)


@given(anything)
@BOUNDED
def test_any_json_gives_a_value_or_a_decoding_error(value: Any) -> None:
    gives_a_value_or_our_error(json.dumps(value).encode())


@given(st.sampled_from(TAGS), anything, st.booleans())
@BOUNDED
def test_any_form_gives_a_value_or_a_decoding_error(tag: str, content: Any, wrapped: bool) -> None:
    form = {tag: content}
    gives_a_value_or_our_error(json.dumps({"$set": [form, 1]} if wrapped else form).encode())


# ---- for readers that know no forms -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (832040, b"832040"),
        (-(10**5000), b"-1" + b"0" * 5000),
        ("é $int", "é $int".encode()),
        ("", b""),
        (True, b"true"),
        (None, b"null"),
        (1.5, b"1.5"),
        ((1, (2, [3, ()])), b"[1,[2,[3,[]]]]"),
        ({"a": (2**70, 1), "b": [2**64]}, b'{"a":[1180591620717411303424,1],"b":[18446744073709551616]}'),
        ({1: b"a"}, b'{"$dict":[[1,{"$bytes":"YQ=="}]]}'),
        (float("inf"), b'{"$float":"inf"}'),
    ],
    ids=lambda item: f"{item[:30]!r}" if type(item) is bytes else type(item).__name__,
)
def test_plain_text_is_what_any_language_can_read(value: Any, text: bytes) -> None:
    assert encode_plain(value) == text
