"""The two words of a client: what travels, and what somebody waits for.

    Call      what somebody waits for: a function, its arguments, a time-out, and where the outcome goes
    Message   what travels: an id, a body, a deadline, and the calls in it, 1..n

A single call is a message of one, under the call's own id. Tiny calls that travel together are a message of several,
under an id of its own. What a message is, its `Kind` says: what its answer means to the calls in it. A chunk of a `map`
is one call (of `rpc.map`), because one future waits for it.

Rules: a call is in the client's table from when it is submitted until it has its outcome; a message never is. A message
has a state; its calls share it. What outlives a message is a fact of each call: how many connections were lost over it,
and whether it may have run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from ..wire.names import RESERVED_PREFIX

_LARGE_ARGUMENTS = 32 * 1024
"""Bytes of arguments from which a call travels alone."""


class Outcome(Protocol):
    """Where the outcome of a call goes: an asyncio or a concurrent.futures Future."""

    def set_result(self, result: Any, /) -> None: ...
    def set_exception(self, exception: BaseException, /) -> None: ...
    def done(self) -> bool: ...


@dataclass(slots=True, eq=False)
class Call:
    """A call: what somebody waits for.

    Attributes:
        call_id: its JSON-RPC id, and its correlation_id when it travels alone.
        method: the method's name.
        params: its arguments, encoded; empty where `body` holds them.
        is_positional: whether they are positional only.
        timeout: seconds; infinite where it waits for as long as it takes.
        started: when it was made, in seconds on the client's clock.
        outcome: where its result or error goes.
        queue: the queue of the servers that it is for.
        body: the whole request, where that has a raw section; None where it is made when the call is sent.
        message: the message that it travels in; None while the packer gathers it.
        reply_to: the callback queue under which it was sent last; None while it was not.
        connections_lost: how many connections were lost while it was with a server or on its way there.
        may_have_run: whether it was sent, and nobody said that it came nowhere.
        deadline: when it times out, in seconds on the client's clock.
    """

    call_id: str
    method: str
    params: bytes
    is_positional: bool
    timeout: float
    started: float
    outcome: Outcome
    queue: str
    body: bytes | None = None
    message: Message | None = None
    reply_to: str | None = None
    connections_lost: int = 0
    may_have_run: bool = False
    deadline: float = field(init=False)

    def __post_init__(self) -> None:
        self.deadline = self.started + self.timeout

    @property
    def size(self) -> int:
        """Bytes of its arguments; with what little is around them, where the whole request is made already."""
        return len(self.params if self.body is None else self.body)

    @property
    def is_packable(self) -> bool:
        """Whether it may travel with others: not sent yet, small positional arguments, no method of the protocol."""
        return (
            self.is_positional
            and self.body is None
            and not self.may_have_run
            and len(self.params) <= _LARGE_ARGUMENTS
            and not self.method.startswith(RESERVED_PREFIX)
        )


class State(StrEnum):
    """Where a message is; what leads from one to another is the table in `engine`."""

    HELD = "held"
    """In the client: there is no connection, or it takes nothing, or nobody is there."""
    LEAVING = "leaving"
    """With the driver, who writes it at once, or, a large one, when its turn has come."""
    SENT = "sent"
    """Published: it may run."""
    DONE = "done"
    """Ended: nothing of it is waited for."""


class Event(StrEnum):
    """What happens to a message."""

    FREE = "a server is there, and the connection takes messages"
    WRITTEN = "the driver has written it"
    CONFIRMED = "the broker has taken it"
    PART = "a part of its result came, and more will"
    ANSWERED = "its result or its error came"
    RETURNED = "no queue took it"
    QUEUE_GONE = "the queue was deleted, perhaps with it"
    LOST = "the connection went"
    REFUSED = "it is too large, or the broker did not take it"
    ABANDONED = "none of its calls waits any more"


class Order(StrEnum):
    """What is to be done when a message comes to another state."""

    NOTHING = "nothing"
    HOLD = "hold it back until it can be sent"
    PUBLISH = "publish it"
    MARK = "note that its calls may have run"
    UNMARK = "note that they have not, by this publishing, and hold it back"
    COUNT = "count a lost connection for its calls, and hold each back in a message of its own, or give it up"
    GIVE_OUT = "give its outcome to its calls"
    TAKE_BACK = "hold it back no more, and give its outcome to its calls"
    FAIL = "give the error to its calls"
    DROP = "forget it"
    TELL = "forget it, and tell the servers"


class Kind(Protocol):
    """What a message is: what its answer means to the calls in it."""

    def answered(self, message: Message, result: Any) -> None:
        """Give the result of a message to its calls."""
        ...

    def failed(self, message: Message, error: BaseException) -> None:
        """Give the error of a message to its calls, or send them otherwise."""
        ...


class Ends(Protocol):
    """Who ends calls, as far as a kind of message knows it."""

    def resolve(self, call: Call, result: Any) -> None:
        """Give a call its result."""
        ...

    def fail(self, call: Call, error: BaseException) -> None:
        """Give a call its error."""
        ...


class Single:
    """The kind of a message of one call, whose outcome is its own."""

    def __init__(self, ends: Ends) -> None:
        self._ends = ends

    def answered(self, message: Message, result: Any) -> None:
        """Give the result to the call."""
        self._ends.resolve(message.calls[0], result)

    def failed(self, message: Message, error: BaseException) -> None:
        """Give the error to the call."""
        self._ends.fail(message.calls[0], error)


class Message:
    """A message: what travels.

    Attributes:
        message_id: its JSON-RPC id and correlation_id; that of its call, if it has one only.
        kind: what its answer means.
        queue: the queue that it goes to.
        method: the method that the broker's operator sees as its type.
        params: its arguments, encoded; empty where `body` holds them.
        deadline: when the first of its calls times out, in seconds on the client's clock.
        calls: the calls in it; empty once it is done, for a call knows its message too.
        body: the whole request, where that is made already.
        state: where it is.
        waiting: how many of its calls wait for their outcome.
        is_given_up: whether one of them has ended otherwise than by an answer.
        reply_to: the callback queue under which it was published last; None while it was not.
        is_again: whether a call in it may have run before it was published last; it is marked so for the servers.
        share: what its kind keeps of it.
    """

    # Of the class until they differ: one is made for each single call, and slots would make that twice as dear.
    state = State.HELD
    is_given_up = False
    reply_to: str | None = None
    is_again = False
    share: Any = None

    def __init__(  # noqa: PLR0917 names would cost each call some, too
        self,
        message_id: str,
        kind: Kind,
        queue: str,
        method: str,
        params: bytes,
        deadline: float,
        calls: Sequence[Call],
        body: bytes | None = None,
    ) -> None:
        self.message_id = message_id
        self.kind = kind
        self.queue = queue
        self.method = method
        self.params = params
        self.deadline = deadline
        self.calls = calls
        self.body = body
        self.waiting = len(calls)

    @property
    def is_shared(self) -> bool:
        """Whether several calls travel in it."""
        return len(self.calls) > 1

    def __repr__(self) -> str:
        return f"<Message {self.message_id}: {self.state}, {self.waiting} of {len(self.calls)} calls wait>"
