"""Hashes: work that the C library does, in pieces as short as one hash."""

from __future__ import annotations

import hashlib

from ._checks import whole_number

MAX_ROUNDS = 10**8
"""The largest number of rounds: about half a minute."""


def sha256(data: bytes | str, rounds: int = 1) -> str:
    """SHA-256 (FIPS 180-4) of data, and then of the digest again, until it is done `rounds` times.

    Args:
        data: the bytes, or text that is hashed as UTF-8.
        rounds: 1 to MAX_ROUNDS. Every round after the first hashes the 32 bytes of the digest before, not its text.

    Returns:
        The last digest as 64 lower-case hexadecimal digits.

    Raises:
        ValueError: rounds is a bool or out of its range, or the text has no UTF-8 (a lone surrogate); nothing has been
            computed then.
    """
    whole_number("rounds", rounds, least=1, most=MAX_ROUNDS)
    digest = data.encode() if isinstance(data, str) else data
    for _ in range(rounds):
        digest = hashlib.sha256(digest).digest()
    return digest.hex()
