"""JSON bytes to values. Any bytes give a value or a DecodingError, whoever wrote them.

    body --orjson--> tree --(a long run of digits and a huge float?)--> bare big integers into "$int" form, parsed again
                      |
                      '--(a name that begins with "$"?)--> revive: each "$" object becomes its value

Both questions are asked of the bytes first, by searches that run in C, so most bodies cost one orjson.loads and little
more. orjson alone says what is JSON. Foreign exceptions become ours in one place (`_revive_tag`).
"""

from __future__ import annotations

import binascii
import math
import re
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import date, datetime, time, timedelta, timezone, tzinfo
from decimal import Context, Decimal, InvalidOperation
from itertools import chain
from typing import Any, TypeVar
from uuid import UUID
from zoneinfo import ZoneInfo

import orjson

from ..errors import DecodingError
from .limits import ARRAY_DIMENSIONS, ARRAY_DTYPE, BARE_MAX, BARE_MIN, MAX_DECIMAL_DIGITS, MAX_NESTING

_Hashed = TypeVar("_Hashed", set[Any], dict[Any, Any])
_Clock = TypeVar("_Clock", datetime, time)

_NODES = frozenset({list, dict})

# Every digit as "0": one search then finds any run of 19 digits, the shortest integer that orjson may make a float.
_DIGITS_AS_ZEROS = bytes.maketrans(b"123456789", b"000000000")
_LONG_RUN = b"0" * 19
# Text is stepped over; a number counts when it has no fraction and no exponent.
_LONG_INTEGER = re.compile(rb'"(?:[^"\\]++|\\.)*+"?|(?<![0-9.eE+-])(-?+)([1-9][0-9]{18,}+)(?![.eE])', re.DOTALL)
_HUGE = 2.0**63

_HEX = re.compile(r"-?0x[0-9a-fA-F]+")
_NON_FINITE = frozenset({"nan", "inf", "-inf"})
_TRAPPING = Context(traps=[InvalidOperation])
_SAME_HASH_MAX = 1000


def decode(data: bytes | memoryview, *, max_nesting: int = MAX_NESTING) -> Any:
    """The value whose encoding is `data`; JSON from elsewhere is taken too, its integers exactly.

    `max_nesting` is in levels of containers: a document that holds values some levels down allows that many more.

    Raises:
        DecodingError: the bytes are not JSON, hold a "$" form that is not right, or are nested too deeply.
    """
    body = data if type(data) is bytes else bytes(data)
    try:
        body, tree = _parse(body)
        if (b"$" in body and b'"$' in body) or (b"\\" in body and b'"\\u0024' in body):
            return _revive(tree, max_nesting) if type(tree) in _NODES else tree
    except RecursionError:
        raise DecodingError("the value is nested too deeply for what is left of this thread's stack") from None
    # One level takes two bytes, so a short body needs no count; others are walked only if they have enough brackets.
    if len(body) > 2 * max_nesting and body.count(b"[") + body.count(b"{") > max_nesting:
        _check_nesting(tree, max_nesting)
    return tree


# ---- bytes to a tree --------------------------------------------------------------------------------------------


def _parse(body: bytes) -> tuple[bytes, Any]:
    """The tree of the body, and the body itself, rewritten if it held integers that orjson cannot carry."""
    long_run = _LONG_RUN in body.translate(_DIGITS_AS_ZEROS)
    try:
        tree = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        # An integer of more than 308 digits overflows orjson's float, and that is an error too.
        rewritten = _LONG_INTEGER.sub(_tag_integer, body) if long_run else body
        if rewritten == body:
            raise DecodingError(f"not JSON: {error}") from None
    else:
        if not long_run or not _has_huge_float(tree):
            return body, tree
        rewritten = _LONG_INTEGER.sub(_tag_integer, body)
        if rewritten == body:
            return body, tree
    try:
        return rewritten, orjson.loads(rewritten)
    except orjson.JSONDecodeError as error:
        raise DecodingError(f"not JSON: {error}") from None


def _tag_integer(match: re.Match[bytes]) -> bytes:
    token, sign, digits = match[0], match[1], match[2]
    if digits is None:
        return token
    if len(digits) > MAX_DECIMAL_DIGITS:
        raise DecodingError(
            f"an integer of {len(digits)} digits, more than {MAX_DECIMAL_DIGITS}; send it as"
            ' {"$int": "0x…"}, in hexadecimal digits'
        )
    number = 0
    # In pieces, because the interpreter's own limit may be set as low as 640 digits.
    for start in range(0, len(digits), 600):
        piece = digits[start : start + 600]
        number = number * 10 ** len(piece) + int(piece)
    if sign:
        number = -number
    return token if BARE_MIN <= number <= BARE_MAX else b'{"$int":"%s"}' % hex(number).encode()


