"""Fibonacci numbers, exact for any size that can travel in a message.

Two ways to the same number: plain ints, and GMP for the large ones where gmpy2 is installed. For F(10^6) GMP is about
twelve times as fast (CPython multiplies by Karatsuba's method, GMP by faster ones); an int of its result adds 3 %.
"""

from __future__ import annotations

from ._checks import whole_number
from ._gmp import gmp

MAX_N = 10**8
"""The largest n. F(10^8) has 69,424,191 bits, or 20,898,764 decimal digits: 9.3 MB as an int, 17.4 MB in hexadecimal.
With gmpy2 it takes well under a second, with plain ints half a minute. F(4 * 10^8) would no longer fit into 64 MiB of
hexadecimal text."""

_GMP_FROM = 5_000
"""From this n on GMP is asked for. Below, plain ints need less than 20 µs, and a worker that only sees such n is spared
the loading of gmpy2."""


def fib(n: int) -> int:
    """The Fibonacci number F(n): F(0) = 0, F(1) = 1, F(n) = F(n - 1) + F(n - 2).

    Args:
        n: the index, 0 to MAX_N. The result has about 0.694 n bits or 0.209 n decimal digits.

    Raises:
        ValueError: n is a bool, negative or above MAX_N; nothing has been computed then.
    """
    whole_number("n", n, least=0, most=MAX_N)
    if n >= _GMP_FROM and (gmpy2 := gmp()) is not None:
        return int(gmpy2.fib(n))
    return _fib(n)


def _fib(n: int) -> int:
    """F(n) in plain ints, by doubling over the bits of n from the top: two squarings a bit, one product for the last.

    The identities, with (-1)^k as `sign` (GMP manual, section "Fibonacci Numbers Algorithm"):

        F(2k+1) = 4 F(k)^2 - F(k-1)^2 + 2 (-1)^k
        F(2k-1) =   F(k)^2 + F(k-1)^2
        F(2k)   = F(2k+1) - F(2k-1) = F(k) (F(k) + 2 F(k-1))

    Squaring costs CPython about two thirds of a product, and only one number is needed at the lowest bit.
    """
    if n < 2:
        return n
    this, previous, sign = 1, 0, -1  # F(k), F(k-1), (-1)^k for k = 1, the highest bit of n
    for bit in range(n.bit_length() - 2, 0, -1):
        square, previous_square = this * this, previous * previous
        above = 4 * square - previous_square + 2 * sign
        below = square + previous_square
        if n >> bit & 1:
            this, previous, sign = above, above - below, -1
        else:
            this, previous, sign = above - below, below, 1
    if n & 1:
        return (2 * this + previous) * (2 * this - previous) + 2 * sign
    return this * (this + 2 * previous)
