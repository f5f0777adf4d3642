"""What becomes of a message that no server answers, as its client sees it."""

from __future__ import annotations

from .broker import MessageRefused
from .root import RpcError


class NoServer(RpcError):
    """The queue does not exist, or no server consumes it.

    Attributes:
        queue: the queue's name.
        reason: what was found, for instance "the queue does not exist".
    """

    def __init__(self, queue: str, reason: str) -> None:
        super().__init__(queue, reason)
        self.queue = queue
        self.reason = reason

    def __str__(self) -> str:
        return (
            f"no server answers on queue {self.queue!r}: {self.reason}; start one (rpcsvc serve --queue {self.queue}),"
            " or let the client wait for it: RpcClient(wait_for_server=SECONDS)"
        )


class RpcTimeout(RpcError, TimeoutError):
    """No reply came before the deadline of the call.

    Attributes:
        method: the method's name.
        timeout: the call's time-out in seconds.
        call_id: the call's id (its JSON-RPC id and AMQP correlation_id).
    """

    def __init__(self, method: str, timeout: float, call_id: str) -> None:
        super().__init__()
        self.args = (method, timeout, call_id)  # OSError would take them for errno, strerror and filename
        self.method = method
        self.timeout = timeout
        self.call_id = call_id

    def __str__(self) -> str:
        return f"no reply to {self.method!r} within {self.timeout:g} s (call {self.call_id})"


class CastRejected(MessageRefused):
    """The broker refused a cast (basic.nack): its queue is full, or failed. It does not run.

    Attributes:
        method: the method's name.
        message_id: the cast's.
        queue: the queue that did not take it.
    """

    def __init__(self, method: str, message_id: str, queue: str) -> None:
        super().__init__(method, message_id, queue)
        self.method = method
        self.message_id = message_id
        self.queue = queue

    def __str__(self) -> str:
        return (
            f"the broker refused the cast of {self.method!r}: queue {self.queue!r} is full, or failed; cast it again "
            f"when there is room (message_id {self.message_id})"
        )


class EventUnknown(RpcError):
    """Nobody knows whether the broker has an event: it was written, and its confirm did not come. It may be heard.

    Attributes:
        topic: the event's.
        message_id: the event's. Who publishes it again under the same one lets subscribers tell doubles.
        reason: why the confirm did not come.
    """

    def __init__(self, topic: str, message_id: str, reason: str) -> None:
        super().__init__(topic, message_id, reason)
        self.topic = topic
        self.message_id = message_id
        self.reason = reason

    def __str__(self) -> str:
        return (
            f"the event {self.topic!r} was sent, and whether the broker has it is not known: {self.reason}; a second "
            f"one with message_id={self.message_id!r} can be told from it"
        )


class CastUnknown(RpcError):
    """Nobody knows whether the broker has a cast: it was written, and its confirm did not come. It may run.

    Attributes:
        method: the method's name.
        message_id: the cast's. Who casts again under the same one lets the function tell doubles.
        reason: why the confirm did not come.
    """

    def __init__(self, method: str, message_id: str, reason: str) -> None:
        super().__init__(method, message_id, reason)
        self.method = method
        self.message_id = message_id
        self.reason = reason

    def __str__(self) -> str:
        return (
            f"the cast of {self.method!r} was sent, and whether the broker has it is not known: {self.reason}; a "
            f"second one with message_id={self.message_id!r} can be told from it"
        )


class LetterNotFound(RpcError, LookupError):
    """There is no dead letter of that id; it was requeued or dropped, or somebody else reads it at the moment.

    Attributes:
        letter_id: the id that was given.
        queue: the served queue whose letters were looked through.
    """

    def __init__(self, letter_id: str, queue: str) -> None:
        super().__init__(letter_id, queue)
        self.letter_id = letter_id
        self.queue = queue

    def __str__(self) -> str:
        return f"queue {self.queue!r} has no dead letter {self.letter_id!r}; rpcsvc dead list shows those that it has"
