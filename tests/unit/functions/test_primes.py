from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.examples import examples

from rpcsvc.functions.builtin import primes
from rpcsvc.functions.builtin.primes import MAX_FACTORIZE_BITS, MAX_PRIME_BITS, factorize, is_prime

LIMIT = 100_000
MERSENNE_EXPONENTS = (2, 3, 5, 7, 13, 17, 19, 31, 61, 89, 107, 127, 521, 607, 1279)


def sieve(limit: int) -> list[bool]:
    """Whether each number below the limit is prime, by Eratosthenes."""
    prime = [False, False, *[True] * (limit - 2)]
    for n in range(2, math.isqrt(limit) + 1):
        if prime[n]:
            prime[n * n :: n] = [False] * len(range(n * n, limit, n))
    return prime


PRIME = sieve(LIMIT)


def arnault() -> int:
    """A composite of 397 digits that passes the strong test to all prime bases below 307 (F. Arnault, 1995)."""
    p = int(
        "29674495668685510550154174642905332730771991799853043350995075531276838753171770199594238596428121188033664754"
        "218345562493168782883"
    )
    return p * (313 * (p - 1) + 1) * (353 * (p - 1) + 1)


# ---- is_prime -----------------------------------------------------------------------------------------------------


def test_it_agrees_with_a_sieve() -> None:
    assert [is_prime(n) for n in range(LIMIT)] == PRIME


def test_it_agrees_with_a_sieve_around_the_square_where_division_stops_to_be_enough() -> None:
    start, end = 1009**2 - 2000, 1009**2 + 2000
    prime = sieve(end)
    assert [is_prime(n) for n in range(start, end)] == prime[start:]


def test_numbers_below_two_are_not_prime() -> None:
    assert not any(is_prime(n) for n in (1, 0, -1, -2, -7, -(10**100)))


@pytest.mark.parametrize("n", [561, 1105, 1729, 2465, 6601, 41041, 825_265, 321_197_185, 9_746_347_772_161])
def test_carmichael_numbers_are_not_prime(n: int) -> None:
    assert not is_prime(n)


@pytest.mark.parametrize("bases", range(1, 14))
def test_the_smallest_strong_pseudoprime_to_the_first_bases_passes_these_and_is_found_out(bases: int) -> None:
    n = primes._STRONG_PSEUDOPRIMES[bases - 1]
    assert all(primes._is_strong_probable_prime(n, base) for base in primes._SMALL_PRIMES[:bases])
    assert not is_prime(n)


@pytest.mark.usefixtures("arithmetic")
def test_mersenne_numbers_are_prime_at_the_known_exponents_only() -> None:
    assert tuple(e for e in range(2, 1300) if PRIME[e] and is_prime(2**e - 1)) == MERSENNE_EXPONENTS


@pytest.mark.usefixtures("arithmetic")
def test_a_composite_made_to_deceive_the_first_62_bases_is_found_out() -> None:
    n = arnault()
    assert all(primes._is_strong_probable_prime(n, base) for base in range(2, 307) if PRIME[base])
    assert not is_prime(n)


@pytest.mark.usefixtures("arithmetic")
def test_the_square_of_a_large_prime_is_not_prime() -> None:
    assert not is_prime((2**61 - 1) ** 2)


def test_the_square_of_a_wieferich_prime_passes_base_two_and_is_found_out() -> None:
    assert primes._is_strong_probable_prime(3511**2, 2)
    assert not primes._passes_baillie_psw(3511**2)


def test_the_jacobi_symbol_follows_eulers_criterion_and_is_multiplicative_in_its_lower_number() -> None:
    def legendre(a: int, p: int) -> int:
        power = pow(a, (p - 1) // 2, p)
        return power - p if power == p - 1 else power

    for p, q in [(3, 5), (7, 7), (11, 13), (17, 19), (101, 103)]:
        for a in range(-p * q, p * q):
            assert primes._jacobi(a, p) == legendre(a, p)
            assert primes._jacobi(a, p * q) == legendre(a, p) * legendre(a, q)


def test_baillie_psw_agrees_with_a_sieve() -> None:
    odd = range(1001, LIMIT, 2)
    assert [primes._passes_baillie_psw(n) for n in odd] == [PRIME[n] for n in odd]


def test_the_lucas_test_is_passed_by_all_primes_and_by_the_known_pseudoprimes_only() -> None:
    passed = [n for n in range(1001, LIMIT, 2) if math.isqrt(n) ** 2 != n and primes._is_strong_lucas_probable_prime(n)]
    assert sum(PRIME[n] for n in passed) == sum(PRIME[1001:])
    # OEIS A217255
    assert [n for n in passed if not PRIME[n]] == [
        5459, 5777, 10877, 16109, 18971, 22499, 24569, 25199, 40309, 58519, 75077, 97439
    ]  # fmt: skip


@examples(80)
@given(a=st.integers(2, 2**64), b=st.integers(2, 2**64))
def test_a_product_is_never_prime(a: int, b: int) -> None:
    assert not is_prime(a * b)


@pytest.mark.parametrize(
    "n", [True, False, 2**MAX_PRIME_BITS, -(2**MAX_PRIME_BITS)], ids=["True", "False", "long", "-long"]
)
def test_a_bool_or_a_number_of_too_many_bits_is_refused(n: int) -> None:
    with pytest.raises(ValueError, match=r"^n must "):
        is_prime(n)


# ---- factorize ----------------------------------------------------------------------------------------------------


def test_one_has_no_factors_and_a_prime_has_itself() -> None:
    assert factorize(1) == []
    assert factorize(2) == [2]
    assert factorize(2**127 - 1) == [2**127 - 1]


def test_small_numbers_factor_as_division_does_it() -> None:
    for n in range(1, 5000):
        factors = factorize(n)
        assert math.prod(factors) == n
        assert factors == sorted(factors)
        assert all(PRIME[p] for p in factors)


@pytest.mark.usefixtures("arithmetic")
@pytest.mark.parametrize(
    "factors",
    [
        [2] * 127,
        [997] * 12,
        [1009] * 12,
        [1009] * 3 + [1013] * 2,
        [1_000_003, 1_000_003],
        [1_000_003] * 3,
        [641, 6_700_417],
        [274_177, 67_280_421_310_721],
        [3, 19, 43, 5419, 77_158_673_929],
        [2, 4_294_967_291, 4_294_967_291],
        [4_294_967_279, 4_294_967_291],
        [1_099_511_627_689, 2**61 - 1],
        [2**61 - 1, 2**61 - 1],
    ],
    ids=str,
)
def test_a_product_of_known_primes_comes_apart_in_ascending_order(factors: list[int]) -> None:
    result = factorize(math.prod(factors))
    assert result == factors
    assert {type(factor) for factor in result} == {int}


@examples(40)
@given(st.lists(st.integers(1, 10**6), min_size=1, max_size=6))
def test_the_factors_are_prime_ascending_and_multiply_to_the_number(parts: list[int]) -> None:
    n = math.prod(parts)
    factors = factorize(n)
    assert math.prod(factors) == n
    assert all(is_prime(p) for p in factors)
    assert factors == sorted(factors)


@pytest.mark.parametrize(
    "n", [0, -1, -12, True, 2**MAX_FACTORIZE_BITS, 10**5000], ids=lambda n: str(n)[:12] if abs(n) < 10**40 else "long"
)
def test_zero_negatives_bools_and_numbers_of_too_many_bits_are_refused(n: int) -> None:
    with pytest.raises(ValueError, match=r"^n must "):
        factorize(n)
