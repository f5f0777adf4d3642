"""What a delivery brings: a message, its calls, its kind; and whom the engine that looks after it talks to. Pure."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

from ..amqp.messages import Delivery
from ..deadline import Deadline
from ..workers.work import Answer, Done, Lost, Served, Work
from .asked import Asked

Key: TypeAlias = tuple[str, ...]
"""Of a call: the callback queue, which is one client's own, and the correlation_id, its name for the call. Of a cast:
its queue, message_id and number of attempts, three, so that no client can mean one by what it says of its calls."""


# ---- states, events and kinds


class State(enum.IntEnum):
    """Where a message is in its life."""

    NEW = enum.auto()
    ASKING = enum.auto()  # whether replies may go to its callback queue
    WORKING = enum.auto()  # a worker has it, or it waits for one
    APART = enum.auto()  # its worker died, and its calls are computed one by one
    STOPPING = enum.auto()  # nobody waits for it, and its worker is told to stop
    CONFIRMING = enum.auto()  # its reply waits until the broker has it
    COPYING = enum.auto()  # of a cast: a copy that waits, or a letter, is on its way to the broker
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
    PART = enum.auto()  # a result came before the last one
    WORKER_DIED = enum.auto()  # and it may be tried again
    SUSPECTED = enum.auto()  # its worker died, perhaps over it; it may be tried again in a worker alone
    CALL_DIED = enum.auto()  # its worker died over one of its calls; the others can be computed alone
    SLOW = enum.auto()  # one of its calls takes long, and the others need not wait for that
    GIVEN_UP = enum.auto()  # its caller says that it waits no more
    LATE = enum.auto()  # its caller's time has passed
    LOST = enum.auto()  # the session that holds its delivery
    REDELIVERED = enum.auto()
    CONFIRMED = enum.auto()  # the broker has its reply, or what stands for it
    # of casts alone
    CAST_ACCEPTED = enum.auto()  # it is to run
    DONE = enum.auto()
    AGAIN = enum.auto()  # it is to be tried again, after a while
    DEAD = enum.auto()  # it is not to be tried any more


class Kind(Protocol):
    """What becomes of messages of one kind, where kinds differ: it decides, and the engine's table does the rest.

    Attributes:
        split_after: seconds of running after which its calls are computed beside each other; None is never.
    """

    split_after: float | None

    def answered(self, message: Message, answer: Answer) -> None:
        """A worker has answered."""

    def lost(self, message: Message, lost: Lost) -> None:
        """Its worker ended before it answered."""

    def not_run(self, message: Message) -> None:
        """A worker was free, and it was not to be started any more."""

    def cancelled(self, message: Message) -> None:
        """It was stopped, or its end counts for nothing: nobody waits for it."""


# ---- ports: whom the engine calls, directly


class Carrier(Protocol):
    """A session: what brings deliveries of one kind.

    A consumer is its own affair, but for the `unacked` that each has too.

    Attributes:
        unacked: how many deliveries are not acked yet; written by the engine alone.
        draining: whether no more deliveries are taken; likewise.
    """

    unacked: int
    draining: bool

    @property
    def is_lost(self) -> bool:
        """Whether nothing can be answered or acked on it any more."""

    def ack(self, consumer: Any, delivery: Delivery) -> bool:
        """Ack a delivery; whether it was acked, or need not be because its queue was deleted."""

    def end_consumer(self, consumer: Any, then: Callable[[], None]) -> None:
        """End a consumer (basic.cancel), then do something."""

    def drained(self) -> None:
        """While it is draining: nothing is unacked any more."""


class CastCarrier(Carrier, Protocol):
    """A session that brings casts."""

    def send(self, message: Any, parcel: Any) -> None:
        """Publish what stands for a cast (a `casts.Parcel`); `Engine.confirmed` is called when the broker has it."""


class CallCarrier(Carrier, Protocol):
    """A session that brings calls, and takes replies."""

    @property
    def answered(self) -> Mapping[str, str]:
        """The callback queue that each `reply_to` means, as far as it is known that replies may go there."""

    def ask(self, message: Message) -> None:
        """Find out whether a reply may go to the message's `reply_to`; `Engine.queue_found` is called."""

    def is_sure(self, reply_to: str, response: bytes) -> bool:
        """Whether the broker surely takes a reply, so that its delivery can be acked behind it."""

    def publish(self, consumer: Any, reply_to: str, response: bytes, correlation_id: str | None) -> None:
        """Publish a reply that is surely taken, before the acks that follow, where its request came from."""

    def publish_alone(self, reply_to: str, response: bytes, call_id: str) -> None:
        """Publish the reply, of any size, to a call that came in a message with others."""

    def confirm(self, message: Message, asked: Callable[[], Asked], response: bytes) -> None:
        """Publish a reply that the broker may refuse; `Engine.confirmed` is called when it has it, or what replaces it.

        Args:
            message: whose reply it is.
            asked: tells what the message asks for, for the errors that replace a reply.
            response: the reply.
        """

    def withdraw(self, message: Message) -> None:
        """Do not publish a reply that waits for its turn. `Engine.confirmed` is called all the same."""


