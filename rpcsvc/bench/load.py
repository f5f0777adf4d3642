"""The plan of a measurement: which call, from how many places, how often, for how long.

A closed loop keeps a number of calls under way: the next one starts when one has ended. An open loop starts calls at
times of its own, whether or not earlier ones have ended.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..deadline import check_timeout
from ..errors import ConfigurationError
from ..settings import DEFAULT_QUEUE, DEFAULT_TIMEOUT
from ..wire import values

ARRIVALS = ("poisson", "constant")
SWEEPS = ("workers", "in-flight", "payload")
PAYLOAD_METHOD = "echo"
"""What a payload is sent to, and comes back from."""
MOST_UNDER_WAY = 10_000
"""Calls that each thread of an open loop may have under way, unless told otherwise."""
MOST_BYTES_UNDER_WAY = 256 * 1024 * 1024
"""Bytes of arguments that one client process of an open loop may have under way, unless told otherwise."""
TIMES = "\N{MULTIPLICATION SIGN}"
_MOST = 100_000
_MOST_RATE = 1_000_000.0
_UNITS = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3}


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What is sent.

    Attributes:
        method: the function's name.
        arguments: its arguments as on the wire: the JSON of [positional, named].
        payload: bytes of the argument, where that is what the call is about; then `arguments` is not used.
        clients: client processes.
        threads: threads of each client process that call.
        in_flight: closed loop: calls that each thread keeps under way. Open loop: the most it may have under way.
        rate: calls per second of all threads together in an open loop; None is a closed loop.
        arrivals: how an open loop spaces its calls: "poisson" (as from independent callers) or "constant".
        warm_up: seconds of load before the window that is measured.
        duration: seconds of the window.
        timeout: seconds that a call waits for its reply.
        queue: where the calls go.
        pack: whether the client may send tiny calls together, as of RpcClient.
    """

    method: str
    arguments: str = "[[],{}]"
    payload: int | None = None
    clients: int = 1
    threads: int = 1
    in_flight: int | None = None
    rate: float | None = None
    arrivals: str = "poisson"
    warm_up: float = 1.0
    duration: float = 5.0
    timeout: float = DEFAULT_TIMEOUT
    queue: str = DEFAULT_QUEUE
    pack: bool = True

    def __post_init__(self) -> None:
        _whole("clients", self.clients, most=1000)
        _whole("threads", self.threads, most=1000)
        if self.in_flight is not None:
            _whole("in-flight", self.in_flight)
        if self.payload is not None:
            _whole("payload", self.payload, least=0, most=2**30)
        if self.rate is not None and not 0 < self.rate <= _MOST_RATE:
            raise ConfigurationError(f"rate is calls per second, above 0 and at most {_MOST_RATE:,.0f}")
        if self.arrivals not in ARRIVALS:
            raise ConfigurationError(f"arrivals are {' or '.join(ARRIVALS)}, not {self.arrivals!r}")
        if not (math.isfinite(self.warm_up) and self.warm_up >= 0):
            raise ConfigurationError(f"warm-up is a number of seconds from 0, not {self.warm_up!r}")
        if not (math.isfinite(self.duration) and self.duration >= 0.1):
            raise ConfigurationError(f"duration is a number of seconds from 0.1, not {self.duration!r}")
        check_timeout(self.timeout)

    @property
    def is_open(self) -> bool:
        """Whether calls start at times of their own."""
        return self.rate is not None

    @property
    def generators(self) -> int:
        """How many threads call, over all client processes."""
        return self.clients * self.threads

    @property
    def most_under_way(self) -> int:
        """How many calls each thread may have under way."""
        if self.in_flight is not None:
            return self.in_flight
        if not self.is_open:
            return 1
        size = max(1, len(self.arguments) if self.payload is None else self.payload)
        return max(1, min(MOST_UNDER_WAY, MOST_BYTES_UNDER_WAY // size // self.threads))

    def call(self) -> tuple[str, list[Any], dict[str, Any]]:
        """The method's name, positional and named arguments."""
        if self.payload is not None:
            return self.method, [bytes(self.payload)], {}
        args, kwargs = values.decode(self.arguments.encode("utf-8", "surrogateescape"))
        return self.method, args, kwargs

    @property
    def title(self) -> str:
        """The call in a few words."""
        if self.payload is not None:
            return f"{self.method}({size_label(self.payload)} of bytes)"
        _, args, kwargs = self.call()
        # As JSON, which is what was typed; repr refuses huge integers.
        shown = ", ".join([*map(_json, args), *(f"{name}={_json(value)}" for name, value in kwargs.items())])
        return f"{self.method}({shown if len(shown) <= 60 else shown[:57] + '…'})"

    @property
    def who(self) -> str:
        """Who calls."""
        return f"{_count(self.clients, 'client')} {TIMES} {_count(self.threads, 'thread')}"

    @property
    def shape(self) -> str:
        """The load in a few words."""
        packed = "" if self.pack else ", not packed"
        if self.rate is not None:
            spaced = "Poisson arrivals" if self.arrivals == "poisson" else "evenly spaced"
            return f"open loop, {self.rate:,.10g} calls/s ({spaced}), {self.who}{packed}"
        together = _count(self.generators * self.most_under_way, "call")
        return f"closed loop, {self.who} {TIMES} {self.most_under_way} in flight = {together} under way{packed}"

    def to_json(self) -> dict[str, Any]:
        """As a JSON object; `Load(**it)` is the way back."""
        return dataclasses.asdict(self)


@dataclass(frozen=True, slots=True)
class Sweep:
    """One thing that changes from run to run, and the values it takes."""

    name: str
    values: tuple[int, ...]

    def applied(self, load: Load, value: int) -> Load:
        """The load with this value. The number of workers is the pool's, not the load's."""
        if self.name == "in-flight":
            return dataclasses.replace(load, in_flight=value)
        if self.name == "payload":
            return dataclasses.replace(load, method=PAYLOAD_METHOD, payload=value)
        return load


def encode_arguments(args: list[Any], kwargs: Mapping[str, Any]) -> str:
    """The `arguments` of a Load.

    Raises:
        EncodingError: they cannot be carried.
    """
    return values.encode([args, dict(kwargs)]).decode("utf-8", "surrogateescape")


def parse_sweep(text: str) -> Sweep:
    """A sweep from NAME=VALUE,VALUE,…

    Raises:
        ConfigurationError: it is none.
    """
    name, sign, rest = text.partition("=")
    if not sign or name not in SWEEPS:
        raise ConfigurationError(
            f"a sweep is written NAME=VALUE,VALUE with NAME one of {', '.join(SWEEPS)}; not {text!r}"
        )
    sizes = name == "payload"
    found = [parse_size(word) if sizes else _number(word) for word in rest.split(",")]
    for value in found:
        _whole(name, value, least=0 if sizes else 1, most=2**30 if sizes else _MOST)
    return Sweep(name, tuple(dict.fromkeys(found)))


def parse_size(text: str) -> int:
    """Bytes from a number with or without k, M or G (1024, and its powers).

    Raises:
        ConfigurationError: it is no such number.
    """
    unit = text[-1:].lower()
    number, factor = (text[:-1], _UNITS[unit]) if unit in _UNITS else (text, 1)
    if not number.isascii() or not number.isdecimal() or len(number) > 12:
        raise ConfigurationError(f"a size is a number of bytes, with k, M or G if you like, not {text!r}")
    return int(number) * factor


def size_label(size: int) -> str:
    """A size in the largest unit that gives a whole number: 64 KiB."""
    for factor, unit in ((1024**3, "GiB"), (1024**2, "MiB"), (1024, "KiB")):
        if size and size % factor == 0:
            return f"{size // factor} {unit}"
    return f"{size} B"


def _json(value: Any) -> str:
    return values.encode(value).decode("utf-8", "replace")


def _number(word: str) -> int:
    if not word.isascii() or not word.isdecimal() or len(word) > 12:
        raise ConfigurationError(f"a sweep takes whole numbers, not {word!r}")
    return int(word)


def _whole(name: str, value: int, *, least: int = 1, most: int = _MOST) -> None:
    if not least <= value <= most:
        raise ConfigurationError(f"{name} is a whole number from {least} to {most}, not {value!r}")


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
