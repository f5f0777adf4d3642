"""A connection that comes back: which errors a new attempt may mend, how long to wait before it, and for how long.

    attempt --open--> in use --lost--> a new search: Reconnection(now, was_open=True)
      ^  |
      |  +--error--> may another attempt mend it, and is there time left? --no--> the error is the answer
      |                 |
      +-----pause-------+

Both sides use it alike, whoever drives it (`Turns` says which node an attempt goes to; one attempt asks each once):

    search = Reconnection(now, within=timeout)
    while True:
        try:
            return await turns.open(…)
        except RpcError as error:
            pause = search.next_pause(error, now)
            if pause is None:
                raise
            await asyncio.sleep(pause)

Rules: everything here is pure; `now` is of a monotonic clock, in seconds. What a broker says in so many words (a wrong
password, no such virtual host) ends a search at once; a broker that is away, or not up yet, is waited for. A
certificate that is not trusted and a file that cannot be read end the first search, because waiting does not mend them,
and no later one, because they are renewed while a program runs.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable

from ..errors import (
    AccessRefused,
    AuthenticationFailed,
    ConfigurationError,
    ConnectionFailed,
    ConnectionLost,
    QueueNotFound,
    RpcError,
    TlsFailed,
)

FROM, UP_TO = 0.05, 2.0
"""Seconds of the first pause and of the longest. Calls are to succeed within five seconds of a broker's return, however
long it was away."""


class BackOff:
    """Pauses between attempts: each up to twice as long as the last, and never twice the same.

    Args:
        up_to: seconds of the longest.
        jitter: a number between two others.
    """

    def __init__(self, up_to: float = UP_TO, jitter: Callable[[float, float], float] = random.uniform) -> None:
        self._most = FROM
        self._up_to = up_to
        self._jitter = jitter

    def next_pause(self) -> float:
        """Seconds until the next attempt. Clients that lost one broker do not come back in one moment."""
        pause = self._jitter(self._most / 2, self._most)
        self._most = min(2 * self._most, self._up_to)
        return pause

    def __repr__(self) -> str:
        return f"<BackOff: next pause up to {self._most:g} s>"


class Reconnection:
    """One search for a connection, made when it begins.

    Args:
        now: when that is.
        within: seconds after which it is given up; `math.inf` is never.
        was_open: whether there was a connection before.
        jitter: of the pauses, as of `BackOff`.
    """

    def __init__(
        self,
        now: float,
        *,
        within: float = math.inf,
        was_open: bool = False,
        jitter: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._end = now + within
        self._was_open = was_open
        self._back_off = BackOff(jitter=jitter)

    def next_pause(self, error: RpcError, now: float) -> float | None:
        """Seconds to wait after an attempt that failed, before the next one; None if there is to be none.

        Args:
            error: what the attempt ended with. Where the answer is None, it is what the search ended with.
            now: when it did.
        """
        if not may_pass(error, was_open=self._was_open) or now >= self._end:
            return None
        return min(self._back_off.next_pause(), self._end - now)

    def remaining(self, now: float) -> float:
        """Seconds until it is given up, never below zero."""
        return max(0.0, self._end - now)

    def __repr__(self) -> str:
        return f"<Reconnection{' of what was open' if self._was_open else ''}: {self._back_off!r}>"


def may_pass(error: RpcError, *, was_open: bool) -> bool:
    """Whether another attempt may end otherwise.

    Args:
        error: what the last one ended with.
        was_open: whether there was a connection before, so that what is configured has been right once.
    """
    match error:
        case AuthenticationFailed() | AccessRefused():
            return False
        case TlsFailed() | ConfigurationError():
            return was_open
        case _:
            return isinstance(error, ConnectionFailed | ConnectionLost | QueueNotFound)
