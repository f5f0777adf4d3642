"""Celery, one-way: `apply_async` of a task whose result nobody wants, prefork.

Options, and why:
- `confirm_publish`: each publication waits for the broker's confirm (kombu, "Publisher confirms"). Celery has no way to
  await several on one channel, so pipelined is ten threads, each with a producer of the pool (`broker_pool_limit`, 10
  by default). What is executed is published without.
- `task_ignore_result`, no result backend ("Optimizing", "Tips and Best Practices: Ignore results you don't want").
- `task_default_queue_type`: "quorum" or "classic", durable, persistent messages, the default.
- `task_acks_late`, `worker_prefetch_multiplier`: acks after the work; the multiplier is the mode's prefetch.
- `--pool prefork`, `-O fair`, `--without-gossip --without-mingle --without-heartbeat`, no rate limits, no events, no
  remote control: see celery_tasks.
It has no events for programs to subscribe to.
"""

# ruff: noqa: PLC0415 the library is imported in the processes that use it
from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from .one_way import Caster, OneWay, counted
from .peer import Setup


class CeleryCasts(OneWay):
    """`apply_async`."""

    name = "Celery"
    quick = 3_000
    events = False
    threads = 10

    def servers(self, setup: Setup) -> list[list[str]]:
        return super().servers(setup)[:1]

    def serve(self, setup: Setup) -> None:
        app, _ = _app(setup)
        quiet = ["--without-gossip", "--without-mingle", "--without-heartbeat"]
        pool = ["--pool", "prefork", "--concurrency", str(setup.workers), "-O", "fair"]
        app.worker_main(["worker", "--loglevel", "warning", "--queues", setup.queue, *pool, *quiet])

    def connect(self, setup: Setup) -> AbstractContextManager[Caster]:
        return _connected(setup)


def _app(setup: Setup) -> tuple[Any, Any]:
    import celery

    app = celery.Celery("bench", broker=setup.url)
    app.conf.update(
        broker_transport_options={"confirm_publish": setup.kind == "cast"},
        task_acks_late=True,
        task_default_queue=setup.queue,
        task_default_queue_type=setup.queue_type,
        task_ignore_result=True,
        worker_disable_rate_limits=True,
        worker_enable_remote_control=False,
        worker_prefetch_multiplier=setup.prefetch,
    )
    return app, app.task(name="bench.counted")(counted)


@contextmanager
def _connected(setup: Setup) -> Iterator[Caster]:
    app, task = _app(setup)
    with app:
        yield _Casts(task)


class _Casts:
    def __init__(self, task: Any) -> None:
        self._task = task

    def call(self, argument: Any) -> None:
        self._task.apply_async((argument,))

    def cast_many(self, arguments: Iterable[Any]) -> None:
        raise NotImplementedError

    def fill(self, arguments: Iterable[Any]) -> None:
        for argument in arguments:
            self.call(argument)
