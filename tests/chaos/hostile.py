"""Hostile messages: what a publisher may put into the queue by mistake or on purpose.

`messages(seed)` makes them, without end and the same ones for the same seed; `publish_all` sends them as raw frames,
because pika refuses to write some of them. The broker carries every one to a server: those that it refuses itself never
reach one, and would only end the publisher's channel. `REFUSED` holds some of these, to show that they are no threat.

No message here asks for a long computation. That is no attack but a call, and what time limits are for.
"""

from __future__ import annotations

import asyncio
import base64
import json
import random
import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, TypeAlias

from rpcsvc.amqp import Channel, Connection
from rpcsvc.settings import BrokerUrl

Properties: TypeAlias = dict[str, bytes | int]
"""By name; text as the bytes that travel, `headers` as the bytes of the whole table without its length."""

NOBODY = "amq.gen-nobody"
_NAMES = ("content_type", "content_encoding", "headers", "delivery_mode", "priority", "correlation_id", "reply_to")
_NAMES += ("expiration", "message_id", "timestamp", "type", "user_id", "app_id", "cluster_id")
_NUMBERS = {"delivery_mode": "!B", "priority": "!B", "timestamp": "!Q"}
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
_BUFFERED = 1_000_000


@dataclass(frozen=True, slots=True)
class Hostile:
    """One message.

    Attributes:
        kind: what is wrong with it, for whoever looks at a failure.
        body: the payload.
        properties: the message properties.
    """

    kind: str
    body: bytes = field(repr=False)
    properties: Properties

    def frames(self, channel: int, queue: str, frame_max: int) -> bytes:
        """The frames that publish it to a queue (AMQP 0-9-1, section 2.3.5)."""
        method = struct.pack("!HHH", 60, 40, 0) + b"\0" + _short(queue.encode()) + b"\0"
        header = struct.pack("!HHQ", 60, 0, len(self.body)) + encode_properties(self.properties)
        most = frame_max - 8
        pieces = [self.body[at : at + most] for at in range(0, len(self.body), most)]
        return b"".join(
            [_frame(1, channel, method), _frame(2, channel, header), *(_frame(3, channel, p) for p in pieces)]
        )


def messages(seed: int, callback_queue: str = NOBODY) -> Iterator[Hostile]:
    """Hostile messages without end, the same for the same seed.

    Args:
        seed: of the choice.
        callback_queue: where those that want an answer to a proper place want it.
    """
    rng = random.Random(seed)
    kinds, weights = zip(*_BODIES.items(), strict=True)
    while True:
        (make,) = rng.choices(kinds, weights)
        body = make(rng)
        kind = [make.__name__.strip("_")]
        properties: Properties = {"reply_to": callback_queue.encode(), "correlation_id": b"%d" % rng.getrandbits(32)}
        if make is _a_wrong_map:
            properties["type"] = b"rpc.map"
        for odd in rng.sample(_ODDITIES, rng.choice((0, 1, 1, 2, 4))):
            odd(rng, properties)
            kind.append(odd.__name__.strip("_"))
        yield Hostile(" with ".join([kind[0], ", ".join(kind[1:])] if kind[1:] else kind), body, properties)


def publish_all(url: str, queue: str, hostile: Iterable[Hostile]) -> int:
    """Publish messages as they are; how many. It is held back as the broker holds it back.

    Raises:
        ConnectionLost: the broker refused one.
    """
    return asyncio.run(_publish_all(url, queue, hostile))


async def _publish_all(url: str, queue: str, hostile: Iterable[Hostile]) -> int:
    connection = await Connection.open(BrokerUrl.parse(url), role="hostile publisher", timeout=10)
    try:
        channel = await connection.channel()
        stream = connection._stream
        assert stream._transport is not None
        count = 0
        for count, message in enumerate(hostile, 1):
            stream.write((message.frames(channel._number, queue, stream.params.frame_max),))
            if count % 50 == 0:
                await _let_go_out(channel, stream)
        # The broker reads in order: when it answers this, it has taken all that went before.
        await channel.declare_queue(queue, passive=True)
        return count
    finally:
        await connection.close()


