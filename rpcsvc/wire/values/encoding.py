"""Values to JSON bytes. Types are looked at exactly: a subclass would come back as its base, so it is refused.

The common case has to cost little. A flat list is judged as a whole (`set(map(type, …))` runs in C), and `encode`
leaves to orjson what orjson refuses by itself (integers over 64 bits, lone surrogates); when it does, a second and
thorough walk finds the place.
Converters take (value, room, form): the levels of containers that are left, and how to write.
Large binary data is base64 in the text, or, for `encode_parts`, left out of it and given apart.
"""

from __future__ import annotations

import binascii
import sys
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from math import isfinite
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import orjson

from ...errors import EncodingError
from ..digits import to_decimal
from .limits import ARRAY_DTYPE, BARE_MAX, BARE_MIN, MAX_NESTING, RAW_FROM, TOO_DEEP
from .refusals import Refusal, array_refusal, refusal, show
from .section import Encoded

_SEALED = MAX_NESTING // 2
"""orjson.dumps goes 254 levels deep and a dict of pairs takes three, so the inner half of a deep one is text first."""


@dataclass(frozen=True, slots=True)
class _Form:
    """How values are written.

    Attributes:
        converters: by exact type.
        thorough: whether all text and every integer is checked here, not left to orjson.
        apart: what takes large binary data and says what stands for it; None where it is base64 like any other.
    """

    converters: dict[type, Callable[[Any, int, _Form], Any]]
    thorough: bool
    apart: Callable[[Any], Any] | None = None


class _Large(Exception):
    """Raised where there is large binary data in the value."""


class _Parts:
    """The large binary data of one value, as one walk finds it."""

    def __init__(self) -> None:
        self.parts: list[bytes | memoryview] = []
        self._size = 0

    def take(self, value: Any) -> Any:
        """What refers to the data of a bytes, a bytearray or an array."""
        data = _memory(value)
        place = [self._size, len(data)]
        self.parts.append(data)
        self._size += len(data)
        return {"raw": place}


def encode(value: object) -> bytes:
    """`value` as JSON text in UTF-8.

    Raises:
        EncodingError: something in it cannot come back exactly; the sentence says where it is and what to do.
    """
    try:
        return orjson.dumps(_walk(value, _QUICK))
    except TypeError:
        return orjson.dumps(_walk(value, _EXACT))


def encode_parts(value: object) -> bytes | Encoded:
    """`value` as `encode` gives it if it holds no large binary data; else the text and, apart from it, that data.

    Raises:
        EncodingError: as `encode`.
    """
    try:
        return orjson.dumps(_walk(value, _SCOUTING))
    except (_Large, TypeError):
        # The first walk collects nothing, so that a small value pays for no collection.
        found = _Parts()
        text = orjson.dumps(_walk(value, _Form(_CONVERTERS, thorough=True, apart=found.take)))
        return Encoded(text, tuple(found.parts)) if found.parts else text


def to_jsonable(value: object) -> Any:
    """The tree that orjson.dumps turns into `encode(value)`, to be put into a larger document.

    It shares with `value` what needs no change, and holds orjson.Fragment objects where `value` is nested deeply. For a
    large value `orjson.Fragment(encode(value))` is the quicker way.

    Raises:
        EncodingError: as `encode`.
    """
    return _walk(value, _EXACT)


def encode_plain(value: object) -> bytes:
    """`value` for a reader that knows no "$" forms.

    An int becomes its decimal digits, of any length; a str its UTF-8 without quotes; anything else JSON in which
    integers are digits too and tuples are arrays. What JSON cannot say at all keeps its "$" form.

    Raises:
        EncodingError: as `encode`.
    """
    if type(value) is int:
        return to_decimal(value).encode()
    if type(value) is str:
        text: str = _walk(value, _PLAIN)
        return text.encode()
    return orjson.dumps(_walk(value, _PLAIN))


def _walk(value: object, form: _Form) -> Any:
    try:
        return form.converters.get(type(value), _other)(value, MAX_NESTING, form)
    except Refusal as refused:
        raise EncodingError(str(refused)) from None
    except RecursionError:
        raise EncodingError("the value is nested too deeply for what is left of this thread's stack") from None


# ---- scalars ----------------------------------------------------------------------------------------------------


def _as_it_is(value: Any, _room: int, _form: _Form) -> Any:
    return value


