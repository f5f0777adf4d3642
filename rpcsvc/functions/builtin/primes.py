"""Prime numbers: a test and a factorisation, the same answers with and without gmpy2.

The test is a proof below 3.3 * 10^24 (Miller-Rabin with enough bases). Above, it is Baillie-PSW: no composite that
passes is known, and there is none below 2^64.
"""

from __future__ import annotations

from bisect import bisect_right
from itertools import count
from math import gcd, isqrt
from typing import Any

from ._checks import few_bits, whole_number
from ._gmp import gmp

MAX_PRIME_BITS = 20_000
"""The most bits for is_prime (6,020 digits). A prime of that size takes 2 s with gmpy2 and 17 s without."""

MAX_FACTORIZE_BITS = 128
"""The most bits for factorize."""

_STRONG_PSEUDOPRIMES = (
    # The smallest composite that passes the strong test to each of the first 1, 2, ... 13 primes (OEIS A014233; the
    # last two by Sorenson and Webster, Mathematics of Computation 86 (2017)).
    2047,
    1_373_653,
    25_326_001,
    3_215_031_751,
    2_152_302_898_747,
    3_474_749_660_383,
    341_550_071_728_321,
    341_550_071_728_321,
    3_825_123_056_546_413_051,
    3_825_123_056_546_413_051,
    3_825_123_056_546_413_051,
    318_665_857_834_031_151_167_461,
    3_317_044_064_679_887_385_961_981,
)
_PROVEN_BELOW = _STRONG_PSEUDOPRIMES[-1]

_SMALL_PRIMES = tuple(p for p in range(2, 1000) if all(p % d for d in range(2, isqrt(p) + 1)))
_SMALL_LIMIT = 1009 * 1009
"""Below the square of the next prime, a number without a small prime factor is prime."""

_RHO_BATCH = 256
"""Steps of Pollard's rho for one gcd: a gcd costs some tens of steps."""


def is_prime(n: int) -> bool:
    """Whether n is a prime number; numbers below 2, negative ones included, are not.

    Certain for n below 3,317,044,064,679,887,385,961,981; a Baillie-PSW probable prime above (see the module).

    Args:
        n: at most MAX_PRIME_BITS bits.

    Raises:
        ValueError: n is a bool or has too many bits; nothing has been computed then.
    """
    whole_number("n", n)
    few_bits("n", n, MAX_PRIME_BITS)
    return n >= 2 and _is_prime(n)


