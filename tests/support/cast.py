"""A server's engine with casts, between workers and sessions that do what the test says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rpcsvc.amqp import properties
from rpcsvc.amqp.messages import Delivery
from rpcsvc.functions.retry import Retry
from rpcsvc.server.casts import Cast, Casts, Parcel, Source
from rpcsvc.server.engine import Engine
from rpcsvc.server.message import State
from rpcsvc.workers.job import Report
from rpcsvc.workers.work import Answer, Served

from .served import Server

SOURCE = Source.of("rpc_queue")
FUNCTIONS = {
    "f": Served(idempotent=True),
    "often": Served(idempotent=True, retry=Retry(attempts=5, back_off=2.0)),
    "once": Served(idempotent=False),
    "take": Served(idempotent=True, is_default=True),
}
DONE = Answer(Report().encode())


def failed(retry_in: float | None = None, message: str = "f raised OSError: no") -> Answer:
    """A worker's report of a cast whose function raised."""
    return Answer(Report({"code": -32000, "message": message}, retry_in).encode())


def content(headers: Mapping[str, Any], timestamp: int | None = None) -> bytes:
    """The content header of a message, from its flags on."""
    flags, encoded, moment = properties.Properties(headers=headers, timestamp=timestamp).encoded(b"\0", 2**20)
    return flags.to_bytes(2) + encoded + moment


@dataclass
class CastConsumer:
    source: Source = SOURCE
    unacked: int = 0


@dataclass(eq=False)
class CastSession:
    """A session of casts; what it was told is in `log`, in order."""

    engine: Engine
    unacked: int = 0
    draining: bool = False
    is_lost: bool = False
    log: list[tuple[Any, ...]] = field(default_factory=list)
    sending: list[tuple[Cast, Parcel]] = field(default_factory=list)

    def send(self, cast: Cast, parcel: Parcel) -> None:
        self.sending.append((cast, parcel))
        self.log.append(("letter",) if parcel.seconds is None else ("copy", parcel.seconds))

    def ack(self, consumer: Any, delivery: Delivery) -> bool:
        assert isinstance(consumer, CastConsumer)
        self.log.append(("ack", delivery.delivery_tag))
        return True

    def end_consumer(self, consumer: Any, then: Any) -> None:
        then()

    def drained(self) -> None:
        self.log.append(("drained",))

    def lose(self) -> None:
        self.is_lost = True
        self.engine.session_lost(self)

    def confirm(self) -> Parcel:
        """The broker has what was sent first; that."""
        cast, parcel = self.sending.pop(0)
        self.engine.confirmed(cast)
        return parcel


class CastServer(Server):
    """The engine, and everything around it, for casts."""

    def __init__(self, *, most: int = 10_000, source: Source = SOURCE) -> None:
        super().__init__(most=most, functions=FUNCTIONS)
        self.casts = Casts(self.engine, host="here", wall=lambda: self.now)
        self.casting = CastSession(self.engine)
        self.cast_consumer = CastConsumer(source)

    def come(
        self,
        method: str = "f",
        *,
        message_id: str | None = "m",
        redelivered: bool = False,
        headers: Mapping[str, Any] | None = None,
        body: bytes | None = None,
        expiration: str | None = None,
        timestamp: int | None = None,
    ) -> int:
        """Have a cast delivered; its tag."""
        self._tags += 1
        if body is None:
            body = b'{"jsonrpc":"2.0","method":"%s","params":[]}' % method.encode()
        delivery = Delivery(self._tags, redelivered, body, None, None, expiration, None, message_id)
        if headers is not None or timestamp is not None:
            delivery.content_bytes = content(headers or {}, timestamp)
        self.casts.delivered(self.casting, self.cast_consumer, delivery)
        return self._tags

    def come_back(self) -> CastSession:
        """The session is lost, and another takes its place."""
        self.casting.lose()
        self.casting, self.cast_consumer = CastSession(self.engine), CastConsumer(self.cast_consumer.source)
        return self.casting

    def cast(self, message_id: str = "m", attempts: int = 0) -> Cast:
        """One that is under way."""
        cast = self.engine.register.messages[self.cast_consumer.source.queue, message_id, str(attempts)]
        assert isinstance(cast, Cast)
        return cast

    def cast_state(self, message_id: str = "m") -> State:
        return State(self.cast(message_id).state)

    @property
    def told(self) -> list[tuple[Any, ...]]:
        """What the session of casts was told, without what was read here before."""
        told, self.casting.log = self.casting.log, []
        return told


def unreadable() -> bytes:
    """A content header with a header that is a time of the year 146 million or so."""
    entry = b"\x01aT" + b"\x0f" * 8
    return properties.HEADERS.to_bytes(2) + len(entry).to_bytes(4) + entry
