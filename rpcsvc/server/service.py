"""What a server serves, with what, and what happened so far. It outlives connections."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from .._version import __version__
from ..errors import ConfigurationError
from ..settings import DEFAULT_CAST_QUEUE_TYPE, DEFAULT_QUEUE_TYPE
from ..settings.server import ServerOptions
from ..wire.sizes import BodyLimit
from ..workers.pool import WorkerPool
from .callback_queues import RefusalLog
from .casts import Casts, Source
from .counts import ServerCounts
from .engine import Engine
from .life import Life
from .sending import Levels

log = logging.getLogger(__name__)


MOST_PREFETCH = 65_535
"""The largest prefetch count that AMQP has a number for."""


@dataclass(frozen=True, slots=True)
class CastRules:
    """Which casts are served, and how.

    Attributes:
        sources: the queues that they come from.
        prefetch: how many deliveries the consumer of each may hold.
        queue_type: what a queue of our own is declared as where it is missing, "classic" or "quorum".
        max_length: how many casts may wait in it; None is any number.
        dead_ttl: seconds for which dead letters are kept; None is for ever.
        levels: where those wait that are tried again, over all sessions.
        warned: what the log was told, likewise.
    """

    sources: tuple[Source, ...] = ()
    prefetch: int = 1
    queue_type: str = DEFAULT_CAST_QUEUE_TYPE
    max_length: int | None = None
    dead_ttl: float | None = None
    levels: Levels = field(default_factory=Levels)
    warned: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, options: ServerOptions) -> CastRules:
        """As the options have it."""
        own = (Source.of(options.queue),) if options.casts else ()
        sources = own + tuple(map(Source.foreign, options.casts_from))
        return cls(
            sources,
            prefetch=min(options.cast_slots, MOST_PREFETCH),
            queue_type=options.cast_queue_type,
            max_length=options.cast_max_length,
            dead_ttl=options.dead_ttl,
        )


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
        cast_rules: which casts are served, and how; events for handlers likewise.
        life: what is told of it to whoever hears it.
        engine: what becomes of deliveries, over all sessions.
        casts: what becomes of those of casts.
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
    cast_rules: CastRules = field(default_factory=CastRules)
    life: Life = field(init=False)
    engine: Engine = field(init=False)
    casts: Casts = field(init=False)

    def __post_init__(self) -> None:
        host, version = socket.gethostname(), __version__
        self.life = Life(self.queue, {"host": host, "pid": os.getpid(), "version": version}, time.monotonic)
        alarm = _Alarm()
        engine = Engine(
            self.pool,
            self.counts,
            alarm.after,
            prefetch=self.prefetch,
            requests=self.requests,
            clock=time.monotonic,
            life=self.life,
        )
        alarm.ring = engine.tick
        self.engine = engine
        self.casts = Casts(engine, host=socket.gethostname(), wall=time.time)

    def cast_sources(self) -> Iterator[Source]:
        """The queues that casts come from, and events for the handlers that are loaded now."""
        yield from self.cast_rules.sources
        for handler in self.pool.handlers.values():
            try:
                yield Source.of_handler(self.queue, handler)
            except ConfigurationError as error:
                log.error("%s hears no events: %s", handler.name, error)

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
