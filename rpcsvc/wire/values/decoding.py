"""JSON bytes to values. Any bytes give a value or a DecodingError, whoever wrote them.

    body --orjson--> tree --(a long run of digits and a huge float?)--> bare big integers into "$int" form, parsed again
                      |
                      '--(a name that begins with "$"?)--> revive: each "$" object becomes its value

Both questions are asked of the bytes first, by searches that run in C, so most bodies cost one orjson.loads and little
more; a raw section is cut off before, and read when something refers to it. orjson alone says what is JSON. Foreign
exceptions become ours in one place (`_revive_tag`).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any, TypeVar

import orjson

from ...errors import DecodingError
from .limits import BARE_MAX, BARE_MIN, MAX_DECIMAL_DIGITS, MAX_NESTING
from .scalars import SCALARS, Scalars, scalars_with
from .section import NUL, Section

_Hashed = TypeVar("_Hashed", set[Any], dict[Any, Any])

_NODES = frozenset({list, dict})

# Every digit as "0": one search then finds any run of 19 digits, the shortest integer that orjson may make a float.
_DIGITS_AS_ZEROS = bytes.maketrans(b"123456789", b"000000000")
_LONG_RUN = b"0" * 19
# Text is stepped over; a number counts when it has no fraction and no exponent.
_LONG_INTEGER = re.compile(rb'"(?:[^"\\]++|\\.)*+"?|(?<![0-9.eE+-])(-?+)([1-9][0-9]{18,}+)(?![.eE])', re.DOTALL)
_HUGE = 2.0**63

_SAME_HASH_MAX = 1000


def decode(data: bytes | memoryview, *, max_nesting: int = MAX_NESTING) -> Any:
    """The value whose encoding is `data`; JSON from elsewhere is taken too, its integers exactly.

    `max_nesting` is in levels of containers: a document that holds values some levels down allows that many more.

    Raises:
        DecodingError: the bytes are not JSON, hold a "$" form that is not right, or are nested too deeply.
    """
    body = data if type(data) is bytes else bytes(data)
    scalars = SCALARS
    if NUL in body:
        end = body.index(NUL)
        scalars = scalars_with(Section(memoryview(body)[end + 1 :]))
        body = body[:end]
    try:
        body, tree = _parse(body)
        if (b"$" in body and b'"$' in body) or (b"\\" in body and b'"\\u0024' in body):
            return _revive(tree, max_nesting, scalars) if type(tree) in _NODES else tree
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


def _revive(node: Any, room: int, scalars: Scalars) -> Any:
    """The value of a list or dict that orjson made, changed in place where it can be; `room` levels are left."""
    if type(node) is dict:
        if len(node) == 1:
            ((name, content),) = node.items()
            if name.startswith("$"):
                return _revive_tag(name, content, room, scalars)
        if not room:
            raise _too_deep()
        for name, content in node.items():
            if type(content) in _NODES:
                node[name] = _revive(content, room - 1, scalars)
        return node
    return _members(node, room, scalars)


def _members(node: Any, room: int, scalars: Scalars) -> list[Any]:
    if type(node) is not list:
        raise ValueError("it must hold an array")
    if not room:
        raise _too_deep()
    if not _NODES.isdisjoint(map(type, node)):
        for index, content in enumerate(node):
            if type(content) in _NODES:
                node[index] = _revive(content, room - 1, scalars)
    return node


def _revive_tag(name: str, content: Any, room: int, scalars: Scalars) -> Any:
    scalar = scalars.get(name)
    container = _CONTAINERS.get(name)
    try:
        if scalar is not None:
            return scalar(content)
        if container is not None:
            return container(content, room, scalars)
    except (TypeError, ValueError, ArithmeticError) as error:
        if isinstance(error, DecodingError):
            raise
        raise DecodingError(f'{{"{name}": …}} is not right: {error}') from None
    raise DecodingError(
        f'{{"{name[:40]}": …}} is no form that is known here; a dict with such a key is sent as "$dict" pairs'
    )


def _tuple(content: Any, room: int, scalars: Scalars) -> tuple[Any, ...]:
    return tuple(_members(content, room, scalars))


def _set(content: Any, room: int, scalars: Scalars) -> set[Any]:
    members = _members(content, room, scalars)
    _check_hashes(members)
    return _all_kept(set(members), len(members))


def _frozenset(content: Any, room: int, scalars: Scalars) -> frozenset[Any]:
    return frozenset(_set(content, room, scalars))


def _dict(content: Any, room: int, scalars: Scalars) -> dict[Any, Any]:
    if type(content) is not list or not all(type(pair) is list and len(pair) == 2 for pair in content):
        raise ValueError("it must hold an array of pairs")
    if not room:
        raise _too_deep()
    pairs = [_members(pair, room, scalars) for pair in content]
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


_CONTAINERS: dict[str, Callable[[Any, int, Scalars], Any]] = {
    "$tuple": _tuple,
    "$set": _set,
    "$frozenset": _frozenset,
    "$dict": _dict,
}
