"""The life of a delivery, from when it was received until it is acked. Pure: it is told everything, the time too.

    delivered --> may it be answered, and computed? --> a worker has it --> reply, then ack

Rules: everything that decides what becomes of a delivery stands here, and what may become of it in the table. Whoever
drives this engine (`session`, `service`) does what it is told through the ports of `message`, at once, and calls back
for what takes time. A body is not looked into, unless somebody has to be answered in place of a worker (`asked`).

A message is answered on the session that holds its delivery. While that is lost the message is an orphan: it goes on,
the broker delivers it again, and it moves to the session that comes through. What waits for a worker meanwhile does not
start, because another server may have it by then. What came of an orphan is kept for when it is delivered again.
"""

from __future__ import annotations

import enum
import logging
from functools import partial
from typing import Any, TypeAlias

from ..amqp.messages import Delivery
from ..deadline import Clock, Deadline
from ..wire.control import Cancel
from ..wire.names import MAP, SENT_AGAIN
from ..wire.sizes import BodyLimit
from ..workers.work import Answer, Cancelled, Expired, Lost, Outcome
from .asked import called, outcome_unknown, too_large
from .counts import ServerCounts
from .message import Carrier, Key, Message, Wake, Workers, kind_of, look_into
from .orders import Order, Orders
from .register import Register
from .schedule import Schedule

log = logging.getLogger(__name__)


class State(enum.IntEnum):
    """Where a message is in its life."""

    NEW = enum.auto()
    ASKING = enum.auto()  # whether replies may go to its callback queue
    WORKING = enum.auto()  # a worker has it, or it waits for one
    APART = enum.auto()  # its worker died, and its calls are computed one by one
    STOPPING = enum.auto()  # nobody waits for it, and its worker is told to stop
    CONFIRMING = enum.auto()  # its reply waits until the broker has it
    ORPHAN = enum.auto()  # WORKING, without a session
    ORPHAN_APART = enum.auto()
    ORPHAN_STOPPING = enum.auto()
    OVER = enum.auto()


class Event(enum.IntEnum):
    """What happens to a message."""

    UNKNOWN_QUEUE = enum.auto()  # it was delivered, and its callback queue is a new one
    ACCEPTED = enum.auto()  # it is to be computed
    REPLY = enum.auto()  # there is a reply, and the broker surely takes it
    LARGE_REPLY = enum.auto()  # there is a reply, and the broker may refuse it
    NO_REPLY = enum.auto()  # it is over, and nobody is to be told
    NOT_RUN = enum.auto()  # it did not start: its time was up, or it was held as an orphan
    GIVEN_BACK = enum.auto()  # it failed, and is of a kind that has no caller to be told
    PART = enum.auto()  # a result came before the last one
    WORKER_DIED = enum.auto()  # and it may be tried again
    CALL_DIED = enum.auto()  # its worker died over one of its calls; the others can be computed alone
    SLOW = enum.auto()  # one of its calls takes long, and the others need not wait for that
    GIVEN_UP = enum.auto()  # its caller says that it waits no more
    LATE = enum.auto()  # its caller's time has passed
    LOST = enum.auto()  # the session that holds its delivery
    REDELIVERED = enum.auto()
    CONFIRMED = enum.auto()


