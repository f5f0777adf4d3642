"""Waiting between attempts to connect: longer each time, and never twice the same."""

from __future__ import annotations

import asyncio
import random
import time

from ..errors import RpcError

_FROM, _UP_TO = 0.05, 2.0


class BackOff:
    """The attempts of one search for a connection; it is given up after so many seconds."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds
        self._most = _FROM

    async def wait_or_raise(self, error: RpcError) -> None:
        """Wait before the next attempt, or raise the last one's error when the time is up."""
        left = self._end - time.monotonic()
        if left <= 0:
            raise error
        # Jitter: clients that lost one broker do not come back in one moment.
        await asyncio.sleep(min(left, random.uniform(self._most / 2, self._most)))  # noqa: S311 not a secret
        self._most = min(2 * self._most, _UP_TO)
