"""A server in memory: its engine, sessions on the broker in memory, and workers in virtual time, which die."""

from __future__ import annotations

import random
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from zlib import crc32

from rpcsvc.amqp.messages import Delivery
from rpcsvc.deadline import Deadline
from rpcsvc.functions.registration import Registry
from rpcsvc.server.asked import Asked
from rpcsvc.server.counts import ServerCounts
from rpcsvc.server.engine import Engine
from rpcsvc.server.message import Message
from rpcsvc.wire.control import Cancel
from rpcsvc.wire.names import MAP, SENT_AGAIN
from rpcsvc.wire.sizes import BodyLimit
from rpcsvc.workers.inside.dispatch import dispatch
from rpcsvc.workers.work import Answer, Cancelled, Done, Expired, Lost, Served, Work, WorkerExit

from .memory import MemoryBroker, Request


@dataclass
class Consumer:
    unacked: int = 0


class MemoryServer:
    """A server process: `echo` gives its argument back, `once` must not run twice. What ran is counted."""

    def __init__(self, broker: MemoryBroker, runs: Counter[Any], chance: random.Random) -> None:
        self.broker = broker
        self.functions: Mapping[str, Served] = {"echo": Served(True, max_attempts=2), "once": Served(False)}
        self._runs = runs
        self._chance = chance
        self._waiting: deque[Work] = deque()
        self._running: dict[Work, int] = {}  # and which of its calls
        self._alarm = 0
        self._registry = Registry()
        for name in self.functions:
            self._registry.add(partial(self._ran, name), name=name)
        self.seconds = 0.001
        self.engine = Engine(
            self, ServerCounts(), self._wake, prefetch=3, requests=BodyLimit(), clock=lambda: broker.time.now
        )
        self.session: MemorySession | None = None
        self.connect()

    def _ran(self, name: str, argument: Any) -> Any:
        self._runs[name, argument] += 1
        return argument

    def _wake(self, seconds: float) -> None:
        self._alarm += 1
        self.broker.time.after(seconds, partial(self._ring, self._alarm))

    def _ring(self, alarm: int) -> None:
        if alarm == self._alarm:
            self.engine.tick()

    # ---- its connection

    def connect(self) -> None:
        if self.session is None:
            self.session = MemorySession(self)
            self.broker.start(self.session)

    def lose(self) -> None:
        """The connection goes, and another comes in a while."""
        if self.session is not None:
            session, self.session = self.session, None
            session.is_lost = True
            self.engine.session_lost(session)
            if session in self.broker.servers:
                self.broker.kill(session)
            self.broker.time.after(self._chance.uniform(0.01, 0.5), self.connect)

    # ---- its workers

    def submit(
        self,
        body: bytes,
        done: Done,
        deadline: Deadline | None = None,
        *,
        context: bytes | None = None,
        cast: bool = False,
    ) -> Work:
        work = Work(body, done, deadline, context=context, is_cast=cast)
        self._waiting.append(work)
        self.broker.time.after(0.0, self._assign)
        return work

    def submit_alone(
        self,
        body: bytes,
        done: Done,
        deadline: Deadline | None = None,
        *,
        context: bytes | None = None,
        cast: bool = False,
    ) -> Work:
        return self.submit(body, done, deadline, context=context, cast=cast)

    def cancel(self, work: Work) -> None:
        self._running.pop(work, None)
        if work in self._waiting:
            self._waiting.remove(work)
        if not work.is_over:
            work.end(Cancelled())

    def running_item(self, work: Work) -> int | None:
        return self._running.get(work)

    def _assign(self) -> None:
        while self._waiting and len(self._running) < 2:
            work = self._waiting.popleft()
            if work.may_start:
                self._running[work] = self._chance.randrange(Asked.read(work.body, {}).count)
                self.broker.time.after(self.seconds, partial(self._compute, work))
            else:
                work.end(Expired())

    def _compute(self, work: Work) -> None:
        if self._running.pop(work, None) is not None:
            work.end(Answer(dispatch(self._registry, work.body)))
            self._assign()

    def die(self, *, running: bool) -> None:
        """A worker dies, while it computes or before its answer was read."""
        if self._running:
            work = next(iter(self._running))
            item = self._running.pop(work)
            dispatch(self._registry, work.body)
            work.end(Lost(WorkerExit(1, None, 9), running, item))
            self._assign()


@dataclass(eq=False)
class MemorySession:
    """One connection of a server in memory."""

    server: MemoryServer
    prefetch: int = 3
    unacked: int = 0
    draining: bool = False
    is_lost: bool = False
    answered: dict[str, str] = field(default_factory=dict)
    _consumer: Consumer = field(default_factory=Consumer)
    _requests: dict[int, Request] = field(default_factory=dict)

    def delivered(self, request: Request) -> None:
        tag = len(self._requests)
        self._requests[tag] = request
        left = request.expires - self.server.broker.time.now
        delivery = Delivery(
            tag,
            request.is_redelivered,
            request.body,
            request.message_id,
            request.reply_to,
            str(int(left * 1000)),
            MAP if b'"rpc.map"' in request.body else None,
            SENT_AGAIN if request.is_again else None,
        )
        self.server.broker.time.after(0.0, partial(self._take, delivery))

    def _take(self, delivery: Delivery) -> None:
        if not self.is_lost:
            self.server.engine.delivered(self, self._consumer, delivery)

    def cancelled(self, reply_to: str, remaining: Mapping[str, float]) -> None:
        if not self.is_lost:
            self.server.engine.cancelled(Cancel(reply_to, list(remaining), max(remaining.values())))

    def ask(self, message: Message) -> None:
        reply_to = message.delivery.reply_to or ""
        self.answered[reply_to] = reply_to
        self.server.broker.time.after(0.001, partial(self._found, message, reply_to))

    def _found(self, message: Message, queue: str) -> None:
        if not self.is_lost:
            self.server.engine.queue_found(message, queue)

    def is_sure(self, reply_to: str, response: bytes) -> bool:
        return crc32(reply_to.encode() + response) % 8 != 0

    def publish(self, _: Any, reply_to: str, response: bytes, correlation_id: str | None) -> None:
        assert not self.is_lost
        self.server.broker.reply(reply_to, correlation_id or "", response)

    def publish_alone(self, reply_to: str, response: bytes, call_id: str) -> None:
        self.publish(None, reply_to, response, call_id)

    def confirm(self, message: Message, _: Callable[[], Asked], response: bytes) -> None:
        def has_it() -> None:
            if not self.is_lost:
                self.publish(None, message.delivery.reply_to or "", response, message.delivery.correlation_id)
                self.server.engine.confirmed(message)

        self.server.broker.time.after(0.02, has_it)

    def withdraw(self, message: Message) -> None:
        pass

    def ack(self, _: Any, delivery: Delivery) -> bool:
        assert not self.is_lost
        request = self._requests[delivery.delivery_tag]
        assert request in self.server.broker.servers[self], "it is acked once"
        self.server.broker.ack(self, request)
        return True

    def end_consumer(self, _: Any, then: Callable[[], None]) -> None:
        then()

    def drained(self) -> None:
        pass