async def _let_go_out(channel: Channel, stream: Any) -> None:
    stream.flush()
    await asyncio.sleep(0)
    while stream._transport is not None and stream._transport.get_write_buffer_size() > _BUFFERED:
        await asyncio.sleep(0.001)
    if channel.lost.done():
        raise channel.lost.result()


# ---- the encoding of properties, which checks nothing ------------------------------------------------------------


def encode_properties(properties: Properties) -> bytes:
    """The flags and the values of a content header (section 4.2.6.1)."""
    flags, encoded = 0, b""
    for place, name in enumerate(_NAMES):
        value = properties.get(name)
        if value is None:
            continue
        flags |= 1 << (15 - place)
        if isinstance(value, int):
            encoded += struct.pack(_NUMBERS[name], value)
        else:
            encoded += struct.pack("!I", len(value)) + value if name == "headers" else _short(value)
    return struct.pack("!H", flags) + encoded


def _frame(kind: int, channel: int, payload: bytes) -> bytes:
    return struct.pack("!BHI", kind, channel, len(payload)) + payload + b"\xce"


def _short(data: bytes) -> bytes:
    return bytes((len(data),)) + data


def _long(data: bytes) -> bytes:
    return struct.pack("!I", len(data)) + data


# ---- bodies ------------------------------------------------------------------------------------------------------


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


def _a_wrong_map(rng: random.Random) -> bytes:
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


_BODIES: dict[Callable[[random.Random], bytes], float] = {
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
    _a_wrong_map: 8,
    _a_wrong_call: 15,
    _names_twice: 4,
}


# ---- properties --------------------------------------------------------------------------------------------------


def _entry(name: bytes, value: bytes) -> bytes:
    return _short(name) + value


def _hostile_headers(rng: random.Random, properties: Properties) -> None:
    nested = b""
    for _ in range(rng.choice([2, 100, 2000])):
        nested = _entry(b"x", b"F" + _long(nested))
    properties["headers"] = rng.choice(
        [
            _entry(b"x", b"T" + struct.pack("!Q", 2**62)),
            _entry(b"x", b"T" + struct.pack("!Q", 2**64 - 1)),
            nested,
            _entry(b"x", b"A" + _long(b"A" + _long(b"t\x01" * 100))),
            _entry(b"x", b"S" + _long(b"\xff" * 10_000)),
            _entry(b"\xff" * 255, b"V"),
            _entry(b"", b"V") * 1000,
            _entry(b"x", b"D\xff" + struct.pack("!i", -1)),
            _entry(b"x", b"x" + _long(rng.randbytes(200))),
            b"",
        ]
    )


def _every_property(rng: random.Random, properties: Properties) -> None:
    for name in _NAMES:
        if name in ("user_id", "headers", "expiration", "delivery_mode", "reply_to"):
            continue  # the broker looks at these
        properties[name] = rng.getrandbits(8) if name in _NUMBERS else rng.randbytes(rng.choice([0, 1, 255]))


def _a_timestamp_beyond_time(_: random.Random, properties: Properties) -> None:
    properties["timestamp"] = 2**64 - 1


def _no_correlation_id(_: random.Random, properties: Properties) -> None:
    properties.pop("correlation_id", None)


def _an_odd_correlation_id(rng: random.Random, properties: Properties) -> None:
    properties["correlation_id"] = rng.choice(
        [b"", b"x" * 255, b"\xff\xfe\x80", b"\0", b"\n" * 255, "é".encode() * 127]
    )


def _no_reply_to(_: random.Random, properties: Properties) -> None:
    properties.pop("reply_to", None)