class Workers(Protocol):
    """Who computes."""

    @property
    def functions(self) -> Mapping[str, Served]:
        """What is served, by name."""

    def submit(
        self,
        body: bytes,
        done: Done,
        deadline: Deadline | None = None,
        *,
        context: bytes | None = None,
        cast: bool = False,
    ) -> Work:
        """Have a request computed; `done` is called once with what became of it.

        Args:
            body: the request.
            done: who is told.
            deadline: it need not be started after that.
            context: what its worker is told besides (`workers.job`).
            cast: whether it waits behind all calls.
        """

    def submit_alone(
        self,
        body: bytes,
        done: Done,
        deadline: Deadline | None = None,
        *,
        context: bytes | None = None,
        cast: bool = False,
    ) -> Work:
        """Have a request computed, likewise, by a worker that computes no other meanwhile."""

    def cancel(self, work: Work) -> None:
        """Have a request not computed, or no longer."""

    def running_item(self, work: Work) -> int | None:
        """In a message of many calls, the index of the one that runs; None if the message does not run (yet)."""


Wake: TypeAlias = Callable[[float], object]
"""Has the engine's `tick` called after so many seconds, instead of when it was to be called before."""


# ---- messages and calls


@dataclass(slots=True, eq=False)
class Message:
    """What one delivery brought.

    Attributes:
        carrier: who holds the delivery now: a `CallCarrier` or a `CastCarrier`, as its kind is.
        consumer: through which of its consumers that came.
        delivery: the request; its `reply_to` is the name of the callback queue once that is known.
        state: where the message is in its life, as a `State`; written by the engine's table alone.
        kind: what decides about it.
        may_have_run: whether a function of it may have begun, here or on another server.
        key: what it is known by, None where it has no such name.
        deadline: when nobody waits any more, counted from when it was received.
        attempts: over how many a worker died that was running it, and nothing else.
        suspicion: whether it may be what took a worker down that was running others too (`asked.Again`).
        work: what a worker was given of it as a whole.
        asked: what it asks for, once that was looked at.
        parts: those of its calls that are computed one by one, while there are such.
        response: the reply that waits to be confirmed; of a cast its worker's report.
        earlier: deliveries of the same message, of the same session, that are acked with this one.
    """

    carrier: Any
    consumer: Any
    delivery: Delivery
    state: int
    kind: Kind
    may_have_run: bool
    key: Key | None = None
    deadline: Deadline | None = None
    attempts: int = 0
    suspicion: int = 0
    work: Work | None = None
    asked: Asked | None = None
    parts: Calls | None = None
    response: bytes | None = None
    earlier: Sequence[tuple[Any, Delivery]] = ()

    def __repr__(self) -> str:
        return f"<Message {self.key} in state {self.state}, {self.attempts} attempts>"


def look_into(message: Message, functions: Mapping[str, Served]) -> Asked:
    """What a message asks for: its body is parsed, once."""
    if message.asked is None:
        message.asked = Asked.read(message.delivery.body, functions)
    return message.asked


class Calls(Protocol):
    """The calls of a message that are computed one by one, as far as the message knows them."""

    def spread(self, running: int) -> None:
        """Have every call but the one that runs computed by itself too."""

    def take_apart(self, lost: Lost) -> None:
        """Have every call computed by itself: their worker died."""

    def cancel(self) -> None:
        """Stop what is not computed yet."""

    def stop(self, call: Call) -> None:
        """Stop one of them, if it is not computed yet."""

    def release(self) -> None:
        """The message is over: what has not started need not start any more."""


@dataclass(slots=True, eq=False)
class Call:
    """A call that came in a message with others and is computed by itself.

    Attributes:
        parts: of the message that it came in.
        index: its place there.
        key: what its caller knows it by, if it has one of its own.
        deadline: when its caller waits no more.
        attempts, suspicion: as of a message.
        work: what a worker was given.
        is_given_up: whether its caller waits no more.
    """

    parts: Calls = field(repr=False)
    index: int
    key: Key | None
    deadline: Deadline | None
    attempts: int = 0
    suspicion: int = 0
    work: Work | None = field(default=None, repr=False)
    is_given_up: bool = False

    @property
    def is_under_way(self) -> bool:
        """Whether a worker has it, or it waits for one."""
        return self.work is not None and not self.work.is_over

    def give_up(self) -> None:
        """Stop it: its caller waits no more."""
        self.is_given_up = True
        self.parts.stop(self)
