"""Whether two values are the same to the last detail, where `==` is not enough."""

from __future__ import annotations

import math
import struct
from typing import Any

import numpy


def exact(value: Any) -> str:
    """Text that two values share only if they are the same in type, value and order; sets are put in order."""
    kind = type(value).__name__
    match value:
        case dict():
            return f"{kind}({', '.join(f'{exact(key)}: {exact(item)}' for key, item in value.items())})"
        case list() | tuple():
            return f"{kind}({', '.join(map(exact, value))})"
        case set() | frozenset():
            return f"{kind}({', '.join(sorted(map(exact, value)))})"
        case float():
            return f"{kind}({'nan' if math.isnan(value) else struct.pack('>d', value).hex()})"
        case complex():
            return f"{kind}({exact(value.real)},{exact(value.imag)})"
        case bool() | None | str() | bytes() | bytearray():
            return f"{kind}({value!r})"
        case int():
            return f"{kind}({value:x})"
        case numpy.ndarray():
            return f"{kind}({value.dtype.str},{value.shape},{value.tobytes().hex()})"
    return f"{kind}({value!r})"  # datetime shows fold and zone, Decimal its exponent
