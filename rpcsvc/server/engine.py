"""The life of a delivery, from when it was received until it is acked. Pure: it is told everything, the time too.

    delivered --> may it be answered, and computed? --> a worker has it --> reply, then ack

Rules: what may become of a delivery stands here, in the table; what becomes of it is decided by its kind (`calls`), in
files of their own. Whoever drives this engine (`session`, `service`) does what it is told through the ports of
`message`, at once, and calls back for what takes time.

A message is answered on the session that holds its delivery. While that is lost the message is an orphan: it goes on,
the broker delivers it again, and it moves to the session that comes through. What waits for a worker meanwhile does not
start, because another server may have it by then. What came of an orphan is kept for when it is delivered again.
"""

from __future__ import annotations

from functools import partial
from typing import Any, TypeAlias

from ..amqp.messages import Delivery
from ..deadline import Clock
from ..wire.control import Cancel
from ..wire.names import MAP
from ..wire.sizes import BodyLimit
from ..workers.work import Answer, Cancelled, Expired, Lost, Outcome
from .calls import Calls
from .counts import ServerCounts
from .life import Life
from .message import CallCarrier, Carrier, Event, Message, State, Wake, Workers
from .orders import Order, Orders
from .register import Register
from .schedule import Schedule

_ENDS = {
    Event.NO_REPLY: (State.OVER, ("forget", "ack")),
    Event.NOT_RUN: (State.OVER, ("forget", "ack")),
    Event.REPLY: (State.OVER, ("forget", "reply", "ack")),
    Event.LARGE_REPLY: (State.CONFIRMING, ("confirm",)),
}
_ENDS_UNHEARD = dict.fromkeys(_ENDS, (State.OVER, ("forget", "ack")))
_ENDS_AS_ORPHAN = {
    Event.NO_REPLY: (State.OVER, ("forget", "keep")),
    Event.NOT_RUN: (State.OVER, ("forget", "keep_not_run")),
    Event.REPLY: (State.OVER, ("forget", "keep")),
    Event.LARGE_REPLY: (State.OVER, ("forget", "keep")),
}
_CAST_ENDS = {
    Event.DONE: (State.OVER, ("forget", "ack")),
    Event.AGAIN: (State.COPYING, ("send",)),
    Event.DEAD: (State.COPYING, ("send",)),
}
_CAST_ENDS_AS_ORPHAN = dict.fromkeys(_CAST_ENDS, (State.OVER, ("forget", "keep_report")))
SPLIT_AFTER = 0.02
"""Seconds of running after which the calls of one message are computed beside each other. Those that travel together
were each expected to be quick, 2 ms in all."""
Row: TypeAlias = tuple[State, tuple[str, ...]]
TABLE: dict[State, dict[Event, Row]] = {
    State.NEW: {
        Event.UNKNOWN_QUEUE: (State.ASKING, ("ask",)),
        Event.ACCEPTED: (State.WORKING, ("register", "submit")),
        **_ENDS,
        Event.LARGE_REPLY: (State.CONFIRMING, ("register", "confirm")),
        Event.CAST_ACCEPTED: (State.WORKING, ("register", "perform")),
        Event.DONE: (State.OVER, ("ack",)),
        Event.AGAIN: (State.COPYING, ("register", "send")),
        Event.DEAD: (State.COPYING, ("register", "send")),
    },
    State.ASKING: {
        Event.ACCEPTED: (State.WORKING, ("register", "submit")),
        **_ENDS,
        Event.LARGE_REPLY: (State.CONFIRMING, ("register", "confirm")),
    },
    State.WORKING: {
        Event.PART: (State.WORKING, ("reply",)),
        Event.WORKER_DIED: (State.WORKING, ("submit",)),
        Event.SUSPECTED: (State.WORKING, ("submit_alone",)),
        Event.CALL_DIED: (State.APART, ("take_apart",)),
        Event.SLOW: (State.WORKING, ("spread",)),
        Event.GIVEN_UP: (State.STOPPING, ("cancel",)),
        Event.LATE: (State.STOPPING, ("cancel",)),
        Event.LOST: (State.ORPHAN, ("hold",)),
        Event.REDELIVERED: (State.WORKING, ("join",)),
        **_ENDS,
        **_CAST_ENDS,
    },
    State.APART: {
        Event.GIVEN_UP: (State.STOPPING, ("cancel",)),
        Event.LATE: (State.STOPPING, ("cancel",)),
        Event.LOST: (State.ORPHAN_APART, ()),
        Event.REDELIVERED: (State.APART, ("join",)),
        **_ENDS,
    },
    State.STOPPING: {
        Event.LOST: (State.ORPHAN_STOPPING, ()),
        Event.REDELIVERED: (State.STOPPING, ("join",)),
        **_ENDS_UNHEARD,
    },
    State.CONFIRMING: {
        Event.CONFIRMED: (State.OVER, ("forget", "ack")),
        Event.GIVEN_UP: (State.CONFIRMING, ("withdraw",)),
        Event.LOST: (State.OVER, ("forget", "keep")),
        Event.REDELIVERED: (State.CONFIRMING, ("join",)),
    },
    State.COPYING: {
        Event.CONFIRMED: (State.OVER, ("forget", "sent", "ack")),
        Event.LOST: (State.OVER, ("forget", "sent", "keep_report")),
        Event.REDELIVERED: (State.COPYING, ("join",)),
    },
    State.ORPHAN: {
        Event.WORKER_DIED: (State.OVER, ("forget", "abandon")),
        Event.SUSPECTED: (State.OVER, ("forget", "abandon")),
        Event.CALL_DIED: (State.ORPHAN_APART, ("take_apart",)),
        Event.GIVEN_UP: (State.ORPHAN_STOPPING, ("cancel",)),
        Event.LATE: (State.ORPHAN_STOPPING, ("cancel",)),
        Event.REDELIVERED: (State.WORKING, ("join", "release")),
        **_ENDS_AS_ORPHAN,
        **_CAST_ENDS_AS_ORPHAN,
    },
    State.ORPHAN_APART: {
        Event.GIVEN_UP: (State.ORPHAN_STOPPING, ("cancel",)),
        Event.LATE: (State.ORPHAN_STOPPING, ("cancel",)),
        Event.REDELIVERED: (State.APART, ("join",)),
        **_ENDS_AS_ORPHAN,
    },
    State.ORPHAN_STOPPING: {
        Event.REDELIVERED: (State.STOPPING, ("join",)),
        **_ENDS_AS_ORPHAN,
    },
    State.OVER: {},
}
"""Where each event leads, and what is ordered then, in that order. What is not in here changes nothing."""