def _int(value: int, _room: int, _form: _Form) -> Any:
    return value if BARE_MIN <= value <= BARE_MAX else {"$int": hex(value)}


def _plain_int(value: int, _room: int, _form: _Form) -> Any:
    return value if BARE_MIN <= value <= BARE_MAX else orjson.Fragment(to_decimal(value))


def _float(value: float, _room: int, _form: _Form) -> Any:
    return value if isfinite(value) else {"$float": repr(value)}


def _complex(value: complex, room: int, form: _Form) -> Any:
    return {"$complex": [_float(value.real, room, form), _float(value.imag, room, form)]}


def _text(value: str) -> str:
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise Refusal(
                "text with a lone surrogate is not Unicode; pass bytes, or repair it with"
                " value.encode('utf-8', 'replace').decode()"
            ) from None
    return value


def _str(value: str, _room: int, form: _Form) -> Any:
    return _text(value) if form.thorough else value


def _decimal(value: Decimal, _room: int, _form: _Form) -> Any:
    return {"$decimal": str(value)}


def _bytes(value: bytes, _room: int, form: _Form) -> Any:
    return {"$bytes": _base64(value) if form.apart is None or len(value) < RAW_FROM else form.apart(value)}


def _bytearray(value: bytearray, _room: int, form: _Form) -> Any:
    return {"$bytearray": _base64(value) if form.apart is None or len(value) < RAW_FROM else form.apart(value)}


def _base64(value: bytes | bytearray) -> str:
    return binascii.b2a_base64(value, newline=False).decode("ascii")


def _memory(value: Any) -> bytes | memoryview:
    """The bytes of a bytes, a bytearray or an array, where they are; of an array that is not in C order, a copy."""
    if type(value) is bytes:
        return value
    if type(value) is bytearray:
        return memoryview(value)
    # It is numpy that sees them as bytes: a memoryview of complex numbers or of swapped ones cannot be cast.
    seen: memoryview = value.ravel().view("u1").data
    return seen


def _report(_value: Any) -> Any:
    raise _Large


def _uuid(value: UUID, _room: int, _form: _Form) -> Any:
    return {"$uuid": str(value)}


def _date(value: date, _room: int, _form: _Form) -> Any:
    return {"$date": value.isoformat()}


def _timedelta(value: timedelta, _room: int, _form: _Form) -> Any:
    return {"$timedelta": _span(value)}


def _span(value: timedelta) -> list[int]:
    return [value.days, value.seconds, value.microseconds]


def _datetime(value: datetime, _room: int, _form: _Form) -> Any:
    return {"$datetime": _clock(value)}


def _time(value: time, _room: int, _form: _Form) -> Any:
    return {"$time": _clock(value)}


def _clock(value: datetime | time) -> Any:
    """ISO 8601 text, in an object with what that cannot say: zone, fold, the name or the fraction of an offset."""
    zone = value.tzinfo
    more: dict[str, Any] = {"fold": 1} if value.fold else {}
    text = value
    if type(zone) is ZoneInfo and zone.key is not None:
        more["zone"] = _text(zone.key)
        text = value.replace(tzinfo=None)
    elif type(zone) is timezone:
        name, offset = zone.tzname(None), zone.utcoffset(None)
        if name != timezone(offset).tzname(None):
            more["name"] = _text(name)
        if offset.microseconds:
            # fromisoformat takes an offset below one second for UTC.
            more["offset"] = _span(offset)
            text = value.replace(tzinfo=None)
    elif zone is not None:
        raise Refusal(
            f"a tzinfo of type {show(type(zone))} does not travel unless it is a datetime.timezone, or a"
            " zoneinfo.ZoneInfo that has a key; use one of these"
        )
    return {"at": text.isoformat(), **more} if more else text.isoformat()


def _other(value: Any, _room: int, form: _Form) -> Any:
    """An array, where numpy is loaded; everything else ends here."""
    numpy = sys.modules.get("numpy")
    if numpy is None or type(value) is not numpy.ndarray:
        raise refusal(value)
    if not ARRAY_DTYPE.fullmatch(value.dtype.str):
        raise array_refusal(value)
    data = _base64(value.tobytes()) if form.apart is None or value.nbytes < RAW_FROM else form.apart(value)
    return {"$ndarray": {"dtype": value.dtype.str, "shape": list(value.shape), "data": data}}


# ---- containers -------------------------------------------------------------------------------------------------


