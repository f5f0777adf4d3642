"""The words of the outbox: a message that is done when the broker has confirmed it, and what its driver does for it.

    Outgoing    such a message: a cast, or an event
    Kind        what it is: what its sender is told
    Port        who does what the outbox wants

What leads from one state to another is the table in `outbox`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping
from enum import StrEnum
from typing import Any, Protocol

from ..errors import RpcError


class State(StrEnum):
    """Where a message is."""

    HELD = "held"
    """In the client: there is no channel, or it takes nothing, or what it needs is not there yet."""
    LEAVING = "leaving"
    """With the driver, who writes it at once, or, a large one, when its turn has come."""
    SENT = "sent"
    """Published: the broker may have taken it."""
    DONE = "done"
    """It has its outcome, or nobody waits for one."""


class Event(StrEnum):
    """What happens to a message."""

    FREE = "there is a channel that takes messages, and what it needs is there"
    WRITTEN = "the driver has written it"
    CONFIRMED = "the broker has it safe"
    RETURNED = "no queue took it"
    AWAITED = "no queue took it, or one refused it, and its sender waits for a server"
    REFUSED = "it is too large, or its queue is full, or it may not go there"
    LOST = "its channel went, and with it what the broker would have said"
    EXPIRED = "its time is up"
    CLOSED = "the client is closed"
    GIVEN_UP = "nobody waits for its outcome"


class Order(StrEnum):
    """What is to be done when a message comes to another state."""

    NOTHING = "nothing"
    PUBLISH = "publish it"
    MARK = "note that the broker may have taken it"
    HOLD = "hold it back until it can be sent"
    HOLD_AGAIN = "mark it as one that was sent before, and hold it back until it can be sent"
    PAUSE = "hold it back, and its lane for a moment"
    SUCCEED = "tell that it is safe"
    COME_BACK = "tell that no queue took it, or that this is well"
    FAIL = "tell the error, unless it may have been taken before"
    EXPIRE = "tell that the broker may have it, or why it was not sent in time"
    CLOSE = "tell that the broker may have it, or that it was not sent"
    DROP = "forget it"


class Kind(Protocol):
    """What a message is: what its sender is told."""

    def returned(self, message: Outgoing, /) -> RpcError | None:
        """The error of a message that no queue took; None where that is well."""
        ...

    def rejected(self, message: Outgoing, /) -> RpcError:
        """The error of a message that the broker refused (basic.nack)."""
        ...

    def unknown(self, message: Outgoing, reason: str, /) -> RpcError:
        """The error of a message of which nobody knows whether the broker has it, and why."""
        ...


class Outgoing:
    """A message that is done when the broker has confirmed it.

    Attributes:
        kind: what it is.
        message_id: the property of that name, by which users tell doubles.
        exchange, routing_key: where it goes.
        body: its body.
        deadline: until when it is sent, in seconds on the outbox's clock; infinite is without end.
        timeout: the seconds that this was when it was made.
        settled: called once with it, and with its error, or None where it is safe.
        type: the property of that name; None sets none.
        content_type: the property of that name; None is that of requests.
        priority: the property of that name; None sets none.
        timestamp: the property of that name, in seconds since 1970.
        headers: its own; None are none.
        expires_at: when it is not wanted any more where it waits for its reader, in seconds on the outbox's clock.
        is_mandatory: whether it comes back if no queue takes it.
        waits_until: until when its sender waits for a queue to take it, in seconds on the outbox's clock.
        needs: what has to be there before it is sent, for the driver to see to; None is nothing.
        state: where it is.
        may_be_taken: whether it was written, so that the broker may have it.
        is_again: whether it was written on a channel that was lost before it was confirmed; it is marked so.
        came_back: the error that it would have ended with when it was written last, if its sender did not wait for a
            server: no queue took it, or one refused it.
    """

    # Of the class until they differ: to set them all would make each message a third dearer.
    type: str | None = None
    content_type: str | None = None
    priority: int | None = None
    timestamp: int | None = None
    headers: Mapping[str, Any] | None = None
    expires_at: float | None = None
    is_mandatory = True
    waits_until = -math.inf
    needs: Hashable = None
    state = State.HELD
    may_be_taken = False
    is_again = False
    came_back: RpcError | None = None

    def __init__(  # noqa: PLR0917 names would cost each message some, too
        self,
        kind: Kind,
        message_id: str,
        exchange: str,
        routing_key: str,
        body: bytes,
        deadline: float,
        timeout: float,
        settled: Callable[[Outgoing, RpcError | None], None],
    ) -> None:
        self.kind = kind
        self.message_id = message_id
        self.exchange = exchange
        self.routing_key = routing_key
        self.body = body
        self.deadline = deadline
        self.timeout = timeout
        self.settled = settled

    def __repr__(self) -> str:
        return f"<Outgoing {self.message_id} to {self.exchange or self.routing_key!r}: {self.state}>"


class Port(Protocol):
    """Who does what the outbox wants. Each of these returns at once; what it begins is told of later."""

    def open(self) -> None:
        """Open a channel; `opened` or `unreachable` is called then."""
        ...

    def prepare(self, needs: Hashable) -> None:
        """See to it that something is there; `prepared`, `unprepared` or `lost` is called then."""
        ...

    def publish(self, message: Outgoing) -> bool:
        """Publish a message.

        Returns:
            Whether it was written. If not, it waits for its turn, and `departs` is asked before it is written.

        Raises:
            ConnectionLost: the channel has ended; `lost` is about to be called.
            ValueError: it cannot be sent.
        """
        ...

    def wake_at(self, moment: float) -> None:
        """Call `tick` at that moment, and not at the one that was asked for before."""
        ...
