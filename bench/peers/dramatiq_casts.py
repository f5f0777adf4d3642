"""Dramatiq, one-way: `send` through its RabbitmqBroker, and its own command for the workers.

Options, and why:
- `confirm_delivery=True`: "Wait for RabbitMQ to confirm that messages have been committed on every call to enqueue". It
  has no way to await several, so pipelined is ten threads, each with the connection that Dramatiq gives a thread. What
  is executed is published without.
- `--processes` as many as workers, `--threads 1`: one function at a time in each, as everywhere here.
- `dramatiq_queue_prefetch`: the mode's prefetch, for each process. It acks after the work by itself.
- the default middleware.
- It declares classic queues alone. For the quorum queue the arguments with which it declares are extended here.
It has no events.
"""

# ruff: noqa: PLC0415 the library is imported in the processes that use it
from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from .one_way import Caster, OneWay, counted
from .peer import Setup

_SETUP = "RPCSVC_BENCH_SETUP"


class DramatiqCasts(OneWay):
    """`send` and the command `dramatiq`."""

    name = "Dramatiq"
    quick = 5_000
    events = False
    threads = 10

    def servers(self, setup: Setup) -> list[list[str]]:
        return super().servers(setup)[:1]

    def serve(self, setup: Setup) -> None:
        os.environ["dramatiq_queue_prefetch"] = str(setup.prefetch)  # noqa: SIM112 its name
        os.environ[_SETUP] = setup.to_json()
        from dramatiq import cli

        command = [f"{__name__}:use_broker", "--processes", str(setup.workers), "--threads", "1"]
        raise SystemExit(cli.main(cli.make_argument_parser().parse_args([*command, "--queues", setup.queue])))

    def connect(self, setup: Setup) -> AbstractContextManager[Caster]:
        return _connected(setup)

    def queues(self, setup: Setup) -> list[str]:
        return [setup.queue, f"{setup.queue}.DQ", f"{setup.queue}.XQ"]


def use_broker() -> None:
    """Make the broker of a worker's process, as its command asks for it."""
    import dramatiq

    setup = Setup.from_json(os.environ[_SETUP])
    dramatiq.set_broker(_broker(setup))
    _actor(setup)


def _broker(setup: Setup) -> Any:
    from dramatiq.brokers.rabbitmq import RabbitmqBroker

    class Broker(RabbitmqBroker):  # type: ignore[misc]  # untyped
        def _build_queue_arguments(self, queue_name: str) -> dict[str, Any]:
            return {**super()._build_queue_arguments(queue_name), "x-queue-type": setup.queue_type}

    return Broker(url=setup.url, confirm_delivery=setup.kind == "cast")


def _actor(setup: Setup) -> Any:
    import dramatiq

    return dramatiq.actor(counted, queue_name=setup.queue)


@contextmanager
def _connected(setup: Setup) -> Iterator[Caster]:
    import dramatiq

    broker = _broker(setup)
    dramatiq.set_broker(broker)
    yield _Casts(_actor(setup))
    broker.close()


class _Casts:
    def __init__(self, actor: Any) -> None:
        self._actor = actor

    def call(self, argument: Any) -> None:
        self._actor.send(argument)

    def cast_many(self, arguments: Iterable[Any]) -> None:
        raise NotImplementedError

    def fill(self, arguments: Iterable[Any]) -> None:
        for argument in arguments:
            self._actor.send(argument)