def _list(value: list[Any], room: int, form: _Form) -> Any:
    if not room:
        raise Refusal(TOO_DEEP)
    if _stand_for_themselves(value, form):
        return value
    return _seal(_members(value, room, form), room)


def _stand_for_themselves(values: Collection[Any], form: _Form) -> bool:
    """Whether orjson writes all of them as it must; False where only a look at each can tell."""
    kinds = set(map(type, values))
    if not kinds <= _BARE:
        return False
    if float in kinds:
        # A nan or an infinity makes the sum one. So may too large a sum, which the walk then sorts out.
        if len(kinds) == 1:
            return isfinite(sum(values))
        if not all(map(isfinite, [value for value in values if type(value) is float])):
            return False
    if not form.thorough or kinds <= _CONSTANTS:
        return True
    if kinds == {int}:
        return bool(min(values) >= BARE_MIN and max(values) <= BARE_MAX)
    return kinds == {str} and all(map(str.isascii, values))


def _tuple(value: tuple[Any, ...], room: int, form: _Form) -> Any:
    return _seal({"$tuple": _members(value, room, form)}, room)


def _plain_tuple(value: tuple[Any, ...], room: int, form: _Form) -> Any:
    return _seal(_members(value, room, form), room)


def _set(value: set[Any], room: int, form: _Form) -> Any:
    return _seal({"$set": _members(value, room, form)}, room)


def _frozenset(value: frozenset[Any], room: int, form: _Form) -> Any:
    return _seal({"$frozenset": _members(value, room, form)}, room)


def _dict(value: dict[Any, Any], room: int, form: _Form) -> Any:
    if not room:
        raise Refusal(TOO_DEEP)
    if not _has_plain_keys(value, form):
        keys = _members(value, room, form, ".keys()")
        return _seal({"$dict": [[key, _item(value, k, room, form)] for key, k in zip(keys, value, strict=True)]}, room)
    if _stand_for_themselves(value.values(), form):
        return value
    return _seal({key: _item(value, key, room, form) for key in value}, room)


def _has_plain_keys(value: dict[Any, Any], form: _Form) -> bool:
    """Whether every key can be the name of a member; refuses text that is not Unicode."""
    if not set(map(type, value)) <= {str}:
        return False
    names = "".join(value)
    if "$" in names and any(key.startswith("$") for key in value):
        return False
    if form.thorough and not names.isascii():
        _members(value, MAX_NESTING, form, ".keys()")
    return True


def _item(value: dict[Any, Any], key: Any, room: int, form: _Form) -> Any:
    try:
        item = value[key]
        return form.converters.get(type(item), _other)(item, room - 1, form)
    except Refusal as refused:
        raise refused.inside(f"[{show(key)}]") from None


def _members(values: Iterable[Any], room: int, form: _Form, what: str = "") -> list[Any]:
    if not room:
        raise Refusal(TOO_DEEP)
    out: list[Any] = []
    converter = form.converters.get
    try:
        for value in values:
            out.append(converter(type(value), _other)(value, room - 1, form))  # noqa: PERF401 - its length tells the place
    except Refusal as refused:
        raise refused.inside(f"{what}[{len(out)}]") from None
    return out


def _seal(tree: Any, room: int) -> Any:
    return orjson.Fragment(orjson.dumps(tree)) if room == _SEALED else tree


_CONSTANTS = {bool, type(None)}
_BARE = {*_CONSTANTS, int, float, str}
_CONVERTERS: dict[type, Callable[[Any, int, _Form], Any]] = {
    type(None): _as_it_is,
    bool: _as_it_is,
    int: _int,
    float: _float,
    complex: _complex,
    str: _str,
    Decimal: _decimal,
    bytes: _bytes,
    bytearray: _bytearray,
    UUID: _uuid,
    date: _date,
    time: _time,
    datetime: _datetime,
    timedelta: _timedelta,
    list: _list,
    tuple: _tuple,
    set: _set,
    frozenset: _frozenset,
    dict: _dict,
}
_QUICK = _Form(_CONVERTERS, thorough=False)
_SCOUTING = _Form(_CONVERTERS, thorough=False, apart=_report)
_EXACT = _Form(_CONVERTERS, thorough=True)
_PLAIN = _Form({**_CONVERTERS, int: _plain_int, tuple: _plain_tuple}, thorough=True)

TYPES: frozenset[type] = frozenset(_CONVERTERS)
"""The types whose values travel, besides numpy.ndarray."""