_ENDS = {
    Event.NO_REPLY: (State.OVER, ("forget", "ack")),
    Event.NOT_RUN: (State.OVER, ("forget", "ack")),
    Event.REPLY: (State.OVER, ("forget", "reply", "ack")),
    Event.LARGE_REPLY: (State.CONFIRMING, ("confirm",)),
    Event.GIVEN_BACK: (State.OVER, ("forget", "nack")),
}
_ENDS_UNHEARD = dict.fromkeys(_ENDS, (State.OVER, ("forget", "ack")))
_ENDS_AS_ORPHAN = {
    Event.NO_REPLY: (State.OVER, ("forget", "keep")),
    Event.NOT_RUN: (State.OVER, ("forget", "keep_not_run")),
    Event.REPLY: (State.OVER, ("forget", "keep")),
    Event.LARGE_REPLY: (State.OVER, ("forget", "keep")),
    Event.GIVEN_BACK: (State.OVER, ("forget", "abandon")),
}
Row: TypeAlias = tuple[State, tuple[str, ...]]
TABLE: dict[State, dict[Event, Row]] = {
    State.NEW: {
        Event.UNKNOWN_QUEUE: (State.ASKING, ("ask",)),
        Event.ACCEPTED: (State.WORKING, ("register", "submit")),
        **_ENDS,
        Event.LARGE_REPLY: (State.CONFIRMING, ("register", "confirm")),
    },
    State.ASKING: {
        Event.ACCEPTED: (State.WORKING, ("register", "submit")),
        **_ENDS,
        Event.LARGE_REPLY: (State.CONFIRMING, ("register", "confirm")),
    },
    State.WORKING: {
        Event.PART: (State.WORKING, ("reply",)),
        Event.WORKER_DIED: (State.WORKING, ("submit",)),
        Event.CALL_DIED: (State.APART, ("take_apart",)),
        Event.SLOW: (State.WORKING, ("spread",)),
        Event.GIVEN_UP: (State.STOPPING, ("cancel",)),
        Event.LATE: (State.STOPPING, ("cancel",)),
        Event.LOST: (State.ORPHAN, ("hold",)),
        Event.REDELIVERED: (State.WORKING, ("join",)),
        **_ENDS,
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
    State.ORPHAN: {
        Event.WORKER_DIED: (State.OVER, ("forget", "abandon")),
        Event.CALL_DIED: (State.ORPHAN_APART, ("take_apart",)),
        Event.GIVEN_UP: (State.ORPHAN_STOPPING, ("cancel",)),
        Event.LATE: (State.ORPHAN_STOPPING, ("cancel",)),
        Event.REDELIVERED: (State.WORKING, ("join", "release")),
        **_ENDS_AS_ORPHAN,
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

    Attributes:
        register: the calls, by what their callers know them by.
    """

    def __init__(
        self, workers: Workers, counts: ServerCounts, wake: Wake, *, prefetch: int, requests: BodyLimit, clock: Clock
    ) -> None:
        self.register = Register(clock)
        self._workers = workers
        self._counts = counts
        self._requests = requests
        self._clock = clock
        self._schedule = Schedule(
            self.register, wake, clock, late=partial(self._move, event=Event.LATE), slow=self._look_whether_slow
        )
        self._orders = Orders(workers, self.register, self._schedule, counts, prefetch, self.outcome)
        self._moves: dict[int, dict[Event, tuple[State, tuple[Order, ...]]]] = {
            state: {event: (then, tuple(map(self._orders.named, orders))) for event, (then, orders) in rows.items()}
            for state, rows in TABLE.items()
        }

    def _move(self, message: Message, event: Event, given: Any = None) -> None:
        """Something happened to a message: do what the table says."""
        row = self._moves[message.state].get(event)
        if row is not None:
            message.state, orders = row
            for order in orders:
                order(message, given)

    # ---- in: what sessions tell

    def delivered(self, carrier: Carrier, consumer: Any, delivery: Delivery) -> None:
        """A delivery was received; it is acked when its message is over."""
        carrier.unacked += 1
        consumer.unacked += 1
        may_have_run = delivery.redelivered or delivery.message_id == SENT_AGAIN
        message = Message(carrier, consumer, delivery, State.NEW, may_have_run)
        reply_to = delivery.reply_to
        if reply_to is not None:
            queue = carrier.answered.get(reply_to)
            if queue is None:
                self._move(message, Event.UNKNOWN_QUEUE)
                return
            delivery.reply_to = queue
        self._accept(message)

    def queue_found(self, message: Message, queue: str | None) -> None:
        """The callback queue of a message is known; None if no reply may go there."""
        if queue is None:
            self._counts.refused += 1
            self._move(message, Event.NO_REPLY)
        else:
            message.delivery.reply_to = queue
            self._accept(message)

    def confirmed(self, message: Message) -> None:
        """The broker has the reply to a message, or what replaced it; or the reply was withdrawn."""
        self._move(message, Event.CONFIRMED)

    def session_lost(self, carrier: Carrier) -> None:
        """Nothing can be answered on a session any more: what runs goes on, what waits does not start."""
        for message in {**dict.fromkeys(self.register.messages.values()), **dict.fromkeys(self._orders.confirming)}:
            if message.carrier is carrier:
                self._move(message, Event.LOST)

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
                self._move(message, Event.GIVEN_UP)
            elif call is not None:
                call.give_up()
            else:
                self.register.give_up(key, given_up.remaining)
        self._schedule.look_soon()

    # ---- in: what workers tell

    def outcome(self, message: Message, outcome: Outcome) -> None:
        """A worker, or several one by one, have done with a message."""
        if message.carrier.is_lost:
            self._move(message, Event.LOST)
        if message.state in (State.STOPPING, State.ORPHAN_STOPPING):
            outcome = _CANCELLED
        match outcome:
            case Answer(body, calls):
                self._counts.answered += calls or self._count(message)
                self._answer(message, body)
            case Lost():
                self._worker_died(message, outcome)
            case Expired():
                self._counts.expired += not message.carrier.is_lost
                self._move(message, Event.NOT_RUN)
            case _:
                self._counts.cancelled += 1
                log.info("%s was cancelled: nobody waits for it any more", self._name(message))
                self._move(message, Event.NO_REPLY)

    def part(self, message: Message, response: bytes) -> None:
        """A worker has a result of a message before the last one."""
        if message.delivery.reply_to is not None:
            self._move(message, Event.PART, response)

    def _worker_died(self, message: Message, lost: Lost) -> None:
        """The call that was running pays, or is tried again; what can do no harm is computed again."""
        self._counts.lost += 1
        asked = look_into(message, self._workers.functions)
        message.attempts += lost.running
        message.may_have_run = True
        if lost.running and asked.comes_apart and asked.served.idempotent:
            self._move(message, Event.CALL_DIED, lost)
        elif asked.may_try_again(lost, message.attempts):
            self._move(message, Event.WORKER_DIED)
        else:
            error = asked.lost_error(lost)
            log.warning("%s failed: %s (%s, after %.3g s)", asked.name, error, lost.exit, lost.seconds)
            if kind_of(message).gives_back:
                self._move(message, Event.GIVEN_BACK)
            else:
                self._answer(message, asked.failure(error))

    def _count(self, message: Message) -> int:
        """How many calls a message is, where its worker does not tell."""
        if message.state in (State.APART, State.ORPHAN_APART):
            return 0  # none was computed: each took its worker down
        if message.delivery.type != MAP and message.delivery.body.startswith(b"{"):
            return 1  # without a further look, as nearly all
        return look_into(message, self._workers.functions).count

    def _name(self, message: Message) -> str:
        return called(message.delivery.body) if message.asked is None else message.asked.name

    # ---- in: time

    def tick(self) -> None:
        """Look at what has become due; `wake` sees to it that this is called then. Too early does no harm."""
        self._schedule.tick()

    def _look_whether_slow(self, message: Message) -> None:
        """Calls that travel together were each expected to be quick. If one is not, let the others not wait for it."""
        running = None
        if message.state == State.WORKING and message.work is not None:
            running = self._workers.running_item(message.work)
        if running is not None:
            self._move(message, Event.SLOW, running)
        elif message.state in (State.WORKING, State.ORPHAN):
            self._schedule.split_later(message)

    def close(self) -> None:
        """Forget everything."""
        self.register.clear()
        self._schedule.clear()
        self._orders.confirming.clear()

    # ---- what becomes of a message

    def _accept(self, message: Message) -> None:
        """A message whose callback queue is known: is it to be computed?"""
        delivery = message.delivery
        size, most = len(delivery.body), self._requests.most
        if size > most:
            self._counts.refused += 1
            log.warning("a request of %d bytes was refused: more than %d", size, most)
            self._answer(message, too_large(size, most))
            return
        if delivery.reply_to is not None and delivery.correlation_id is not None:
            key = message.key = (delivery.reply_to, delivery.correlation_id)
            if message.may_have_run and self._comes_again(message, key):
                return
            if self.register.was_given_up(key):
                self._counts.cancelled += 1
                self._move(message, Event.NO_REPLY)
                return
        if message.may_have_run:
            asked = look_into(message, self._workers.functions)
            if not asked.served.idempotent:
                self._counts.unknown += 1
                log.warning("%s is not run again: it may have run, and must not run twice", asked.name)
                self._answer(message, asked.failure(outcome_unknown()))
                return
        message.deadline = self._deadline(delivery.expiration)
        self._move(message, Event.ACCEPTED)

    def _comes_again(self, message: Message, key: Key) -> bool:
        """Whether a message goes on here already, or is answered with what came of it meanwhile."""
        delivery = message.delivery
        known = self.register.messages.get(key)
        if known is not None and known.delivery.body == delivery.body:
            self._counts.joined += 1
            self._move(known, Event.REDELIVERED, message)
            return True
        kept = self.register.kept(key, delivery.body)
        if kept is None:
            return False
        if not kept.has_run:
            # It came here first, and a server that got it in between did not run it if it must not run twice.
            message.may_have_run = delivery.message_id == SENT_AGAIN
            return False
        self._counts.joined += 1
        self._answer(message, kept.response)
        return True

    def _deadline(self, expiration: str | None) -> Deadline | None:
        """A message's `expiration` counts from its publication, so from now at the latest."""
        if expiration is None or not expiration.isdecimal():
            return None
        return Deadline.after(int(expiration) / 1000, self._clock)

    def _answer(self, message: Message, response: bytes | None) -> None:
        reply_to = message.delivery.reply_to
        if response is None or reply_to is None:
            self._move(message, Event.NO_REPLY)
        elif message.carrier.is_sure(reply_to, response):
            self._move(message, Event.REPLY, response)
        else:
            self._move(message, Event.LARGE_REPLY, response)

    def __repr__(self) -> str:
        return f"<Engine: {self.register!r}, {len(self._orders.confirming)} replies wait to be confirmed>"


_CANCELLED = Cancelled()
