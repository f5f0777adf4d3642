"""What an engine offers to the kinds of messages, which decide. Pure."""

from __future__ import annotations

from typing import Any, Protocol

from ..deadline import Clock
from ..wire.sizes import BodyLimit
from .counts import ServerCounts
from .life import Life
from .message import Event, Message, Workers
from .register import Register


class Desk(Protocol):
    """Where a kind finds what it needs: the engine.

    Attributes:
        workers: who computes.
        register: the messages, by what they are known by.
        counts: what happened; written by the kinds too.
        requests: the largest body in bytes that is taken.
        clock: seconds, monotonic.
        life: what is told of it to whoever hears it.
    """

    @property
    def workers(self) -> Workers: ...

    @property
    def register(self) -> Register: ...

    @property
    def counts(self) -> ServerCounts: ...

    @property
    def requests(self) -> BodyLimit: ...

    @property
    def clock(self) -> Clock: ...

    @property
    def life(self) -> Life: ...

    def move(self, message: Message, event: Event, given: Any = None) -> None:
        """Something happened to a message: do what the table says."""
