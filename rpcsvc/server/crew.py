"""The workers of a server, as its options have them."""

from __future__ import annotations

from functools import partial
from typing import Any

from ..host.surroundings import Surroundings
from ..settings.server import ServerOptions
from ..wire.sizes import AUTO, MAX_BODY
from ..workers.care import Care
from ..workers.inside.dispatch import Rules
from ..workers.pool import WorkerPool
from ..workers.sharing import SharingPool


def new_pool(options: ServerOptions, **told: Any) -> WorkerPool:
    """A pool, not started yet.

    Args:
        options: the server's.
        told: who is told what, as a `WorkerPool` takes it.
    """
    kind = WorkerPool if options.threads == 1 else partial(SharingPool, cast_slots=options.cast_slots)
    return kind(
        options.registry,
        options.processes,
        rules=rules_of(options),
        care=care_of(options),
        surroundings=Surroundings.here(preload=options.preload, blas_threads=options.threads_each),
        **told,
    )


def rules_of(options: ServerOptions) -> Rules:
    return Rules(
        max_result=MAX_BODY if options.max_result == AUTO else options.max_result,
        send_tracebacks=options.send_tracebacks,
        soft_time_limit=options.soft_time_limit,
        time_limit=options.time_limit,
        memory_limit=options.memory_limit,
        threads=options.threads,
    )


def care_of(options: ServerOptions) -> Care:
    return Care(
        cancel_grace=options.cancel_grace,
        start_timeout=options.ready_within,
        max_calls=options.max_calls_per_worker,
        max_restarts=options.max_restarts,
        restart_window=options.restart_window,
        cast_workers=options.cast_workers,
    )
