"""What becomes of casts: nobody waits for them, so a server sees to it that each is done at least once. Pure.

    delivered --> may it run (again)? --> a worker --> done: ack
                         |                   |-------> to be tried again: a copy, to wait --confirmed--> ack
                         +-------------------+-------> never: a dead letter --------------confirmed--> ack

Rules: a delivery is acked when its cast was done, or when the broker has confirmed what stands for it: a copy with one
attempt more, or a dead letter. So whatever goes in between, the broker delivers it again, or has it twice. A function
that must not run twice is not run where it may have run before: what is left of the cast is a letter that says so.

A quorum queue counts how often it delivers a message, and gives it up in the end. Of one that does not count, what
comes again is published anew with one attempt more, before it runs: a cast that takes down whole servers ends too.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ..amqp.messages import Delivery
from ..deadline import Clock, Deadline
from ..errors import (
    CallCancelled,
    InternalError,
    InvalidRequest,
    OutcomeUnknown,
    RemoteError,
    WorkerLost,
)
from ..functions.retry import after_loss
from ..host.logs import one_line
from ..wire import jsonrpc
from ..wire.casts import MOST_DELAY, History, casts_queue, dead_queue, delayed, kept_headers, whole_delay
from ..wire.events import handler_queue, topic_of, users_headers
from ..wire.letters import letter_headers
from ..wire.names import DEAD, TOPIC, TOPICS
from ..workers.job import Context, Report
from ..workers.work import Answer, Handled, Lost
from .asked import Asked
from .kinds import Desk
from .life import CAST_DEAD
from .message import CastCarrier, Event, Message, State
from .told import headers_of

log = logging.getLogger(__name__)

_COUNTED_BY = ("x-delivery-count", "x-acquired-count")
"""The headers in which quorum queues say how often they have delivered a message."""
_MOST_SENTENCE = 200


@dataclass(frozen=True, slots=True)
class Source:
    """A queue whose messages are casts.

    Attributes:
        queue: its name.
        letters: the routing key of its dead letters.
        is_foreign: whether it is one of others: it is taken as it is, and what comes through it may be no JSON-RPC.
        handler: whose events come through it; None for casts.
    """

    queue: str
    letters: str
    is_foreign: bool = False
    handler: Handled | None = None

    @property
    def dead(self) -> str:
        """The queue of its dead letters."""
        return dead_queue(self.letters)

    @classmethod
    def of(cls, queue: str) -> Source:
        """The casts of a served queue."""
        return cls(casts_queue(queue), queue)

    @classmethod
    def foreign(cls, queue: str) -> Source:
        """A queue that others have made."""
        return cls(queue, queue, is_foreign=True)

    @classmethod
    def of_handler(cls, queue: str, handler: Handled) -> Source:
        """The events of a handler, in the pools of a served queue.

        Raises:
            ConfigurationError: the names are too long.
        """
        name = handler_queue(queue, handler.name, handler.patterns, handler.exchange or TOPICS)
        return cls(name, queue, handler=handler)


@dataclass(slots=True, eq=False, kw_only=True)
class Cast(Message):
    """What one delivery of a cast brought.

    Attributes:
        source: the queue that it came from.
        headers: those that it came with.
        history: what they tell of its past.
        expires: when it need not be started any more.
        context: what its worker is told.
    """

    source: Source
    headers: Mapping[str, Any]
    history: History
    expires: Deadline | None = None
    context: bytes = b""

    @property
    def topic(self) -> str:
        """Of an event."""
        return topic_of(self.delivery.exchange, self.delivery.routing_key, self.headers)

    @property
    def topic_header(self) -> dict[str, Any]:
        """Of an event: the header by which what stands for it tells its topic."""
        return {} if self.source.handler is None else {TOPIC: self.topic}

    @property
    def attempt(self) -> int:
        """The number of the attempt that it was delivered for, from 1."""
        return self.history.attempts + 1


@dataclass(frozen=True, slots=True)
class Parcel:
    """What is published in place of a cast, before that is acked.

    Attributes:
        headers: the ways to write its headers, the best first: they may be too long, or hold what cannot be sent.
        seconds: how long a copy waits; None for a letter.
    """

    headers: tuple[Mapping[str, Any], ...]
    seconds: int | None = None

    def routes(self, source: Source, *, may_wait: bool) -> Iterator[tuple[str, str]]:
        """Where it goes, as exchange and routing key: the first that is allowed, each on the way to the same queue.

        Args:
            source: of the cast.
            may_wait: whether messages can wait for its queue; else copies come back to it at once.
        """
        if self.seconds is None:
            yield DEAD, source.letters
            yield "", source.dead
            return
        if self.seconds and may_wait:
            yield delayed(self.seconds, source.queue)
        yield "", source.queue


class Casts:
    """Messages that nobody waits for.

    Args:
        desk: the engine.
        host: the name of this one, for letters.
        wall: seconds since 1970.
    """

    split_after: float | None = None

    def __init__(self, desk: Desk, *, host: str, wall: Clock) -> None:
        self._workers, self._counts, self._register = desk.workers, desk.counts, desk.register
        self._requests, self._clock, self._move = desk.requests, desk.clock, desk.move
        self._life = desk.life
        self._host, self._wall = host, wall

    # ---- may it run?

    def delivered(self, carrier: CastCarrier, consumer: Any, delivery: Delivery) -> None:
        """A delivery was received; it is acked when its cast is over.

        Args:
            carrier: the session.
            consumer: through which it came; it knows its `source`.
            delivery: the cast.
        """
        carrier.unacked += 1
        consumer.unacked += 1
        headers = headers_of(delivery)
        history = History.read(headers)
        again = delivery.redelivered or history.again
        source: Source = consumer.source
        cast = Cast(
            carrier, consumer, delivery, State.NEW, self, again, source=source, headers=headers, history=history
        )
        size, most = len(delivery.body), self._requests.most
        if size > most:
            self._counts.refused += 1
            self._die(cast, InvalidRequest(f"the cast takes {size} bytes; this server takes at most {most}"), 0)
            return
        if delivery.message_id is not None:
            # A copy has the id of what it is a copy of, and is another message all the same.
            cast.key = (source.queue, delivery.message_id, str(history.attempts))
            if again and self._comes_again(cast):
                return
        if not cast.may_have_run or self._may_run_again(cast):
            self._accept(cast)

    def _accept(self, cast: Cast) -> None:
        expiration = cast.delivery.expiration
        if expiration is not None and expiration.isdecimal():
            cast.expires = Deadline.after(int(expiration) / 1000, self._clock)
        cast.context = self._context(cast).encode()
        self._move(cast, Event.CAST_ACCEPTED)

    def _context(self, cast: Cast) -> Context:
        delivery, handler = cast.delivery, cast.source.handler
        context = Context(
            kind="cast" if handler is None else "event",
            message_id=delivery.message_id,
            attempt=cast.attempt,
            first_published=self._first_published(cast),
            headers=users_headers(cast.headers),
            bare=cast.source.is_foreign,
        )
        if handler is None:
            return context
        return replace(
            context,
            handler=handler.name,
            topic=cast.topic,
            content_type=delivery.content_type,
            redelivered=cast.may_have_run or cast.attempt > 1,
        )

    def _comes_again(self, cast: Cast) -> bool:
        """Whether a cast goes on here already, or what came of it meanwhile is known."""
        assert cast.key is not None
        known = self._register.messages.get(cast.key)
        if known is not None and known.delivery.body == cast.delivery.body:
            self._counts.joined += 1
            self._move(known, Event.REDELIVERED, cast)
            return True
        kept = self._register.kept(cast.key, cast.delivery.body)
        if kept is None:
            return False
        if not kept.has_run:
            cast.may_have_run = cast.history.again  # as for calls
            return False
        self._counts.joined += 1
        self._settle(cast, kept.response)
        return True

    def _may_run_again(self, cast: Cast) -> bool:
        """Whether a cast is to run now that may have run before; else it has been seen to."""
        served = self._look(cast).served
        if not served.idempotent:
            self._counts.unknown += 1
            self._die(cast, OutcomeUnknown(_MAY_HAVE_RUN), cast.attempt)
            return False
        if not cast.delivery.redelivered or any(name in cast.headers for name in _COUNTED_BY):
            return True
        if after_loss(served.retry, cast.attempt, idempotent=True) is None:
            self._die(cast, WorkerLost(_TOOK_SERVERS_DOWN.format(cast.attempt)), cast.attempt)
        else:
            self._again(cast, 0)
        return False

    # ---- what workers made of it

    def answered(self, message: Message, answer: Answer) -> None:
        assert isinstance(message, Cast)
        self._settle(message, answer.body)

    def _settle(self, cast: Cast, report: bytes | None) -> None:
        """Act on a worker's report, which is kept for when its session goes."""
        cast.response = report
        try:
            told = Report.read(report or b"")
        except ValueError:
            told = Report(jsonrpc.error_object(InternalError("its worker gave no report of it")))
        if told.error is None:
            self._counts.done += not cast.carrier.is_lost
            self._move(cast, Event.DONE)
        elif told.retry_in is None:
            self._die(cast, told.error, cast.attempt)
        else:
            self._again(cast, told.retry_in)

    def lost(self, message: Message, lost: Lost) -> None:
        assert isinstance(message, Cast)
        asked = self._look(message)
        seconds = after_loss(asked.served.retry, message.attempt, idempotent=asked.served.idempotent)
        error = asked.lost_error(lost)
        if message.carrier.is_lost:
            self._move(message, Event.WORKER_DIED)
        elif lost.beside and asked.served.idempotent:
            log.info("%s runs again, alone: %s with %d others beside it", self._name(message), lost.exit, lost.beside)
            self._move(message, Event.SUSPECTED)
        elif seconds is not None:
            log.warning("%s is tried again in %g s: %s (%s)", self._name(message), seconds, error, lost.exit)
            self._again(message, seconds)
        else:
            if not asked.served.idempotent:
                error = OutcomeUnknown(f"{error}; its function must not run twice", data=error.data)
            self._die(message, error, message.attempt)

    def not_run(self, message: Message) -> None:
        assert isinstance(message, Cast)
        if message.carrier.is_lost:
            self._move(message, Event.NOT_RUN)
        else:
            self._counts.expired += 1
            self._die(message, CallCancelled("it expired before a worker was free for it"), message.history.attempts)

    def cancelled(self, message: Message) -> None:
        assert isinstance(message, Cast)
        self._die(message, CallCancelled("it was cancelled"), message.attempt)

    # ---- what stands for it then

    def _again(self, cast: Cast, seconds: float) -> None:
        """A copy with one attempt more, which waits so long."""
        if not cast.carrier.is_lost and not self._look(cast).served.idempotent:
            cast.response = None  # the copy may be there when the session goes, and there is to be one alone
        history = History(cast.attempt, self._first_published(cast)).headers() | cast.topic_header
        headers = ({**kept_headers(cast.headers), **history}, history)
        self._move(cast, Event.AGAIN, Parcel(headers, whole_delay(min(max(seconds, 0.0), MOST_DELAY))))

    def _die(self, cast: Cast, error: RemoteError | Mapping[str, Any], attempts: int) -> None:
        """A dead letter."""
        told = jsonrpc.error_object(error) if isinstance(error, RemoteError) else error
        sentence = str(told.get("message", ""))
        short = {"code": told.get("code"), "message": sentence[:_MOST_SENTENCE]}
        topic = cast.topic_header
        ways: tuple[tuple[Mapping[str, Any], Mapping[str, Any]], ...] = (
            ({**cast.headers, **topic}, told),
            (topic, told),
            (topic, short),
        )
        first = self._first_published(cast)
        headers = tuple(
            letter_headers(
                kept,
                error=error,
                attempts=attempts,
                first_published=first,
                died=self._now(),
                host=self._host,
                came_from=cast.source.queue,
            )
            for kept, error in ways
        )
        if not cast.carrier.is_lost:
            log.warning("%s is a dead letter in %r: %s", self._name(cast), cast.source.dead, one_line(sentence))
            if self._life.wants(CAST_DEAD):
                methods = ", ".join((self._look(cast).methods or ())[:3])
                message_id = cast.delivery.message_id
                self._life.failed(CAST_DEAD, methods, told, message_id=message_id, attempts=attempts)
        self._move(cast, Event.DEAD, Parcel(headers))

    def _first_published(self, cast: Cast) -> int:
        known, timestamp = cast.history.first_published, cast.delivery.timestamp
        if known is not None:
            return known
        return self._now() if timestamp is None else timestamp * 1000

    def _now(self) -> int:
        return int(self._wall() * 1000)

    def _look(self, cast: Cast) -> Asked:
        handler = cast.source.handler
        if cast.asked is None and handler is not None:
            cast.asked = Asked.of_event(handler.name, handler.served)
        elif cast.asked is None:
            cast.asked = Asked.read(cast.delivery.body, self._workers.functions, bare=cast.source.is_foreign)
        return cast.asked

    def _name(self, cast: Cast) -> str:
        if cast.source.handler is not None:
            return one_line(f"event {cast.topic} for {cast.source.handler.name}")
        methods = self._look(cast).methods
        of = "the default function" if methods is None else ", ".join(methods[:3]) or "nothing"
        return one_line(f"cast {cast.delivery.message_id or 'without an id'} of {of}")


_MAY_HAVE_RUN = (
    "the cast may have run before, when a server or a connection was lost, and its function must not run twice"
)
_TOOK_SERVERS_DOWN = "attempt {} at it has ended like those before: its server, or the connection, was lost over it"
