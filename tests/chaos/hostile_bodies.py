"""The bodies of hostile messages: what is no JSON, no request, or one that asks for the impossible."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

_WORDS = [
    "jsonrpc",
    "2.0",
    "id",
    "method",
    "params",
    "rpc.map",
    "rows",
    "columns",
    "ids",
    "raw",
    "*",
    "echo",
    "fib",
    "$",
]
_TAGS = ["$int", "$float", "$complex", "$decimal", "$bytes", "$bytearray", "$tuple", "$set", "$frozenset", "$dict"]
_TAGS += ["$uuid", "$date", "$time", "$datetime", "$timedelta", "$ndarray", "$", "$unknown"]


def request(method: Any = "echo", params: Any = (7,), **members: Any) -> bytes:
    """A request in order, but for what it is given."""
    return json.dumps({"jsonrpc": "2.0", "id": "7", "method": method, "params": params, **members}).encode()


def _bad_json(rng: random.Random) -> bytes:
    body = bytearray(request(params=[{"a": [1, "é", 2**70]}, {"$bytes": "YWI="}]))
    match rng.randrange(6):
        case 0:
            return bytes(body[: rng.randrange(len(body))])
        case 1:
            for _ in range(rng.randint(1, 5)):
                body[rng.randrange(len(body))] = rng.randrange(256)
            return bytes(body)
        case 2:
            at = rng.randrange(len(body))
            return bytes(body[:at] + rng.randbytes(rng.randint(1, 30)) + body[at:])
        case 3:
            return b"\xef\xbb\xbf" + body
        case 4:
            return body.decode().encode(rng.choice(["utf-16", "utf-32", "utf-7", "latin-1"]), "replace")
        case _:
            wrong = rng.choice(
                [b"NaN", b"-Infinity", b'"\\ud800"', b'"\xff\xfe"', b"01", b"+1", b"1.", b"'a'", b"[1,]"]
            )
            return b'{"jsonrpc":"2.0","id":1,"method":"echo","params":[' + wrong + b"]}"


def _garbage(rng: random.Random) -> bytes:
    return rng.randbytes(rng.choice([1, 10, 1000, 10_000]))


def _a_megabyte_of_garbage(rng: random.Random) -> bytes:
    return rng.randbytes(1_000_000)


def _nothing(_: random.Random) -> bytes:
    return b""


def _any_json(rng: random.Random, depth: int = 4) -> Any:
    kind = rng.randrange(9 if depth else 6)
    if kind >= 6:
        some = [_any_json(rng, depth - 1) for _ in range(rng.randrange(4))]
        if kind == 6:
            return some
        names = _TAGS if kind == 7 else _WORDS
        return {rng.choice(names): each for each in (some[:1] if kind == 7 else some)}
    return rng.choice(
        [None, True, rng.getrandbits(rng.choice([1, 63, 70])), rng.random(), "x" * rng.randrange(300), ""]
    )


def _wrong_types(rng: random.Random) -> bytes:
    members = {name: _any_json(rng) for name in rng.sample(["jsonrpc", "id", "method", "params", "raw"], 2)}
    return json.dumps(rng.choice([_any_json(rng), json.loads(request()) | members])).encode()


def _deep_nesting(rng: random.Random) -> bytes:
    return _nested(rng, rng.choice([99, 105, 1023, 1025]))


def _very_deep_nesting(rng: random.Random) -> bytes:
    return _nested(rng, rng.choice([20_000, 200_000]))


def _nested(rng: random.Random, levels: int) -> bytes:
    begin, end = rng.choice([(b"[", b"]"), (b'{"a":', b"}"), (b'{"$tuple":[', b"]}"), (b'{"$dict":[[1,', b"]]}")])
    nested = begin * levels + b"1" + end * levels
    return rng.choice([nested, b'{"jsonrpc":"2.0","id":1,"method":"echo","params":[' + nested + b"]}", begin * levels])


def _many_digits(rng: random.Random) -> bytes:
    digits = str(rng.randint(1, 9)).encode() * rng.choice([19, 400, 4300, 4301, 20_000])
    number = rng.choice([b"%b", b"-%b", b"%b.5", b"%be9", b"1e%b", b"0.%b", b"1E-%b"]) % digits
    return rng.choice([number, b"[%b]" % number, request(params=["?"]).replace(b'"?"', number)])


def _ten_million_digits(_: random.Random) -> bytes:
    return request(params=["?"]).replace(b'"?"', b"7" * 10**7)


def _a_wrong_form(rng: random.Random) -> bytes:
    wrong = rng.choice(
        [
            {"$ndarray": {"dtype": "<f8", "shape": [2**40, 2**40], "data": ""}},
            {"$ndarray": {"dtype": "O", "shape": [1], "data": "AAAAAAAAAAA="}},
            {"$ndarray": {"dtype": "<i8", "shape": [0] * 70, "data": ""}},
            {"$ndarray": {"dtype": "<i8", "shape": [-1, -8], "data": "A" * 64}},
            {"$decimal": "1E+999999999999999999"},
            {"$decimal": "1" * 5000 + "E-99999999999999999999"},
            {"$set": [number * (2**61 - 1) for number in range(1500)]},
            {"$set": [{"$decimal": "1E+999999999"}, {"$decimal": "1E-999999999"}, 1.5]},
            {"$dict": [[[], 1]]},
            {"$dict": [[{"$float": "nan"}, 1]] * 3},
            {"$datetime": {"at": "2024-10-27T02:30:00", "zone": "../../../etc/passwd"}},
            {"$datetime": {"at": "9999-12-31T23:59:59", "offset": [0, 2**63, 0]}},
            {"$timedelta": [10**9, 10**9, 10**9]},
            {"$int": "0x" + "f" * 100_000},
            {"$bytes": "====" * 1000},
            {"$bytes": {"raw": [0, 2**62]}},
            {"$complex": [{"$float": "nan"}, None]},
            {"$uuid": "0" * 10_000},
            {rng.choice(_TAGS): _any_json(rng)},
        ]
    )
    return request(method=rng.choice(["echo", "fib", "sha256"]), params=[wrong])


def _a_wrong_raw_section(rng: random.Random) -> bytes:
    places = [[0, 40], [0, 41], [-1, 2], [2**63, 1], [0, True], "0", [0, 1, 2], {}]
    text = request(params=[{"$bytes": {"raw": rng.choice(places)}} for _ in range(rng.choice([1, 3, 300]))], raw=True)
    return text + b"\0" + rng.randbytes(40)


def _a_batch(rng: random.Random) -> bytes:
    return _batch_of(rng, rng.choice([0, 1, 2, 100]))


def _a_huge_batch(rng: random.Random) -> bytes:
    return _batch_of(rng, rng.choice([10_000, 10_001, 50_000]))


def _batch_of(rng: random.Random, count: int) -> bytes:
    one = request(id=rng.choice([1, None, "x"]))
    notification = b'{"jsonrpc":"2.0","method":"echo","params":[1]}'
    member = rng.choice([one, notification, b"1", b"[]", b"{}", b"null", request("rpc.map", {})])
    return b"[" + b",".join([member] * count) + b"]"


def a_wrong_map(rng: random.Random) -> bytes:
    rows: list[Any] = [[1]] * rng.choice([0, 1, 3, 40])
    params = rng.choice(
        [
            {},
            [],
            {"method": "echo", "rows": rows},
            {"method": "echo", "rows": rows, "ids": ["1"] * rng.choice([0, 1, 3, 4])},
            {"method": "echo", "rows": rows, "columns": rows},
            {"method": "echo", "columns": [[1, 2], [1]]},
            {"method": "fib", "columns": [[-1, "x", 10**12, None]]},
            {"method": "rpc.map", "rows": [[{"method": "rpc.map", "rows": [[1]]}]]},
            {"method": "rpc.ping", "rows": [[]], "ids": [7]},
            {"method": "nobody", "rows": [[1]], "ids": ["" * 3]},
            {"method": ["echo"], "rows": _any_json(rng)},
            {"method": "echo", "rows": [_any_json(rng)], "ids": [_any_json(rng)]},
        ]
    )
    return request("rpc.map", params)


def _a_wrong_call(rng: random.Random) -> bytes:
    method, arguments = rng.choice(
        [
            ("fib", [10**12]),
            ("fib", [-1]),
            ("fib", [{"$int": "0x" + "f" * 1000}]),
            ("fib", ["30"]),
            ("fib", [[[]]]),
            ("fib", {"n": 1, "m": 2, "*": [3]}),
            ("is_prime", [{"$int": "0x" + "f" * 100_000}]),
            ("factorize", [2**200]),
            ("sha256", ["x", 10**12]),
            ("monte_carlo_pi", [10**15]),
            ("sleep", [-1]),
            ("sleep", [{"$float": "nan"}]),
            ("echo", []),
            ("echo", {"": 1, "self": 2}),
            ("", [1]),
            ("x" * 10_000, [1]),
            ("__class__", []),
            ("echo.__globals__", []),
            ("\x00", [1]),
            ("rpc.nothing", []),
            ("rpc.cancel", {"ids": _any_json(rng)}),
            ("rpc.progress", _any_json(rng)),
            ("rpc.discover", {"*": [1]}),
        ]
    )
    return request(method, arguments, id=rng.choice([1, None, 2**70, 1.5, "", "x" * 10_000, [1], {"$tuple": [1]}]))


def _names_twice(rng: random.Random) -> bytes:
    doubled = b'"%b":1,' % rng.choice(_WORDS).encode() * rng.choice([2, 1000])
    return b"{" + doubled + request()[1:]


BODIES: dict[Callable[[random.Random], bytes], float] = {
    _bad_json: 10,
    _garbage: 8,
    _a_megabyte_of_garbage: 0.05,
    _nothing: 4,
    _wrong_types: 20,
    _deep_nesting: 3,
    _very_deep_nesting: 0.1,
    _many_digits: 8,
    _ten_million_digits: 0.01,
    _a_wrong_form: 12,
    _a_wrong_raw_section: 4,
    _a_batch: 2,
    _a_huge_batch: 0.1,
    a_wrong_map: 8,
    _a_wrong_call: 15,
    _names_twice: 4,
}
"""What makes a body, and how often it does beside the others."""
