"""A server's engine between workers and sessions that do what the test says, in a time that the test moves."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from rpcsvc.amqp.messages import Delivery
from rpcsvc.deadline import Deadline
from rpcsvc.server.asked import Asked
from rpcsvc.server.counts import ServerCounts
from rpcsvc.server.engine import Engine
from rpcsvc.server.message import Message, State
from rpcsvc.wire import jsonrpc
from rpcsvc.wire.control import Cancel
from rpcsvc.wire.sizes import BodyLimit
from rpcsvc.workers.work import Answer, Cancelled, Done, Expired, Lost, Outcome, Served, Suspect, Work, WorkerExit

EXIT = WorkerExit(1, None, 9)
DIED = Lost(EXIT, running=True, item=0)
ANSWER_LOST = Lost(EXIT, running=False, item=0)
FUNCTIONS = {"f": Served(idempotent=True), "twice": Served(idempotent=True, max_attempts=2), "once": Served(False)}


def request(call_id: str = "7", method: str = "f", params: bytes = b"[]") -> bytes:
    return jsonrpc.encode_request(call_id, method, params)


@dataclass
class Workers:
    """Work that is done when the test says so."""

    functions: Mapping[str, Served] = field(default_factory=lambda: dict(FUNCTIONS))
    works: list[Work] = field(default_factory=list)
    running: dict[Work, int] = field(default_factory=dict)

    def submit(
        self,
        body: bytes,
        done: Done,
        deadline: Deadline | None = None,
        *,
        context: bytes | None = None,
        cast: bool = False,
    ) -> Work:
        self.works.append(Work(body, done, deadline, context=context, is_cast=cast))
        return self.works[-1]

    def submit_alone(
        self,
        body: bytes,
        done: Done,
        deadline: Deadline | None = None,
        *,
        context: bytes | None = None,
        cast: bool = False,
    ) -> Work:
        self.works.append(Suspect(body, done, deadline, context=context, is_cast=cast))
        return self.works[-1]

    def cancel(self, work: Work) -> None:
        if not work.is_over:
            work.end(Cancelled())

    def running_item(self, work: Work) -> int | None:
        return self.running.get(work)

    @property
    def open(self) -> list[Work]:
        """What is not over."""
        return [work for work in self.works if not work.is_over]

    def end(self, outcome: Outcome, body: bytes | None = None) -> None:
        """The oldest work that is not over, or the only one with that body, comes to its end."""
        work = next(work for work in self.open if body is None or work.body == body)
        work.end(outcome)

    def serve(self) -> None:
        """A worker is free for the oldest work: what must not start ends at once."""
        work = self.open[0]
        work.end(Answer(b"computed", 1) if work.may_start else Expired())


@dataclass(eq=False)
class Consumer:
    unacked: int = 0


@dataclass(eq=False)
class Session:
    """A session; what it was told is in `log`, in order."""

    engine: Engine
    surely: int = 1000
    unacked: int = 0
    draining: bool = False
    is_lost: bool = False
    acks_fail: bool = False
    answered: dict[str, str] = field(default_factory=lambda: {"q": "q", "/queues/q": "q"})
    log: list[tuple[Any, ...]] = field(default_factory=list)
    asked: list[Message] = field(default_factory=list)
    confirming: list[Message] = field(default_factory=list)
    look_into: Callable[[], Asked] | None = None
    endings: list[Callable[[], None]] = field(default_factory=list)

    def ask(self, message: Message) -> None:
        self.asked.append(message)

    def is_sure(self, reply_to: str, response: bytes) -> bool:
        assert reply_to
        return len(response) <= self.surely

    def publish(self, consumer: Any, reply_to: str, response: bytes, correlation_id: str | None) -> None:
        assert isinstance(consumer, Consumer)
        self.log.append(("reply", reply_to, correlation_id, response))

    def publish_alone(self, reply_to: str, response: bytes, call_id: str) -> None:
        self.log.append(("reply", reply_to, call_id, response))

    def confirm(self, message: Message, asked: Callable[[], Asked], response: bytes) -> None:
        self.confirming.append(message)
        self.look_into = asked
        self.log.append(("confirm", message.delivery.correlation_id, response))

    def withdraw(self, message: Message) -> None:
        self.log.append(("withdraw", message.delivery.correlation_id))

    def ack(self, consumer: Any, delivery: Delivery) -> bool:
        assert isinstance(consumer, Consumer)
        self.log.append(("ack", delivery.delivery_tag))
        return not self.acks_fail

    def end_consumer(self, consumer: Any, then: Callable[[], None]) -> None:
        assert isinstance(consumer, Consumer)
        self.log.append(("end consumer",))
        self.endings.append(then)

    def drained(self) -> None:
        self.log.append(("drained",))

    def lose(self) -> None:
        self.is_lost = True
        self.engine.session_lost(self)


class Server:
    """The engine, and everything around it."""

    def __init__(self, *, prefetch: int = 1, most: int = 10_000, functions: Mapping[str, Served] | None = None) -> None:
        self.now = 100.0
        self.wakes_at: float | None = None
        self.workers = Workers() if functions is None else Workers(functions)
        self.counts = ServerCounts()
        self.engine = Engine(
            self.workers,
            self.counts,
            self._wake,
            prefetch=prefetch,
            requests=BodyLimit(most),
            clock=lambda: self.now,
        )
        self.session = self.connect()
        self.consumer = Consumer()
        self._tags = 0

    def _wake(self, seconds: float) -> None:
        self.wakes_at = self.now + seconds

    def connect(self) -> Session:
        """Another session, which is the one from now on."""
        self.session = Session(self.engine)
        return self.session

    def reconnect(self) -> Session:
        self.session.lose()
        self.consumer = Consumer()
        return self.connect()

    @property
    def next_tag(self) -> int:
        """The tag of the delivery that comes next."""
        return self._tags + 1

    def deliver(
        self,
        body: bytes | None = None,
        *,
        reply_to: str | None = "q",
        call_id: str | None = "7",
        redelivered: bool = False,
        expiration: str | None = None,
        kind: str | None = None,
        mark: str | None = None,
    ) -> int:
        """Have a delivery come; its tag."""
        self._tags += 1
        body = request(call_id or "7") if body is None else body
        delivery = Delivery(self._tags, redelivered, body, call_id, reply_to, expiration, kind, mark)
        self.engine.delivered(self.session, self.consumer, delivery)
        return self._tags

    def give_up(self, *ids: str, remaining: float = 10.0) -> None:
        self.engine.cancelled(Cancel("q", list(ids), remaining))

    def message(self, call_id: str = "7") -> Message:
        return self.engine.register.messages["q", call_id]

    def state(self, call_id: str = "7") -> State:
        return State(self.message(call_id).state)

    def message_is_over(self, call_id: str = "7") -> bool:
        return ("q", call_id) not in self.engine.register.messages

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        until = self.now + seconds
        while self.wakes_at is not None and self.wakes_at <= until:
            self.now, self.wakes_at = max(self.now, self.wakes_at), None
            self.engine.tick()
        self.now = until

    @property
    def log(self) -> list[tuple[Any, ...]]:
        """What the session was told, without what was read here before."""
        told, self.session.log = self.session.log, []
        return told


def replied(entry: tuple[Any, ...]) -> Any:
    """The result that was replied, or the error that is raised."""
    assert entry[0] in ("reply", "confirm")
    return jsonrpc.decode_response(entry[-1])
