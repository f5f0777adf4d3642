from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.examples import examples

from rpcsvc.functions.builtin import fibonacci
from rpcsvc.functions.builtin.fibonacci import MAX_N, fib

pytestmark = pytest.mark.usefixtures("arithmetic")

Fib = Callable[[int], int]


def by_addition(last: int) -> list[int]:
    """F(0) to F(last), by the definition."""
    numbers = [0, 1]
    while len(numbers) <= last:
        numbers.append(numbers[-1] + numbers[-2])
    return numbers


def test_the_first_thousand_are_those_of_the_definition() -> None:
    expected = by_addition(1000)
    assert [fib(n) for n in range(1001)] == expected
    assert expected[30] == 832_040


@pytest.mark.parametrize("n", [92, 93, 94, 4999, 5000, 5001, 20_577, 20_578])
def test_numbers_at_the_borders_of_int64_uint64_and_4300_digits_are_exact_ints(n: int) -> None:
    result = fib(n)
    assert type(result) is int
    assert result == by_addition(n)[n]


def test_the_border_numbers_lie_where_they_are_said_to_lie() -> None:
    assert fib(92) < 2**63 <= fib(93) < 2**64 <= fib(94)
    assert fib(20_577) < 10**4300 <= fib(20_578)


def test_the_millionth_is_right_in_its_size_and_modulo_a_prime_of_64_bits() -> None:
    prime = 18_446_744_073_709_551_557
    this, following = 0, 1
    for _ in range(10**6):
        this, following = following, (this + following) % prime
    result = fib(10**6)
    assert type(result) is int
    assert result % prime == this
    assert 10**208_987 <= result < 10**208_988


def test_both_ways_agree_over_all_endings_of_a_large_index() -> None:
    assert all(fib(n) == fibonacci._fib(n) for n in range(100_000, 100_016))


@pytest.mark.parametrize("compute", [fib, fibonacci._fib])
@examples(30)
@given(m=st.integers(1, 20_000), n=st.integers(0, 20_000))
def test_a_sum_of_indices_follows_the_addition_formula(compute: Fib, m: int, n: int) -> None:
    assert compute(m + n) == compute(m) * compute(n + 1) + compute(m - 1) * compute(n)


@pytest.mark.parametrize("compute", [fib, fibonacci._fib])
@examples(30)
@given(m=st.integers(0, 20_000), n=st.integers(0, 20_000))
def test_the_gcd_of_two_is_the_one_at_the_gcd(compute: Fib, m: int, n: int) -> None:
    assert math.gcd(compute(m), compute(n)) == compute(math.gcd(m, n))


@pytest.mark.parametrize(
    "n",
    [-1, -(10**30), MAX_N + 1, 10**12, 10**5000, True, False],
    ids=lambda n: str(n)[:12] if abs(n) < 10**40 else "long",
)
def test_a_negative_absurd_or_boolean_index_is_refused_before_any_work(n: int) -> None:
    with pytest.raises(ValueError, match=r"^n must be "):
        fib(n)


def test_the_largest_number_fits_into_a_message_of_64_mib_as_hexadecimal_text() -> None:
    bits = MAX_N * math.log2((1 + math.sqrt(5)) / 2)
    assert bits / 4 < 64 * 2**20
