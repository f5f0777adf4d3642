"""What both directions agree on: the bounds of a value and the names of what travels inside an array."""

from __future__ import annotations

import re

MAX_NESTING = 100
"""Levels of containers (list, tuple, dict, set, frozenset) in one value."""

MAX_DECIMAL_DIGITS = 4300
"""Digits of an integer in JSON text. Conversion from decimal is quadratic; Python's own default limit is the same."""

BARE_MIN = -(2**63)
BARE_MAX = 2**64 - 1
"""The integers that orjson reads and writes exactly."""

ARRAY_DTYPE = re.compile(r"\|b1|\|[iu]1|[<>](?:[iu][248]|f[248]|c8|c16)")
"""`dtype.str` of arrays that travel. Wider floats differ between machines; objects, text and records are no numbers."""

RAW_FROM = 32 * 1024
"""Bytes from which binary data travels in the raw section. Base64 of less costs little, and needs nothing but JSON."""

ARRAY_DIMENSIONS = 64
"""As numpy's own limit."""

TOO_DEEP = f"the value is nested more than {MAX_NESTING} levels deep, or contains itself"