def factorize(n: int) -> list[int]:
    """The prime factors of n in ascending order, each as often as it divides n; 1 has none.

    Small primes by division, the rest by Pollard's rho method as Brent improved it (BIT 20 (1980)). The time goes with
    the square root of the second largest prime factor: for a product of two equal halves about 20 ms at 64 bits, 1 s at
    88 bits, and twice as much for every 4 bits more, so a quarter of an hour at 128 bits. The method draws no random
    numbers, so a call takes the same steps every time.

    Args:
        n: at least 1, at most MAX_FACTORIZE_BITS bits.

    Raises:
        ValueError: n is a bool, below 1, or has too many bits; nothing has been computed then.
    """
    whole_number("n", n, least=1)
    few_bits("n", n, MAX_FACTORIZE_BITS)
    factors = []
    for prime in _SMALL_PRIMES:
        if prime * prime > n:
            break
        while n % prime == 0:
            factors.append(prime)
            n //= prime
    parts = [n] if n > 1 else []
    while parts:
        part = parts.pop()
        if _is_prime(part):
            factors.append(part)
        else:
            divisor = _divisor(part)
            parts += (divisor, part // divisor)
    return sorted(factors)


def _is_prime(n: int) -> bool:
    """Whether n, at least 2, is prime."""
    for prime in _SMALL_PRIMES:
        if n % prime == 0:
            return n == prime
    if n < _SMALL_LIMIT:
        return True
    if n < _PROVEN_BELOW:
        return _passes_miller_rabin(n)
    if (gmpy2 := gmp()) is not None:
        return bool(gmpy2.is_strong_bpsw_prp(n))
    return _passes_baillie_psw(n)


# ---- primality ----------------------------------------------------------------------------------------------------


def _passes_miller_rabin(n: int) -> bool:
    """The strong test to as many prime bases as decide it for this n: odd, above 41, below _PROVEN_BELOW."""
    bases = bisect_right(_STRONG_PSEUDOPRIMES, n) + 1
    return all(_is_strong_probable_prime(n, base) for base in _SMALL_PRIMES[:bases])


def _is_strong_probable_prime(n: int, base: int) -> bool:
    """The test of Miller and Rabin to one base, for odd n above the base."""
    twos = ((n - 1) & (1 - n)).bit_length() - 1
    x = pow(base, n >> twos, n)
    if x in (1, n - 1):
        return True
    for _ in range(twos - 1):
        x = x * x % n
        if x == n - 1:
            return True
    return False


def _passes_baillie_psw(n: int) -> bool:
    """The strong tests to base 2 and of Lucas, n odd (Baillie and Wagstaff, Mathematics of Computation 35 (1980))."""
    # A square has no D with Jacobi symbol -1: the Lucas test would look for one for ever.
    return _is_strong_probable_prime(n, 2) and isqrt(n) ** 2 != n and _is_strong_lucas_probable_prime(n)


def _is_strong_lucas_probable_prime(n: int) -> bool:
    """The strong Lucas test with Selfridge's parameters (his method A: P = 1, Q = (1 - D) / 4).

    For odd n above 1000 that is no square.
    """
    d = next(d for d in (k if k % 4 == 1 else -k for k in count(5, 2)) if _jacobi(d, n) == -1)
    p, q = 1, (1 - d) // 4
    twos = ((n + 1) & -(n + 1)).bit_length() - 1
    u, v, q_power = 1, p, q  # U(k), V(k), Q^k modulo n for k = 1
    for bit in bin((n + 1) >> twos)[3:]:
        u, v, q_power = u * v % n, (v * v - 2 * q_power) % n, q_power * q_power % n
        if bit == "1":
            u, v, q_power = _half(p * u + v, n), _half(d * u + p * v, n), q_power * q % n
    if u == 0 or v == 0:
        return True
    for _ in range(twos - 1):
        v, q_power = (v * v - 2 * q_power) % n, q_power * q_power % n
        if v == 0:
            return True
    return False


def _half(x: int, n: int) -> int:
    """x / 2 modulo the odd n."""
    return (x + n if x & 1 else x) // 2 % n


def _jacobi(a: int, n: int) -> int:
    """The Jacobi symbol (a/n) for odd positive n, by the law of quadratic reciprocity."""
    a %= n
    symbol = 1
    while a:
        twos = (a & -a).bit_length() - 1
        a >>= twos
        if twos & 1 and n & 7 in (3, 5):
            symbol = -symbol
        if a & n & 3 == 3:
            symbol = -symbol
        a, n = n % a, a
    return symbol if n == 1 else 0


# ---- factors ------------------------------------------------------------------------------------------------------


def _divisor(n: int) -> int:
    """A divisor of the odd composite n other than 1 and n."""
    root = isqrt(n)
    if root * root == n:
        return root
    # GMP's numbers make a step half again as fast, also at this size.
    number = n if (gmpy2 := gmp()) is None else gmpy2.mpz(n)
    return next(divisor for divisor in (_rho(number, c) for c in count(1)) if divisor != n)


def _rho(n: Any, c: int) -> int:
    """A divisor of n above 1, perhaps n itself, by Brent's form of Pollard's rho with x -> x^2 + c; n an int or mpz.

    Differences are multiplied, and only every _RHO_BATCH steps there is a gcd with n. Where that is n itself, several
    factors fell into one batch, which is walked again step by step.
    """
    y, divisor, reach, product = 2, 1, 1, 1
    while divisor == 1:
        x = y
        for _ in range(reach):
            y = (y * y + c) % n
        for done in range(0, reach, _RHO_BATCH):
            start = y
            for _ in range(min(_RHO_BATCH, reach - done)):
                y = (y * y + c) % n
                product = product * (x - y) % n
            divisor = gcd(product, n)
            if divisor > 1:
                break
        reach *= 2
    if divisor == n:
        divisor = 1
        while divisor == 1:
            start = (start * start + c) % n
            divisor = gcd(x - start, n)
    return divisor
