"""rpcsvc.wire.digits: the same digits as str(n), with and without gmpy2, whatever the interpreter's limit is."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.examples import examples

from rpcsvc.wire import digits

BOUNDED = examples(30)


@pytest.fixture(params=["gmpy2", "decimal"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Each test that asks for it runs with gmpy2 (where it is installed) and without."""
    if request.param == "gmpy2":
        pytest.importorskip("gmpy2")
    else:
        monkeypatch.setitem(sys.modules, "gmpy2", None)
    digits._gmpy2_digits.cache_clear()
    yield request.param
    digits._gmpy2_digits.cache_clear()


@pytest.fixture(params=[0, 640])
def digit_limit(request: pytest.FixtureRequest) -> Iterator[int]:
    before = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(request.param)
    yield request.param
    sys.set_int_max_str_digits(before)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("n", [0, 1, -1, 10, 2**63, -(2**64), 2**2000 - 1, 2**2000, 2**2001, -(3**2000)])
def test_the_digits_are_those_of_str(n: int) -> None:
    assert digits.to_decimal(n) == str(n)


def test_gmpy2_is_used_for_long_numbers_only(monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    monkeypatch.setitem(sys.modules, "gmpy2", SimpleNamespace(digits=lambda _n: f"gmpy2 instead of {way}"))
    assert digits.to_decimal(-(2**2000)) == f"-gmpy2 instead of {way}"
    assert digits.to_decimal(2**1999) == str(2**1999)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("size", [511, 512, 513, 1024, 1025, 5 * 512, 12_800])
def test_every_number_of_pieces_joins_to_the_same_digits(size: int) -> None:
    for n in (1 << size, (1 << size) - 1, (1 << size) + 1, -(1 << size)):
        assert digits.to_decimal(n) == str(n)


@pytest.mark.usefixtures("way", "digit_limit")
def test_a_hundred_thousand_digits_are_right_under_any_limit_of_the_interpreter() -> None:
    assert digits.to_decimal(10**100_000 + 7) == "1" + "0" * 99_999 + "7"
    assert digits.to_decimal(-(10**100_000)) == "-1" + "0" * 100_000
    assert digits.to_decimal((10**99_999 - 1) // 9) == "1" * 99_999


@given(st.integers(min_value=0, max_value=4000), st.integers())
@BOUNDED
def test_any_integer_has_the_digits_that_str_gives_it(power: int, offset: int) -> None:
    n = 7**power + offset
    pieces = digits._join_pieces(abs(n)) if n else "0"
    assert pieces == str(abs(n))
    assert digits.to_decimal(n) == str(n)
    assert digits.count_digits(n) == len(str(abs(n)))


@pytest.mark.usefixtures("digit_limit")
@pytest.mark.parametrize("power", [1, 2, 15, 16, 17, 18, 308, 309, 640, 4_300, 20_000])
def test_the_count_is_exact_on_both_sides_of_a_power_of_ten(power: int) -> None:
    n = 10**power
    assert [digits.count_digits(m) for m in (n - 1, n, n + 1, -n, 1 - n)] == [power, *[power + 1] * 3, power]


def test_zero_has_one_digit() -> None:
    assert digits.count_digits(0) == 1


def test_a_number_of_up_to_60_digits_is_shown_in_full() -> None:
    assert digits.abbreviate(0) == "0"
    assert digits.abbreviate(-(10**59)) == "-1" + "0" * 59
    assert "…" in digits.abbreviate(10**60)


def test_a_long_number_shows_both_ends_and_how_long_it_is() -> None:
    n = 1_234_567_890 * 10**5_000 + 9_876_543_210
    assert digits.abbreviate(n) == "1234567890…9876543210 (5,010 digits)"
    assert digits.abbreviate(-n, edge=3) == "-123…210 (5,010 digits)"


def test_no_digit_is_shown_twice_when_the_ends_meet() -> None:
    n = int("123456789" * 8)
    assert digits.abbreviate(n, edge=36) == str(n)
    assert digits.abbreviate(n, edge=35) == f"{str(n)[:35]}…{str(n)[-35:]} (72 digits)"


def test_an_edge_of_no_digits_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        digits.abbreviate(10**100, edge=0)
