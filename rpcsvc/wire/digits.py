"""Decimal text of huge integers, quickly and whatever limit the interpreter has set.

`str(n)` refuses more than 4,300 digits (sys.set_int_max_str_digits) and takes time quadratic in their number. gmpy2 is
used where it is installed; else `decimal`, whose multiplication is subquadratic, joins short pieces pairwise.
"""

from __future__ import annotations

import decimal
import functools
import math
from collections.abc import Callable

_SHORT_BITS = 2000
"""At most 603 digits: always below the interpreter's limit, which cannot be set under 640."""

_PIECE = 64
"""Bytes of an integer that become one Decimal directly."""

_FULL = 60
"""Digits of a number that `abbreviate` leaves alone."""


def to_decimal(n: int) -> str:
    """`n` in decimal digits, like `str(n)`, for any size."""
    if n.bit_length() <= _SHORT_BITS:
        return str(n)
    digits = _gmpy2_digits() or _join_pieces
    return f"-{digits(-n)}" if n < 0 else digits(n)


def count_digits(n: int) -> int:
    """How many decimal digits `abs(n)` has; 0 has one. Exact, and without the digits themselves."""
    n = abs(n)
    if n < 10:
        return 1
    logarithm = math.log10(n)
    nearest = round(logarithm)
    # math.log10 is right to a few units in the last place, ints beyond the floats included: enough, but near a power.
    if abs(logarithm - nearest) > 1e-14 * logarithm:
        return math.floor(logarithm) + 1
    return nearest + 1 if n >= 10**nearest else nearest


def abbreviate(n: int, edge: int = 10) -> str:
    """`n` for people: in full up to 60 digits, beyond that its first and last `edge` digits and how many there are.

    Raises:
        ValueError: `edge` is below 1.
    """
    if edge < 1:
        raise ValueError(f"edge must be at least 1 digit, not {edge}")
    text = to_decimal(abs(n))
    sign = "-" if n < 0 else ""
    if len(text) <= max(_FULL, 2 * edge):
        return sign + text
    return f"{sign}{text[:edge]}…{text[-edge:]} ({len(text):,} digits)"


@functools.cache
def _gmpy2_digits() -> Callable[[int], str] | None:
    try:
        import gmpy2  # noqa: PLC0415 - optional, and needed for huge numbers only
    except ImportError:
        return None
    digits: Callable[[int], str] = gmpy2.digits
    return digits


def _join_pieces(n: int) -> str:
    """Digits of n > 0: its bytes in pieces, the least significant first, then neighbours joined until one is left."""
    exact = decimal.Context(
        prec=decimal.MAX_PREC,
        Emax=decimal.MAX_EMAX,
        Emin=decimal.MIN_EMIN,
        traps=[decimal.Inexact, decimal.InvalidOperation],
    )
    raw = n.to_bytes((n.bit_length() + 7) // 8, "little")
    numbers = [decimal.Decimal(int.from_bytes(raw[i : i + _PIECE], "little")) for i in range(0, len(raw), _PIECE)]
    base = decimal.Decimal(1 << (8 * _PIECE))
    while True:
        odd = numbers[-1:] if len(numbers) % 2 else []
        numbers = [exact.fma(high, base, low) for low, high in zip(numbers[::2], numbers[1::2], strict=False)] + odd
        if len(numbers) == 1:
            return str(numbers[0])
        base = exact.multiply(base, base)