class Engine:
    """The deliveries of one server. It outlives sessions.

    Args:
        workers: who computes.
        counts: what happened; written here.
        wake: calls `tick` after some seconds.
        prefetch: how many deliveries each consumer may hold.
        requests: the largest body in bytes that is taken.
        clock: seconds, monotonic.
        life: told what others may want to hear; None tells nobody.

    Attributes:
        workers, counts, requests, clock, life: as given.
        register: the messages, by what they are known by.
        kinds: what decides, by the property `type`; what is not in here is looked after like a plain call.
    """

    def __init__(
        self,
        workers: Workers,
        counts: ServerCounts,
        wake: Wake,
        *,
        prefetch: int,
        requests: BodyLimit,
        clock: Clock,
        life: Life | None = None,
    ) -> None:
        self.workers, self.counts, self.requests, self.clock = workers, counts, requests, clock
        self.life = life or Life("", {}, clock)
        self.register = Register(clock)
        self._schedule = Schedule(
            self.register, wake, clock, late=partial(self.move, event=Event.LATE), slow=self._look_whether_slow
        )
        self._orders = Orders(workers, self.register, self._schedule, counts, prefetch, self.outcome)
        self._moves: dict[int, dict[Event, tuple[State, tuple[Order, ...]]]] = {
            state: {event: (then, tuple(map(self._orders.named, orders))) for event, (then, orders) in rows.items()}
            for state, rows in TABLE.items()
        }
        self._calls = Calls(self)
        self.kinds = {MAP: Calls(self, SPLIT_AFTER)}

    def move(self, message: Message, event: Event, given: Any = None) -> None:
        """Something happened to a message: do what the table says."""
        row = self._moves[message.state].get(event)
        if row is not None:
            message.state, orders = row
            for order in orders:
                order(message, given)

    # ---- in: what sessions tell

    def delivered(self, carrier: CallCarrier, consumer: Any, delivery: Delivery) -> None:
        """A delivery of calls was received; it is acked when its message is over. (Of casts: `Casts.delivered`.)"""
        carrier.unacked += 1
        consumer.unacked += 1
        kind = self._calls if delivery.type is None else self.kinds.get(delivery.type, self._calls)
        kind.delivered(carrier, consumer, delivery)

    def queue_found(self, message: Message, queue: str | None) -> None:
        """The callback queue of a message is known; None if no reply may go there."""
        self._calls.queue_found(message, queue)

    def confirmed(self, message: Message) -> None:
        """The broker has the reply to a message, or what replaced it; or the reply was withdrawn."""
        self.move(message, Event.CONFIRMED)

    def session_lost(self, carrier: Carrier) -> None:
        """Nothing can be answered on a session any more: what runs goes on, what waits does not start."""
        for message in {**dict.fromkeys(self.register.messages.values()), **dict.fromkeys(self._orders.confirming)}:
            if message.carrier is carrier:
                self.move(message, Event.LOST)

    def drain(self, carrier: Carrier) -> None:
        """A session takes no more deliveries; it is told when those that were taken are acked."""
        carrier.draining = True
        if not carrier.unacked:
            carrier.drained()

    # ---- in: what callers tell

    def cancelled(self, given_up: Cancel) -> None:
        """Stop the calls that are here; remember the others, which may be about to come.

        Args:
            given_up: the calls, with the name of the callback queue as `reply_to`.
        """
        for call_id in given_up.ids:
            key = (given_up.reply_to, call_id)
            message, call = self.register.messages.get(key), self.register.calls.get(key)
            if message is not None:
                self.move(message, Event.GIVEN_UP)
            elif call is not None:
                call.give_up()
            else:
                self.register.give_up(key, given_up.remaining)
        self._schedule.look_soon()

    # ---- in: what workers tell

    def outcome(self, message: Message, outcome: Outcome) -> None:
        """A worker, or several one by one, have done with a message."""
        if message.carrier.is_lost:
            self.move(message, Event.LOST)
        if message.state in (State.STOPPING, State.ORPHAN_STOPPING):
            outcome = _CANCELLED
        match outcome:
            case Answer():
                message.kind.answered(message, outcome)
            case Lost():
                self.counts.lost += 1
                message.kind.lost(message, outcome)
            case Expired():
                message.kind.not_run(message)
            case _:
                message.kind.cancelled(message)

    def part(self, message: Message, response: bytes) -> None:
        """A worker has a result of a message before the last one."""
        if message.delivery.reply_to is not None:
            self.move(message, Event.PART, response)

    # ---- in: time

    def tick(self) -> None:
        """Look at what has become due; `wake` sees to it that this is called then. Too early does no harm."""
        self._schedule.tick()

    def _look_whether_slow(self, message: Message) -> None:
        """Calls that travel together were each expected to be quick. If one is not, let the others not wait for it."""
        running = None
        if message.state == State.WORKING and message.work is not None:
            running = self.workers.running_item(message.work)
        if running is not None:
            self.move(message, Event.SLOW, running)
        elif message.state in (State.WORKING, State.ORPHAN):
            self._schedule.split_later(message)

    def close(self) -> None:
        """Forget everything."""
        self.register.clear()
        self._schedule.clear()
        self._orders.confirming.clear()

    def __repr__(self) -> str:
        return f"<Engine: {self.register!r}, {len(self._orders.confirming)} replies wait to be confirmed>"


_CANCELLED = Cancelled()
