"""What a server serves, with what, and what happened so far. It outlives connections."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..settings import DEFAULT_QUEUE_TYPE
from ..wire import jsonrpc
from ..wire.sizes import BodyLimit
from ..workers.pool import WorkerPool
from ..workers.work import Served
from .callback_queues import RefusalLog
from .under_way import UnderWay

_UNKNOWN = Served(idempotent=True)
"""A function that does not exist here runs not even once."""


@dataclass(slots=True)
class ServerCounts:
    """What happened since the start, counted in deliveries where nothing else is said.

    Attributes:
        answered: calls that were computed; a reply was published, or none was wanted. A message of many counts each.
        lost: a worker died during them.
        expired: nobody waited for them any more; they did not start.
        cancelled: they were given up; they did not start, or were stopped.
        refused: they are too large, or their callback queue is none that replies may go to; they did not start.
        unknown: they may have run before and must not run twice; the caller was told.
        abandoned: the connection was lost before they could be acked; the broker delivers them again.
        joined: they were delivered again, and took the outcome of what had been computed all the while.
        malformed: messages of the control exchange that were none.
    """

    answered: int = 0
    lost: int = 0
    expired: int = 0
    cancelled: int = 0
    refused: int = 0
    unknown: int = 0
    abandoned: int = 0
    joined: int = 0
    malformed: int = 0


@dataclass(frozen=True, slots=True)
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
        under_way: what is computed, over all sessions.
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
    under_way: UnderWay = field(default_factory=UnderWay)
    refusals: RefusalLog = field(default_factory=RefusalLog)

    def served(self, body: bytes) -> Served:
        """What holds for every function that a body calls; a time limit, if no two of them have different ones."""
        functions = self.pool.functions
        called = jsonrpc.methods(body)
        # A bare value calls the default function, whichever that is.
        facts = [functions.get(method, _UNKNOWN) for method in (functions if called is None else called)]
        time_limits = {fact.time_limit for fact in facts if fact.time_limit is not None}
        return Served(
            idempotent=all(fact.idempotent for fact in facts),
            max_attempts=min((fact.max_attempts for fact in facts), default=1),
            time_limit=time_limits.pop() if len(time_limits) == 1 else None,
        )
