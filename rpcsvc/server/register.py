"""What one server knows of calls, by what their callers know them by: those under way, those given up, those computed.

    delivery --> messages ........ computed ........ removed --> reply, then ack
                    |                                   |
         given up: stopped                    its session was lost: kept --> reply when it is delivered again

It outlives connections. A call goes on while its connection is lost, so a delivery that comes again can join it, or be
answered with what came of it in the meantime; nothing runs twice for that. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..deadline import Clock
from .message import Call, Key, Message
from .remembered import Remembered

CANCELS, CANCEL_GRACE = 10_000, 2.0
"""Cancels remembered for calls that are not here (yet); and seconds beyond what their callers would have waited."""
KEPT, KEPT_BYTES, KEPT_SECONDS = 1000, 16 * 1024 * 1024, 60.0
"""Outcomes remembered of calls whose connection was lost."""
_KEPT_OVERHEAD = 512


@dataclass(frozen=True, slots=True)
class Kept:
    """What came of a message whose session was lost.

    Attributes:
        request: the hash of its body.
        response: the body of the response; None where none is wanted.
        has_run: whether it has run; if not, it has not even begun.
    """

    request: int
    response: bytes | None
    has_run: bool


class Register:
    """The calls of one server.

    Args:
        clock: seconds.

    Attributes:
        messages: those under way that have a name.
        calls: those that are computed by themselves and have a name, though they came in a message with others.
    """

    def __init__(self, clock: Clock) -> None:
        self.messages: dict[Key, Message] = {}
        self.calls: dict[Key, Call] = {}
        self._given_up: Remembered[Key, bool] = Remembered(clock, most=CANCELS)
        self._kept: Remembered[Key, Kept] = Remembered(clock, most=KEPT, most_bytes=KEPT_BYTES)

    def give_up(self, key: Key, remaining: float) -> None:
        """Remember that a call was given up that is not here, and may be about to come within so many seconds."""
        self._given_up.put(key, True, remaining + CANCEL_GRACE)

    def was_given_up(self, key: Key) -> bool:
        """Whether a call that comes now has been given up already; it is forgotten with that."""
        return len(self._given_up) > 0 and self._given_up.take(key) is not None

    def keep(self, key: Key, body: bytes, response: bytes | None, *, has_run: bool) -> None:
        """Remember the outcome of the request `body`, for when it is delivered again."""
        size = _KEPT_OVERHEAD + (0 if response is None else len(response))
        self._kept.put(key, Kept(hash(body), response, has_run), KEPT_SECONDS, size)

    def kept(self, key: Key, body: bytes) -> Kept | None:
        """What came of a request that is delivered again; it is forgotten with that."""
        kept = self._kept.take(key)
        return kept if kept is not None and kept.request == hash(body) else None

    def sweep(self) -> None:
        """Forget what has had its time."""
        self._given_up.sweep()
        self._kept.sweep()

    @property
    def is_empty(self) -> bool:
        """Whether nothing is under way or remembered."""
        return not (self.messages or self.calls or len(self._given_up) or len(self._kept))

    def clear(self) -> None:
        """Forget everything."""
        self.messages.clear()
        self.calls.clear()
        self._given_up.clear()
        self._kept.clear()

    def __repr__(self) -> str:
        return (
            f"<Register: {len(self.messages)} messages and {len(self.calls)} calls under way, "
            f"{len(self._given_up)} cancels and {len(self._kept)} outcomes remembered>"
        )
