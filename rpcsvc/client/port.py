"""What the engine wants done, and by whom: a driver of input and output.

An event loop, a thread of its own, or the calling thread under a lock may be behind it. Each of these is called in the
midst of one of the engine's methods, and returns at once; what it begins is told of later. In the midst of `resolve`
and `fail` the engine may be called back: an outcome may make somebody submit, or give up, another call.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from .messages import Call, Message


class Port(Protocol):
    """Who does what the engine wants: it writes, asks, and gives outcomes to those who wait."""

    def publish(self, message: Message, body: bytes, seconds: float) -> bool:
        """Publish a message that may wait in the queue for so many seconds.

        Returns:
            Whether it was written. If not, it waits for its turn, and `departs` is asked before it is written. The
            message keeps the body until then, or until nobody waits for it.

        Raises:
            ConnectionLost: the channel has ended; `lost` is about to be called.
        """
        ...

    def resolve(self, call: Call, result: Any) -> None:
        """Give a call its result."""
        ...

    def fail(self, call: Call, error: BaseException) -> None:
        """Give a call its error."""
        ...

    def open(self) -> None:
        """Open a connection; `opened` or `unreachable` is called then."""
        ...

    def observe(self, queue: str) -> None:
        """Ask the broker of a queue; `observed`, `queue_missing`, `not_shown` or `lost` is called then."""
        ...

    def settle(self, queue: str) -> None:
        """Have the broker bring back what no queue took; `settled` or `lost` is called then, after `returned`."""
        ...

    def tell(self, given_up: Mapping[str, Mapping[str, float]]) -> None:
        """Tell the servers of calls given up: the seconds left of each, by callback queue and id."""
        ...

    def gather(self) -> None:
        """Call `flush` when those calls are submitted that come at the same time as this one."""
        ...

    def wake_at(self, moment: float) -> None:
        """Call `tick` at that moment, and not at the one that was asked for before."""
        ...