def _levels(tree: Any) -> Iterator[list[Any]]:
    """All values of the tree, one list for each level of nesting, from the outermost in."""
    level = [tree]
    while level:
        yield level
        nodes = [node for node in level if type(node) in _NODES]
        level = list(chain.from_iterable(node.values() if type(node) is dict else node for node in nodes))


def _has_huge_float(tree: Any) -> bool:
    return any(
        float in set(map(type, level)) and any(type(value) is float and abs(value) >= _HUGE for value in level)
        for level in _levels(tree)
    )


def _check_nesting(tree: Any, max_nesting: int) -> None:
    for depth, level in enumerate(_levels(tree)):
        if depth >= max_nesting and not _NODES.isdisjoint(map(type, level)):
            raise _too_deep()


def _too_deep() -> DecodingError:
    return DecodingError("the value is nested too deeply")


# ---- a tree to a value ------------------------------------------------------------------------------------------


def _revive(node: Any, room: int) -> Any:
    """The value of a list or dict that orjson made, changed in place where it can be; `room` levels are left."""
    if type(node) is dict:
        if len(node) == 1:
            ((name, content),) = node.items()
            if name.startswith("$"):
                return _revive_tag(name, content, room)
        if not room:
            raise _too_deep()
        for name, content in node.items():
            if type(content) in _NODES:
                node[name] = _revive(content, room - 1)
        return node
    return _members(node, room)


def _members(node: Any, room: int) -> list[Any]:
    if type(node) is not list:
        raise ValueError("it must hold an array")
    if not room:
        raise _too_deep()
    if not _NODES.isdisjoint(map(type, node)):
        for index, content in enumerate(node):
            if type(content) in _NODES:
                node[index] = _revive(content, room - 1)
    return node


def _revive_tag(name: str, content: Any, room: int) -> Any:
    scalar = _SCALARS.get(name)
    container = _CONTAINERS.get(name)
    try:
        if scalar is not None:
            return scalar(content)
        if container is not None:
            return container(content, room)
    except (TypeError, ValueError, ArithmeticError) as error:
        if isinstance(error, DecodingError):
            raise
        raise DecodingError(f'{{"{name}": …}} is not right: {error}') from None
    raise DecodingError(
        f'{{"{name[:40]}": …}} is no form that is known here; a dict with such a key is sent as "$dict" pairs'
    )


def _tuple(content: Any, room: int) -> tuple[Any, ...]:
    return tuple(_members(content, room))


def _set(content: Any, room: int) -> set[Any]:
    members = _members(content, room)
    _check_hashes(members)
    return _all_kept(set(members), len(members))


def _frozenset(content: Any, room: int) -> frozenset[Any]:
    return frozenset(_set(content, room))


def _dict(content: Any, room: int) -> dict[Any, Any]:
    if type(content) is not list or not all(type(pair) is list and len(pair) == 2 for pair in content):
        raise ValueError("it must hold an array of pairs")
    if not room:
        raise _too_deep()
    pairs = [_members(pair, room) for pair in content]
    _check_hashes([key for key, _ in pairs])
    return _all_kept(dict(pairs), len(pairs))


def _all_kept(made: _Hashed, count: int) -> _Hashed:
    if len(made) != count:
        raise ValueError("a member or a key occurs twice")
    return made


def _check_hashes(members: list[Any]) -> None:
    """Refuses what was made to collide: hashes of numbers are not secret, and n equal ones cost n² comparisons."""
    if len(members) > _SAME_HASH_MAX and max(Counter(map(hash, members)).values()) > _SAME_HASH_MAX:
        raise ValueError(f"more than {_SAME_HASH_MAX} members or keys have the same hash")


# ---- scalars ----------------------------------------------------------------------------------------------------


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


def _bytes(content: Any) -> bytes:
    return binascii.a2b_base64(_str(content), strict_mode=True)


def _bytearray(content: Any) -> bytearray:
    return bytearray(_bytes(content))


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


def _ndarray(content: Any) -> Any:
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
    data = _bytes(content["data"])
    if math.prod(shape) * dtype.itemsize != len(data):
        raise ValueError("its data does not fit its shape")
    if dtype.kind == "b" and data.translate(None, b"\0\1"):
        raise ValueError("its data holds bytes that are no booleans")
    return numpy.ndarray(tuple(shape), dtype, data).copy()


_SCALARS: dict[str, Callable[[Any], Any]] = {
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
_CONTAINERS: dict[str, Callable[[Any, int], Any]] = {
    "$tuple": _tuple,
    "$set": _set,
    "$frozenset": _frozenset,
    "$dict": _dict,
}
