"""Celery with results over RabbitMQ (`rpc://`), prefork.

Options, and why:
- `task_acks_late`, `worker_prefetch_multiplier`: acks after the work; with both, "reserve one task at a time"
  (documentation, "Optimizing"). The multiplier is the mode's prefetch, which is for each process. For a map it is 4,
  Celery's default: a process then has its next chunk at hand.
- `task_default_delivery_mode=1`: transient messages ("Optimizing: Using Transient Queues"). Ours are transient too.
- `--pool prefork`, `-O fair`: the defaults, named because the comparison rests on them.
- `--without-gossip --without-mingle --without-heartbeat`: fewer messages beside the work (RabbitMQ hosters' advice).
- `worker_disable_rate_limits`, no events, no remote control: nothing that a plain call needs is left out.
- `chunks(1000)`: many calls in one message ("Canvas: Chunks").
- `pickle` for the echo: JSON would carry bytes as base64 ("Serializers").
- The C module `librabbitmq` that "Optimizing" names is not used: it does not build for this Python.
"""

# ruff: noqa: PLC0415 the library is imported in the processes that use it
from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from . import work
from .modes import Mode
from .peer import Client, Peer, Setup

CHUNK = 1000


class Celery(Peer):
    """`delay` and `get`; `chunks(1000)` for a map."""

    name = "Celery"

    def unable(self, mode: Mode) -> str | None:
        return None

    def servers(self, setup: Setup) -> list[list[str]]:
        return super().servers(setup)[:1]

    def consumers(self, setup: Setup) -> tuple[str, int] | None:
        return setup.queue, 1

    def serve(self, setup: Setup) -> None:
        os.environ["C_FORCE_ROOT"] = "1"  # a worker run by root takes no pickle otherwise, not even its own client's
        app, _ = _app(setup)
        quiet = ["--without-gossip", "--without-mingle", "--without-heartbeat"]
        pool = ["--pool", "prefork", "--concurrency", str(setup.workers), "-O", "fair"]
        app.worker_main(["worker", "--loglevel", "warning", "--queues", setup.queue, *pool, *quiet])

    def connect(self, setup: Setup) -> AbstractContextManager[Client]:
        return _connected(setup)


def _app(setup: Setup) -> tuple[Any, Any]:
    import celery

    serializer = "pickle" if setup.function == "echo" else "json"
    app = celery.Celery("bench", broker=setup.url, backend="rpc://")
    app.conf.update(
        accept_content=[serializer],
        result_serializer=serializer,
        task_acks_late=True,
        task_default_delivery_mode=1,
        task_default_queue=setup.queue,
        task_serializer=serializer,
        worker_disable_rate_limits=True,
        worker_enable_remote_control=False,
        worker_prefetch_multiplier=4 if setup.maps else setup.prefetch,
    )
    return app, app.task(name=f"bench.{setup.function}")(work.FUNCTIONS[setup.function])


@contextmanager
def _connected(setup: Setup) -> Iterator[Client]:
    app, task = _app(setup)
    with app:
        yield _Client(task)


class _Client:
    def __init__(self, task: Any) -> None:
        self._task = task

    def call(self, argument: Any) -> Any:
        return self._task.delay(argument).get()

    def submit(self, argument: Any) -> Any:
        return self._task.delay(argument)

    def result(self, handle: Any) -> Any:
        return handle.get()

    def map(self, argument: Any, calls: int) -> Iterable[Any]:
        # An own group, so that results are taken as they are asked for; GroupResult.get gives the chunks' lists.
        group = self._task.chunks(((argument,) for _ in range(calls)), CHUNK).apply_async()
        for chunk in group.get():
            yield from chunk
