"""A client's engine without a connection: a port that notes what is wanted, and a clock that the test turns.

client = EngineWorld()
client.connect()                   # there is a connection, and a server behind the queue
call = client.submit("f", 1)
client.answer(call.call_id, 2)
assert client.port.results == {call.call_id: 2}
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from math import inf
from typing import Any, cast

from rpcsvc.client.engine import Engine
from rpcsvc.client.messages import Call, Message, State
from rpcsvc.errors import RpcError
from rpcsvc.settings.client import ClientOptions
from rpcsvc.wire import jsonrpc
from rpcsvc.wire.sizes import BodyLimit

QUEUE = "q"


class Clock:
    """A clock that stands until it is turned."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class FakePort:
    """Notes what the engine wants.

    Attributes:
        published: the messages that were written, in order; what each was marked with is in `marks`.
        in_turn: those that wait for their turn, because their body has more bytes than `surely`.
        results, errors: the outcomes of calls, by their ids. None has two.
        broken: what `publish` raises, while it is set.
        opens, observes, settles, gathers: how often each was asked for.
        told: what servers were told.
        wake: when `tick` is wanted.
    """

    def __init__(self) -> None:
        self.published: list[Message] = []
        self.seconds: list[float] = []
        self.marks: list[bool] = []
        self.in_turn: list[Message] = []
        self.results: dict[str, Any] = {}
        self.errors: dict[str, BaseException] = {}
        self.broken: RpcError | None = None
        self.surely = 64 * 1024
        self.opens = self.observes = self.settles = self.gathers = 0
        self.asked = QUEUE
        self.told: list[Mapping[str, Mapping[str, float]]] = []
        self.wake = inf

    @property
    def ids(self) -> list[str]:
        """The ids of the messages that were written."""
        return [message.message_id for message in self.published]

    def publish(self, message: Message, body: bytes, seconds: float) -> bool:
        if self.broken is not None:
            raise self.broken
        if len(body) > self.surely:
            self.in_turn.append(message)
            return False
        self.published.append(message)
        self.marks.append(message.is_again)
        self.seconds.append(seconds)
        return True

    def _ends(self, call: Call) -> str:
        assert call.call_id not in self.results | self.errors, f"{call} has an outcome already"
        return call.call_id

    def resolve(self, call: Call, result: Any) -> None:
        self.results[self._ends(call)] = result

    def fail(self, call: Call, error: BaseException) -> None:
        self.errors[self._ends(call)] = error

    def open(self) -> None:
        self.opens += 1

    def observe(self, queue: str) -> None:
        self.asked = queue
        self.observes += 1

    def settle(self, queue: str) -> None:
        assert queue == QUEUE
        self.settles += 1

    def tell(self, given_up: Mapping[str, Mapping[str, float]]) -> None:
        self.told.append(given_up)

    def gather(self) -> None:
        self.gathers += 1

    def wake_at(self, moment: float) -> None:
        assert moment < inf
        self.wake = moment


class EngineWorld:
    """An engine on that port and clock; options are those of a client. Calls go alone unless `pack` is given.

    Args:
        limit: bytes of the largest request.
        others: further queues.
    """

    def __init__(self, *, limit: int = 2**20, others: Sequence[str] = (), **options: Any) -> None:
        self.clock = Clock()
        self.port = FakePort()
        self._numbers = itertools.count(1)
        self.engine = Engine(
            self.port,
            self.clock,
            limit=BodyLimit(limit),
            number=self.number,
            routes=[ClientOptions(**{"queue": queue, "pack": False, **options}) for queue in (QUEUE, *others)],
        )
        self.route = self.engine.route(QUEUE)
        self._connections = itertools.count(1)

    def number(self) -> str:
        return str(next(self._numbers))

    def make(self, method: str, *args: Any, timeout: float = 30.0, queue: str = QUEUE, **kwargs: Any) -> Call:
        params = cast(bytes, jsonrpc.encode_params(args, kwargs))
        outcome = cast(Any, None)  # the port is asked to give it
        return Call(self.number(), method, params, not kwargs, timeout, self.clock.now, outcome, queue)

    def submit(self, method: str, *args: Any, **options: Any) -> Call:
        call = self.make(method, *args, **options)
        self.engine.submitted(call)
        return call

    def connect(self, *, consumers: int = 2) -> None:
        """There is a connection, and so many consumers, if any."""
        self.engine.opened(f"amq.gen-{next(self._connections)}")
        if consumers:
            self.engine.observed(QUEUE, 0, consumers)

    def answer(self, message_id: str, result: Any) -> None:
        self.engine.delivered(message_id, jsonrpc.encode_result(message_id, result))

    def pass_time(self, seconds: float, *, shows: tuple[int, int] | None = None) -> None:
        """Let time pass, with a tick whenever one is wanted; `shows`: the messages and consumers that a look finds."""
        until = self.clock.now + seconds
        while self.port.wake <= until:
            self.clock.now, self.port.wake = max(self.clock.now, self.port.wake), inf
            asked = self.port.observes
            self.engine.tick()
            if shows is not None and self.port.observes > asked:
                self.engine.observed(self.port.asked, *shows)
        self.clock.now = until


def connected(**options: Any) -> EngineWorld:
    """A client that has a connection, and a server behind its queue."""
    world = EngineWorld(**options)
    world.connect()
    return world


def states(world: EngineWorld) -> list[State]:
    """Where the messages are that were published, in their order."""
    return [message.state for message in world.port.published]
