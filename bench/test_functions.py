"""How long the built-in functions take, beside the same work done another way.

`pytest bench --benchmark-enable` measures; without the option each runs once and only its result is checked.
Groups share a group name so that the table shows the ways side by side.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from rpcsvc.functions import factorize, fib, is_prime, monte_carlo_pi, sha256
from rpcsvc.functions.builtin import fibonacci, primes
from rpcsvc.functions.builtin._gmp import gmp

gmpy2 = gmp()


def by_addition(n: int) -> int:
    this, following = 0, 1
    for _ in range(n):
        this, following = following, this + following
    return this


def by_gmp(n: int) -> int:
    return int(gmpy2.fib(n))


WAYS = [
    pytest.param(fib, id="fib"),
    pytest.param(fibonacci._fib, id="plain ints"),
    pytest.param(by_gmp, id="gmpy2", marks=pytest.mark.skipif(gmpy2 is None, reason="gmpy2 is not installed")),
]


@pytest.mark.parametrize("n", [30, 1000, 100_000])
@pytest.mark.parametrize("compute", [*WAYS, pytest.param(by_addition, id="addition")])
def test_a_fibonacci_number(benchmark: BenchmarkFixture, compute: Callable[[int], int], n: int) -> None:
    benchmark.group = f"fib({n:,})"
    assert benchmark(compute, n) == by_addition(n)


@pytest.mark.parametrize("compute", WAYS)  # by addition it would take some ten seconds
def test_the_millionth_fibonacci_number(benchmark: BenchmarkFixture, compute: Callable[[int], int]) -> None:
    benchmark.group = "fib(1,000,000)"
    result = benchmark.pedantic(compute, args=(10**6,), rounds=5, warmup_rounds=1)
    assert 10**208_987 <= result < 10**208_988


@pytest.mark.parametrize("exponent", [61, 127, 1279], ids=lambda exponent: f"2^{exponent}-1")
def test_a_mersenne_prime_is_recognised(benchmark: BenchmarkFixture, exponent: int) -> None:
    benchmark.group = "is_prime"
    assert benchmark(is_prime, 2**exponent - 1)


@pytest.mark.parametrize("exponent", [127, 1279], ids=lambda exponent: f"2^{exponent}-1")
def test_a_mersenne_prime_is_recognised_in_plain_ints(benchmark: BenchmarkFixture, exponent: int) -> None:
    benchmark.group = "is_prime"
    assert benchmark(primes._passes_baillie_psw, 2**exponent - 1)


@pytest.mark.parametrize("halves", [(65_521, 65_537), (4_294_967_279, 4_294_967_291)], ids=["32 bits", "64 bits"])
def test_a_product_of_two_equal_halves_is_factorized(benchmark: BenchmarkFixture, halves: tuple[int, int]) -> None:
    benchmark.group = "factorize"
    assert benchmark(factorize, math.prod(halves)) == list(halves)


@pytest.mark.parametrize("rounds", [1, 10_000])
def test_sha256_is_repeated(benchmark: BenchmarkFixture, rounds: int) -> None:
    benchmark.group = f"sha256, {rounds} rounds"
    assert len(benchmark(sha256, b"abc", rounds)) == 64


def test_pi_is_estimated(benchmark: BenchmarkFixture) -> None:
    benchmark.group = "monte_carlo_pi(10**5)"
    assert abs(benchmark(monte_carlo_pi, 10**5, 1) - math.pi) < 0.03
