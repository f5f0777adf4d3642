"""The calls that this server computes, by what their callers know them by; those that it computed; those given up.

    delivery --> add ........ computed ........ remove --> reply, then ack
                  |                               |
       given up: cancel                  its connection was lost: keep --> reply when it is delivered again

It outlives connections. A call goes on while its connection is lost, so a delivery that comes again can join it, or be
answered with what came of it in the meantime; nothing runs twice for that.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from ..deadline import Clock, Deadline
from ..wire.control import Cancel
from .remembered import Remembered

Key: TypeAlias = tuple[str, str]
"""The callback queue and the correlation_id: the first is one client's own, the second is its name for the call."""

LOOK_EVERY = 0.5
"""Seconds between looks at the deadlines of what is computed."""
LATE = 1.0
"""Seconds after its deadline when a call that runs is cancelled. Its caller has mostly said so long before."""
CANCELS, CANCEL_GRACE = 10_000, 2.0
"""Cancels remembered for calls that are not here (yet); and seconds beyond what their callers would have waited."""
KEPT, KEPT_BYTES, KEPT_SECONDS = 1000, 16 * 1024 * 1024, 60.0
"""Outcomes remembered of calls whose connection was lost."""
_KEPT_OVERHEAD = 512


class Computing(Protocol):
    """A call that a worker computes, or that waits for one."""

    @property
    def deadline(self) -> Deadline | None:
        """When nobody waits for it any more."""
        ...

    def cancel(self) -> None:
        """Stop it; once is enough."""
        ...


@dataclass(frozen=True, slots=True)
class Kept:
    """What came of a call whose connection was lost.

    Attributes:
        request: the hash of its body.
        response: the body of the response; None where none is wanted.
        has_run: whether it may have run at all.
    """

    request: int
    response: bytes | None
    has_run: bool


def _on_the_loop(seconds: float, call: Callable[[], None]) -> asyncio.TimerHandle:
    return asyncio.get_running_loop().call_later(seconds, call)


class UnderWay:
    """The calls of one server. Lives on one event loop, which `later` stands for."""

    def __init__(
        self,
        *,
        clock: Clock = time.monotonic,
        later: Callable[[float, Callable[[], None]], asyncio.TimerHandle] = _on_the_loop,
    ) -> None:
        self._clock = clock
        self._later = later
        self._calls: dict[Key, Computing] = {}
        self._cancels: Remembered[Key, bool] = Remembered(clock, most=CANCELS)
        self._kept: Remembered[Key, Kept] = Remembered(clock, most=KEPT, most_bytes=KEPT_BYTES)
        self._timer: asyncio.TimerHandle | None = None

    def add(self, key: Key, call: Computing) -> None:
        """A call begins."""
        self._calls[key] = call
        if self._timer is None:
            self._timer = self._later(LOOK_EVERY, self._look)

    def remove(self, key: Key, call: Computing) -> None:
        """A call is over."""
        if self._calls.get(key) is call:  # a client may use an id twice
            del self._calls[key]

    def get(self, key: Key) -> Computing | None:
        """The call of that name, or None."""
        return self._calls.get(key)

    def calls(self) -> list[Computing]:
        """All calls."""
        return list(self._calls.values())

    # ---- given up

    def cancel(self, given_up: Cancel) -> None:
        """Stop the calls that are here; remember the others, which may be about to come."""
        for call_id in given_up.ids:
            key = (given_up.reply_to, call_id)
            call = self._calls.get(key)
            if call is not None:
                call.cancel()
            else:
                self._cancels.put(key, True, given_up.remaining + CANCEL_GRACE)
        if self._timer is None:
            self._timer = self._later(LOOK_EVERY, self._look)

    def was_cancelled(self, key: Key) -> bool:
        """Whether a call that comes now has been given up already; it is forgotten with that."""
        return len(self._cancels) > 0 and self._cancels.take(key) is not None

    # ---- outcomes without a connection

    def keep(self, key: Key, body: bytes, response: bytes | None, *, has_run: bool) -> None:
        """The outcome of the request `body`, for when it is delivered again."""
        size = _KEPT_OVERHEAD + (0 if response is None else len(response))
        self._kept.put(key, Kept(hash(body), response, has_run), KEPT_SECONDS, size)
        if self._timer is None:
            self._timer = self._later(LOOK_EVERY, self._look)

    def kept(self, key: Key, body: bytes) -> Kept | None:
        """What came of a request that is delivered again; it is forgotten with that."""
        kept = self._kept.take(key)
        return kept if kept is not None and kept.request == hash(body) else None

    # ---- time

    def _look(self) -> None:
        moment = self._clock()
        for call in self.calls():
            if call.deadline is not None and call.deadline.at + LATE <= moment:
                call.cancel()
        self._cancels.sweep()
        self._kept.sweep()
        busy = self._calls or len(self._cancels) or len(self._kept)
        self._timer = self._later(LOOK_EVERY, self._look) if busy else None

    def close(self) -> None:
        """Forget everything."""
        self._calls.clear()
        self._cancels.clear()
        self._kept.clear()
        if self._timer is not None:
            self._timer.cancel()

    def __len__(self) -> int:
        return len(self._calls)

    def __repr__(self) -> str:
        return f"<UnderWay: {len(self)} calls, {len(self._cancels)} cancels and {len(self._kept)} outcomes remembered>"
