"""The "$" objects that are no containers: from what each holds to its value.

What is not right raises whatever the type's own constructor does; `decoding` makes that a DecodingError.
"""

from __future__ import annotations

import binascii
import math
import re
from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timedelta, timezone, tzinfo
from decimal import Context, Decimal, InvalidOperation
from functools import partial
from typing import Any, TypeAlias, TypeVar
from uuid import UUID
from zoneinfo import ZoneInfo

from ...errors import DecodingError
from .limits import ARRAY_DIMENSIONS, ARRAY_DTYPE
from .section import Section

Scalars: TypeAlias = Mapping[str, Callable[[Any], Any]]
"""By the name of the form: from what it holds to the value."""

_Data: TypeAlias = Callable[[Any], bytes | memoryview]
"""From what stands for binary data to that data."""
_Clock = TypeVar("_Clock", datetime, time)

_HEX = re.compile(r"-?0x[0-9a-fA-F]+")
_NON_FINITE = frozenset({"nan", "inf", "-inf"})
_TRAPPING = Context(traps=[InvalidOperation])


def scalars_with(section: Section) -> Scalars:
    """The forms in a body that has a raw section."""

    def data(content: Any) -> bytes | memoryview:
        return _base64(content) if type(content) is str else section.part(content)

    return {
        **SCALARS,
        "$bytes": partial(_bytes, data=data),
        "$bytearray": partial(_bytearray, data=data),
        "$ndarray": partial(_ndarray, data=data),
    }


def _str(content: Any) -> str:
    if type(content) is not str:
        raise ValueError("it must hold a string")
    return content


def _int(content: Any) -> int:
    if not _HEX.fullmatch(_str(content)):
        raise ValueError('it must hold hexadecimal digits, as in "-0x1f"')
    return int(content, 16)


def _float(content: Any) -> float:
    if _str(content) not in _NON_FINITE:
        raise ValueError('it must hold "nan", "inf" or "-inf"')
    # A new object each time: two nans in one set are two members only if they are two objects.
    return float(content)


def _part(content: Any) -> float:
    if type(content) is dict and len(content) == 1 and "$float" in content:
        return _float(content["$float"])
    if type(content) not in (int, float):
        raise ValueError("it must hold two numbers")
    return float(content)


def _complex(content: Any) -> complex:
    if type(content) is not list or len(content) != 2:
        raise ValueError("it must hold two numbers")
    return complex(_part(content[0]), _part(content[1]))


def _decimal(content: Any) -> Decimal:
    try:
        return Decimal(_str(content), _TRAPPING)
    except InvalidOperation:
        raise ValueError("it must hold a decimal number with an exponent in range") from None


def _base64(content: Any) -> bytes:
    if type(content) is dict and "raw" in content:
        raise ValueError("it refers to a raw section, and the body has none")
    return binascii.a2b_base64(_str(content), strict_mode=True)


def _bytes(content: Any, data: _Data = _base64) -> bytes:
    return bytes(data(content))


def _bytearray(content: Any, data: _Data = _base64) -> bytearray:
    return bytearray(data(content))


def _uuid(content: Any) -> UUID:
    return UUID(_str(content))


def _date(content: Any) -> date:
    return date.fromisoformat(_str(content))


def _timedelta(content: Any) -> timedelta:
    if type(content) is not list or list(map(type, content)) != [int, int, int]:
        raise ValueError("it must hold three integers")
    return timedelta(*content)


def _datetime(content: Any) -> datetime:
    return _clock(content, datetime)


def _time(content: Any) -> time:
    return _clock(content, time)


def _clock(content: Any, kind: type[_Clock]) -> _Clock:
    if type(content) is not dict:
        return kind.fromisoformat(_str(content))
    if not content.keys() <= {"at", "fold", "name", "offset", "zone"}:
        raise ValueError('it may hold "at", "fold", "name", "offset" and "zone"')
    value = kind.fromisoformat(_str(content.get("at")))
    fold = content.get("fold", 0)
    if type(fold) is not int or fold not in (0, 1):
        raise ValueError("its fold must be 0 or 1")
    return value.replace(tzinfo=_zone(content, value.tzinfo), fold=fold)


def _zone(content: dict[str, Any], zone: tzinfo | None) -> tzinfo | None:
    """The zone of a moment's object; `zone` is the one that its text held."""
    if [zone is not None, "offset" in content, "zone" in content].count(True) > 1:
        raise ValueError("it must hold one offset or one zone")
    if "zone" in content:
        zone = _place(_str(content["zone"]))
    elif "offset" in content:
        zone = timezone(_timedelta(content["offset"]))
    if "name" not in content:
        return zone
    if not isinstance(zone, timezone):
        raise ValueError("it names an offset that it does not hold")
    return timezone(zone.utcoffset(None), _str(content["name"]))


def _place(key: str) -> ZoneInfo:
    try:
        return ZoneInfo(key)
    except (LookupError, OSError, ValueError):  # OSError: a folder or a name too long, in some versions of Python
        raise ValueError(f"the time zone {key[:40]!r} is not known here; the package tzdata may be missing") from None


def _ndarray(content: Any, data: _Data = _base64) -> Any:
    try:
        import numpy  # noqa: PLC0415 - optional, and slow to import
    except ImportError:
        raise DecodingError("an array needs numpy, which is not installed here") from None
    if type(content) is not dict or content.keys() != {"dtype", "shape", "data"}:
        raise ValueError('it must hold "dtype", "shape" and "data"')
    shape = content["shape"]
    if type(shape) is not list or len(shape) > ARRAY_DIMENSIONS:
        raise ValueError(f"its shape must be an array of at most {ARRAY_DIMENSIONS} sizes")
    if not all(type(size) is int for size in shape):
        raise ValueError("its sizes must be integers")
    if not ARRAY_DTYPE.fullmatch(_str(content["dtype"])):
        raise ValueError("its dtype is not one of those that travel")
    dtype = numpy.dtype(content["dtype"])
    items = data(content["data"])
    if math.prod(shape) * dtype.itemsize != len(items):
        raise ValueError("its data does not fit its shape")
    if dtype.kind == "b" and numpy.frombuffer(items, "u1").max(initial=0) > 1:
        raise ValueError("its data holds bytes that are no booleans")
    return numpy.ndarray(tuple(shape), dtype, items).copy()


SCALARS: Scalars = {
    "$int": _int,
    "$float": _float,
    "$complex": _complex,
    "$decimal": _decimal,
    "$bytes": _bytes,
    "$bytearray": _bytearray,
    "$uuid": _uuid,
    "$date": _date,
    "$time": _time,
    "$datetime": _datetime,
    "$timedelta": _timedelta,
    "$ndarray": _ndarray,
}
