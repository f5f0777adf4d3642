"""What a server serves, with what, and what happened so far. It outlives connections."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from ..settings import DEFAULT_QUEUE_TYPE
from ..wire.sizes import BodyLimit
from ..workers.pool import WorkerPool
from .callback_queues import RefusalLog
from .counts import ServerCounts
from .engine import Engine


@dataclass(slots=True)
class Service:
    """What a session serves, and with what.

    Attributes:
        queue: the queue's name.
        prefetch: how many deliveries each consumer may hold.
        pool: who computes.
        counts: what happened to deliveries, over all sessions.
        callback_queues: patterns of the queues that replies may go to, beside those of callers alone.
        queue_type: what the queue is declared as where it is missing, "classic" or "quorum".
        requests: the largest body in bytes that is looked into.
        results: the largest body in bytes that is sent.
        engine: what becomes of deliveries, over all sessions.
        refusals: the callback queues that are not answered to, over all sessions.
    """

    queue: str
    prefetch: int
    pool: WorkerPool
    counts: ServerCounts
    callback_queues: tuple[str, ...]
    queue_type: str = DEFAULT_QUEUE_TYPE
    requests: BodyLimit = field(default_factory=BodyLimit)
    results: BodyLimit = field(default_factory=BodyLimit)
    refusals: RefusalLog = field(default_factory=RefusalLog)
    engine: Engine = field(init=False)

    def __post_init__(self) -> None:
        alarm = _Alarm()
        engine = Engine(
            self.pool, self.counts, alarm.after, prefetch=self.prefetch, requests=self.requests, clock=time.monotonic
        )
        alarm.ring = engine.tick
        self.engine = engine

    def close(self) -> None:
        """Forget every delivery."""
        self.engine.close()


class _Alarm:
    """The engine's next look at what has become due, on the running event loop."""

    ring: Callable[[], None]

    def __init__(self) -> None:
        self._timer: asyncio.TimerHandle | None = None

    def after(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(seconds, self.ring)
