"""A broker, servers and a client's connection in memory, in virtual time: thousands of histories in seconds.

    engine --Port--> MemoryLink --latency--> MemoryBroker --> Server (anything that takes requests and answers them)
                         ^                        |
                         +-------- latency -------+

Time jumps to whatever happens next. Latencies are drawn from a random number for each message, so what is sent in one
order comes in another. `EchoServer` is a server that is right by construction; a server's engine can take its place.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from math import inf
from typing import Any, Protocol, cast

from rpcsvc.client.engine import Engine
from rpcsvc.client.messages import Call, Message
from rpcsvc.errors import ConnectionLost, OutcomeUnknown, RpcError
from rpcsvc.settings.client import ClientOptions
from rpcsvc.wire import jsonrpc
from rpcsvc.wire.many.answer import MapResult, encode_response
from rpcsvc.wire.many.request import read
from rpcsvc.wire.names import MAP
from rpcsvc.wire.sizes import BodyLimit

QUEUE = "q"


class Timeline:
    """Virtual time: what is to happen, in order."""

    def __init__(self) -> None:
        self.now = 1000.0
        self._order = itertools.count()
        self._events: list[tuple[float, int, Callable[[], object]]] = []

    def __call__(self) -> float:
        return self.now

    def after(self, seconds: float, then: Callable[[], object]) -> None:
        """Have something happen in some seconds."""
        heapq.heappush(self._events, (self.now + seconds, next(self._order), then))

    def run(self, seconds: float) -> None:
        """Let time pass, with all that happens in it."""
        until = self.now + seconds
        while self._events and self._events[0][0] <= until:
            self.now, _, then = heapq.heappop(self._events)
            then()
        self.now = until


@dataclass(eq=False)
class Request:
    """A message in the queue."""

    message_id: str
    reply_to: str
    body: bytes
    is_again: bool
    expires: float
    is_redelivered: bool = False


class Server(Protocol):
    """Whoever consumes the queue.

    Attributes:
        prefetch: how many requests it may hold.
    """

    prefetch: int

    def delivered(self, request: Request) -> None:
        """Take a request; it is acked by `MemoryBroker.ack`."""
        ...

    def cancelled(self, reply_to: str, remaining: Mapping[str, float]) -> None:
        """Hear that calls were given up; for how many seconds each might still come."""
        ...


class MemoryBroker:
    """One queue, its consumers, and the callback queues of connections."""

    def __init__(self, time: Timeline, chance: random.Random) -> None:
        self.time = time
        self._chance = chance
        self.exists = False
        self.ready: deque[Request] = deque()
        self.servers: dict[Server, list[Request]] = {}
        self.callbacks: dict[str, MemoryLink] = {}
        self.duplicates = 0.0
        self.slowest = 0.01

    def latency(self) -> float:
        """Seconds of one way."""
        return self._chance.uniform(0.0001, self.slowest)

    def publish(self, link: MemoryLink, request: Request) -> None:
        """A request has come from a connection."""
        if self.exists:
            self.ready.append(request)
            self.deliver()
        else:
            link.comes(lambda engine: engine.returned(request.message_id, QUEUE))

    def deliver(self) -> None:
        """Give what is ready to whoever holds nothing."""
        for server, unacked in self.servers.items():
            while self.ready and len(unacked) < server.prefetch:
                request = self.ready.popleft()
                if request.expires > self.time.now:
                    unacked.append(request)
                    server.delivered(request)

    def answer(self, server: Server, request: Request, response: bytes) -> None:
        """A reply, and the ack that follows it."""
        if request in self.servers.get(server, ()):  # else the server has gone meanwhile
            self.reply(request.reply_to, request.message_id, response)
            self.ack(server, request)

    def reply(self, reply_to: str, message_id: str, response: bytes) -> None:
        """A reply on its way to whoever consumes that callback queue."""
        link = self.callbacks.get(reply_to)
        if link is not None:
            for _ in range(1 + (self._chance.random() < self.duplicates)):
                link.comes(lambda engine: engine.delivered(message_id, response))

    def ack(self, server: Server, request: Request) -> None:
        """A server has done with a request."""
        self.servers[server].remove(request)
        self.deliver()

    def tell(self, reply_to: str, remaining: Mapping[str, float]) -> None:
        """What a client says to all servers is on its way."""
        for server in self.servers:
            self.time.after(self.latency(), partial(server.cancelled, reply_to, remaining))

    def start(self, server: Server) -> None:
        """A server declares the queue, if it has to, and consumes it."""
        self.exists = True
        self.servers[server] = []
        self.deliver()

    def kill(self, server: Server) -> None:
        """A server goes: what it held is put back in front."""
        for request in reversed(self.servers.pop(server)):
            request.is_redelivered = True
            self.ready.appendleft(request)
        self.deliver()

    def delete(self, *, again: bool) -> None:
        """The queue is deleted with what is in it; `again`: a server declares it at once, and says so."""
        self.ready.clear()
        self.exists = again
        if again:
            for link in self.callbacks.values():
                link.comes(lambda engine: engine.queue_deleted(QUEUE))
        else:
            self.servers.clear()


class EchoServer:
    """Computes, one at a time: `echo` gives its argument back, `once` must not run twice. What ran is counted."""

    prefetch = 1

    def __init__(self, broker: MemoryBroker, runs: Counter[Any], seconds: float = 0.001) -> None:
        self._broker = broker
        self._runs = runs
        self._seconds = seconds

    def delivered(self, request: Request) -> None:
        self._broker.time.after(self._seconds, lambda: self._compute(request))

    def cancelled(self, reply_to: str, remaining: Mapping[str, float]) -> None:
        pass  # nothing waits here

    def _compute(self, request: Request) -> None:
        if request not in self._broker.servers.get(self, ()):
            return
        asked = jsonrpc.parse(request.body)
        assert isinstance(asked, jsonrpc.Request)
        rows = [asked.args]
        method = asked.method
        if method == MAP:
            many = read(asked.args, asked.kwargs)
            method, rows = many.method, list(many.each())
        if method == "once" and (request.is_again or request.is_redelivered):
            response = jsonrpc.encode_error(asked.id, OutcomeUnknown("it may have run"))
        else:
            self._runs.update((method, row[0]) for row in rows)
            results = [row[0] for row in rows]
            if asked.method == MAP:
                response = encode_response(asked.id, MapResult(results, [], 1e-5 * len(rows), method == "once"))
            else:
                response = jsonrpc.encode_result(asked.id, results[0])
        self._broker.answer(self, request, response)


class MemoryLink:
    """The client's side: an engine, and its connection to the broker. A port whose calls have exactly one outcome."""

    def __init__(self, broker: MemoryBroker, **options: Any) -> None:
        self._broker = broker
        self._time = broker.time
        self._numbers = itertools.count(1)
        self._connections = itertools.count(1)
        self._wake = inf
        self.number = 0  # of the connection, as long as there is one; 0 while there is none
        self.losses: list[float] = []
        self.outcomes: dict[str, tuple[float, Any]] = {}
        self.engine = Engine(
            self,
            self._time,
            limit=BodyLimit(),
            number=lambda: str(next(self._numbers)),
            routes=[ClientOptions(queue=QUEUE, **options)],
        )

    @property
    def callback_queue(self) -> str:
        return f"amq.gen-{self.number}"

    def submit(self, method: str, argument: Any, timeout: float) -> Call:
        """Begin a call."""
        params = cast(bytes, jsonrpc.encode_params([argument], {}))
        outcome = cast(Any, None)
        call = Call(str(next(self._numbers)), method, params, True, timeout, self._time.now, outcome, QUEUE)
        self.engine.submitted(call)
        return call

    def comes(self, event: Callable[[Engine], None]) -> None:
        """Have the engine told of something that is on its way to this connection."""
        number = self.number
        self._time.after(self._broker.latency(), lambda: event(self.engine) if number == self.number else None)

    def lose(self) -> None:
        """The connection goes, with what is on its way."""
        if self.number:
            self._broker.callbacks.pop(self.callback_queue)
            self.number = 0
            self.losses.append(self._time.now)
            self.engine.lost(ConnectionLost("the connection went"))

    # ---- Port

    def publish(self, message: Message, body: bytes, seconds: float) -> bool:
        assert self.number, "it is published on a connection"
        expires = self._time.now + seconds
        request = Request(message.message_id, self.callback_queue, body, message.is_again, expires)
        number = self.number
        self._time.after(
            self._broker.latency(), lambda: self._broker.publish(self, request) if number == self.number else None
        )
        return True

    def resolve(self, call: Call, result: Any) -> None:
        assert call.call_id not in self.outcomes, "a call ends once"
        self.outcomes[call.call_id] = (self._time.now, result)

    def fail(self, call: Call, error: BaseException) -> None:
        assert isinstance(error, RpcError)
        self.resolve(call, error)

    def open(self) -> None:
        self._time.after(0.05, self._open)

    def _open(self) -> None:
        self.number = next(self._connections)
        self._broker.callbacks[self.callback_queue] = self
        self.engine.opened(self.callback_queue)

    def observe(self, queue: str) -> None:
        broker = self._broker
        self.comes(
            lambda engine: (
                engine.observed(queue, len(broker.ready), len(broker.servers))
                if broker.exists
                else engine.queue_missing(queue)
            )
        )

    def settle(self, queue: str) -> None:
        raise AssertionError("the queue is shown")

    def tell(self, given_up: Mapping[str, Mapping[str, float]]) -> None:
        for reply_to, remaining in given_up.items():
            self._broker.tell(reply_to, remaining)

    def gather(self) -> None:
        self._time.after(0.0, self.engine.flush)

    def wake_at(self, moment: float) -> None:
        self._wake = moment
        self._time.after(max(0.0, moment - self._time.now), lambda: self._tick(moment))

    def _tick(self, moment: float) -> None:
        if moment == self._wake:
            self._wake = inf
            self.engine.tick()