def _a_reply_to_elsewhere(rng: random.Random, properties: Properties) -> None:
    properties["reply_to"] = rng.choice(
        [
            b"",
            b"rpc_queue",
            b"somebody-else",
            b"amq.topic",
            b"AMQ.GEN-x",
            b"amq.gen-",
            b"amq.gen-[*?",
            b"amq.gen-" + b"x" * 247,
            b"amq.gen-\xff\xfe\n\0",
            b"amq.gen-" + rng.randbytes(20),
            b"x" * 255,
        ]
    )


def process_id(node: bytes, number: int) -> bytes:
    """An Erlang process id in the external term format, as the name of a direct callback queue holds it."""
    return b"\x83Xw" + _short(node) + struct.pack("!III", number, 0, 1)


def direct(process: bytes, key: bytes = b"TJMKjuuD7J/OiwapwBATLQ==") -> bytes:
    """The name of a direct callback queue (amq.rabbitmq.reply-to) as the broker makes it, but of anything."""
    return b"amq.rabbitmq.reply-to." + base64.b64encode(process) + b"." + key


def _a_made_up_direct_reply_to(rng: random.Random, properties: Properties) -> None:
    suffix = rng.choice([b".", b"..", b".garbage", b".\xff\xff", b".a.b.c", b".AAAA.key", b".\xff.\xff", b".%%%.==="])
    properties["reply_to"] = rng.choice(
        [
            b"amq.rabbitmq.reply-to" + suffix,
            direct(b"\x83a\x05"),
            direct(process_id(b"reply@%d" % rng.randrange(5), rng.getrandbits(32))),
            direct(process_id(b"rabbit@nowhere", 1)),
            direct(process_id(b"reply@1", 1) + b"more"),
            direct(process_id(b"reply@1", 1), b"\xff\xfe"),
        ]
    )


def _an_odd_expiration(rng: random.Random, properties: Properties) -> None:
    properties["expiration"] = rng.choice([b"0", b"1", b"10", b"0000000000000000001000", b"+5", b"4294967295"])


def _said_to_be_sent_again(_: random.Random, properties: Properties) -> None:
    properties["message_id"] = b"again"


def _an_odd_message_id(rng: random.Random, properties: Properties) -> None:
    properties["message_id"] = rng.choice([b"", b"AGAIN", b"again\0", b"\xff" * 255])


def _said_to_be_a_map(rng: random.Random, properties: Properties) -> None:
    properties["type"] = rng.choice([b"rpc.map", b"rpc.map", b"rpc.cancel", b"", b"\xff" * 255])


_ODDITIES: list[Callable[[random.Random, Properties], None]] = [
    _hostile_headers,
    _every_property,
    _a_timestamp_beyond_time,
    _no_correlation_id,
    _an_odd_correlation_id,
    _no_reply_to,
    _a_reply_to_elsewhere,
    _a_made_up_direct_reply_to,
    _an_odd_expiration,
    _said_to_be_sent_again,
    _an_odd_message_id,
    _said_to_be_a_map,
]

_WELL = request()
REFUSED = [
    Hostile("an expiration that is no number", _WELL, {"expiration": b"soon"}),
    Hostile("an expiration below zero", _WELL, {"expiration": b"-1"}),
    Hostile("an expiration of 20 digits", _WELL, {"expiration": b"9" * 20}),
    Hostile("an expiration of digits that are not ASCII", _WELL, {"expiration": "٣".encode()}),
    Hostile("a delivery mode that does not exist", _WELL, {"delivery_mode": 3}),
    Hostile("somebody else's user id", _WELL, {"user_id": b"somebody"}),
    Hostile("a header that is cut short", _WELL, {"headers": b"\x01xS\0\0\1\0abc"}),
    Hostile("a header of a type that does not exist", _WELL, {"headers": b"\x01x?\0"}),
    Hostile("a header that is not a number", _WELL, {"headers": b"\x01xd\x7f\xf8\0\0\0\0\0\0"}),
]
"""What the broker refuses by itself, and so never comes to a server."""


def first(count: int, seed: int, callback_queue: str = NOBODY) -> list[Hostile]:
    """So many of them."""
    return list(islice(messages(seed, callback_queue), count))
