"""Whatever JSON somebody sends is a value that goes on to others as it is, or a DecodingError."""

from __future__ import annotations

import json
from typing import Any

from damage import damaged
from exactly import exact
from hypothesis import HealthCheck, example, given
from hypothesis import strategies as st
from support.examples import examples

from rpcsvc.errors import DecodingError
from rpcsvc.wire.values import Encoded, decode, encode, encode_parts

BOUNDED = examples(160, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])

TEXTS = [
    "0x1f",
    "-0x" + "f" * 40,
    "nan",
    "inf",
    "YQ==",
    "AAAAAAAA+D8=",
    "1e5",
    "-0.0E-7",
    "sNaN12",
    "1E+999999999999999999",
]
TEXTS += ["2026-01-01", "01:00", "01:00:00.5+01:00", "2026-01-01T01:00+01:00", "20260101T010000Z", "2026-W01-1", "UTC"]
TEXTS += ["Europe/Berlin", "00000000000000000000000000000007", "<f8", "|b1", ">c16", "<i2"]
NAMES = ["$int", "$float", "$complex", "$decimal", "$bytes", "$bytearray", "$tuple", "$set", "$frozenset", "$dict"]
NAMES += ["$uuid", "$date", "$time", "$datetime", "$timedelta", "$ndarray"]

scalars = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False)
texts = st.sampled_from(TEXTS) | st.text(max_size=5)
numbers = st.integers(-3, 3) | st.sampled_from([2**31, 2**63, 86_400])
moments = st.fixed_dictionaries(
    {"at": texts},
    optional={
        "fold": st.integers(0, 2),
        "name": texts,
        "zone": st.sampled_from(["UTC", "Europe/Berlin", "../x", ""]),
        "offset": st.lists(numbers, min_size=3, max_size=3),
    },
)
arrays = st.fixed_dictionaries(
    {
        "dtype": st.sampled_from(["<f8", "|b1", ">c16", "<i2", "O", "<f16"]),
        "shape": st.lists(st.integers(0, 3), max_size=3),
        "data": st.sampled_from(["", "AQA=", "AAAAAAAA+D8=", "AAAAAAAAAAAAAAAAAAAAAA=="]),
    }
)


def forms(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Each form with what it may hold, more or less."""
    some = st.lists(inner, max_size=3)
    return st.one_of(
        *(st.fixed_dictionaries({name: texts}) for name in NAMES),
        *(st.fixed_dictionaries({name: some}) for name in ("$tuple", "$set", "$frozenset", "$complex")),
        st.fixed_dictionaries({"$dict": st.lists(st.lists(inner, min_size=2, max_size=2), max_size=3)}),
        st.fixed_dictionaries({"$timedelta": st.lists(numbers, min_size=3, max_size=3)}),
        *(st.fixed_dictionaries({name: moments}) for name in ("$datetime", "$time")),
        st.fixed_dictionaries({"$ndarray": arrays}),
    )


documents = st.recursive(
    scalars | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=3) | forms(inner),
    max_leaves=12,
)


def decoded(body: bytes) -> tuple[Any] | None:
    """The value in a tuple; None if there is a DecodingError instead. Anything else is a fault."""
    try:
        return (decode(body),)
    except DecodingError as error:
        assert str(error)  # noqa: PT017 - both outcomes are right
        return None


def body_of(encoded: bytes | Encoded) -> bytes:
    return encoded if isinstance(encoded, bytes) else encoded.joined()


@BOUNDED
@given(forms(documents) | documents)
@example({"$set": [{"$decimal": "NaN"}, {"$decimal": "NaN"}]})
@example({"$dict": [[{"$decimal": "sNaN"}, 1]]})
@example({"$datetime": {"at": "9999-12-31T23:59:59.999999", "offset": [0, 86399, 999999]}})
@example({"$time": {"at": "01:00", "zone": "Europe/Berlin", "fold": 1}})
@example({"$uuid": "{urn:uuid:00000000000000000000000000000007}"})
def test_what_was_read_can_be_sent_on_and_is_read_the_same(document: Any) -> None:
    found = decoded(json.dumps(document).encode())
    if found is not None:
        assert exact(decode(encode(found[0]))) == exact(found[0])
        assert exact(decode(body_of(encode_parts(found[0])))) == exact(found[0])


@BOUNDED
@given(damaged(st.builds(json.dumps, documents).map(str.encode)))
@example(b'{"$dict":[[' * 33 + b"1" + b",1]]}" * 33)
def test_damaged_documents_are_values_or_decoding_errors(body: bytes) -> None:
    found = decoded(body)
    if found is not None:
        assert exact(decode(encode(found[0]))) == exact(found[0])
