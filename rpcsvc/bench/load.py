"""The plan of a measurement: which call, from how many places, how often, for how long.

A closed loop keeps a number of calls under way: the next one starts when one has ended. An open loop starts calls at
times of its own, whether or not earlier ones have ended.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..deadline import MAX_TIMEOUT
from ..errors import ConfigurationError
from ..settings import DEFAULT_QUEUE, DEFAULT_TIMEOUT
from ..settings.kinds import Choice, Number, Seconds, Size, Truth, Whole
from ..settings.options import check_options, option
from ..wire import values

SWEEPS = ("workers", "in-flight", "payload")
PAYLOAD_METHOD = "echo"
"""What a payload is sent to, and comes back from."""
MOST_UNDER_WAY = 10_000
"""Calls that each thread of an open loop may have under way, unless told otherwise."""
MOST_BYTES_UNDER_WAY = 256 * 1024 * 1024
"""Bytes of arguments that one client process of an open loop may have under way, unless told otherwise."""
TIMES = "\N{MULTIPLICATION SIGN}"
_MOST = 100_000
_PAYLOAD = Whole(least=0, most=2**30)


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """A load: what is sent, how often, from where.

    Attributes:
        method: the function's name.
        arguments: its arguments as on the wire: the JSON of [positional, named].
        queue: where the calls go.
        payload: bytes of the argument, where that is what the call is about; then `arguments` is not used.

    Raises:
        ConfigurationError: an option is wrong.
    """

    method: str
    arguments: str = "[[],{}]"
    queue: str = DEFAULT_QUEUE
    payload: int | None = option(None, _PAYLOAD, "bytes to send and to get back", otherwise="none")
    clients: int = option(1, Whole("C", most=1000), "client processes")
    threads: int = option(1, Whole("T", most=1000), "threads of each client that call")
    in_flight: int | None = option(
        None,
        Whole("K", most=_MOST),
        "calls that each thread keeps under way; with a rate, the most it may have under way",
        otherwise=f"1, a plain call after the other; with a rate {MOST_UNDER_WAY}, less for large arguments",
    )
    rate: float | None = option(
        None,
        Number("R", least=0.001, most=1_000_000),
        "calls to start per second, of all threads together, whether or not earlier ones have ended",
        otherwise="none, a closed loop",
    )
    arrivals: str = option(
        "poisson", Choice("poisson", "constant"), "with a rate: spaced as from independent callers, or evenly"
    )
    warm_up: float = option(1.0, Seconds(zero=True), "load before it counts")
    duration: float = option(5.0, Number("SECONDS", least=0.1, most=MAX_TIMEOUT), "what is measured")
    timeout: float = option(DEFAULT_TIMEOUT, Seconds(), "what a call waits for its reply")
    pack: bool = option(True, Truth(off="--no-pack"), "clients may send tiny calls together")

    def __post_init__(self) -> None:
        check_options(self)

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
        """The callers in a few words."""
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
        """The load as a JSON object; `Load(**it)` is the way back."""
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
    kind = _PAYLOAD if sizes else Whole(most=_MOST)
    return Sweep(name, tuple(dict.fromkeys(kind.check(name, value) for value in found)))


def parse_size(text: str) -> int:
    """Bytes from a number with or without k, M or G (1024, and its powers).

    Raises:
        ConfigurationError: it is no such number.
    """
    size = Size().read(text)
    if isinstance(size, str):
        raise ConfigurationError(f"a size is a number of bytes, with k, M or G if you like, not {text!r}")
    return size


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


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
