"""FastStream: a RabbitMQ subscriber that returns its result, and `broker.request`.

Options, and why:
- `Channel(prefetch_count=..., publisher_confirms=False)` as the broker's default channel: the mode's prefetch, and no
  confirm to wait for. For the echo they stay on: with bodies of 8 MiB it is four times as fast with them.
- `apply_types=False`: no validation and conversion of arguments.
- `AckPolicy.ACK`: acks after the work.
- uvloop, as its own command uses where it is installed, and one process for each worker, as `--workers` makes.
`request` holds a lock until the reply is there, so a broker object has one request under way, however
many callers wait.
"""

# ruff: noqa: PLC0415 the library is imported in the processes that use it
from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import uvloop

from . import work
from .peer import AsyncClient, Peer, Setup


class FastStream(Peer):
    """A subscriber and `request`."""

    name = "FastStream request"
    note = "request holds a lock: one call under way, whatever is asked for"

    def serve(self, setup: Setup) -> None:
        uvloop.run(_serve(setup))

    def connect(self, setup: Setup) -> AbstractAsyncContextManager[AsyncClient]:
        return _connected(setup)


def _broker(setup: Setup) -> Any:
    from faststream.rabbit import Channel, RabbitBroker

    channel = Channel(prefetch_count=setup.prefetch, publisher_confirms=setup.function == "echo")
    return RabbitBroker(setup.url, default_channel=channel, apply_types=False, logger=None)


async def _serve(setup: Setup) -> None:
    from faststream import AckPolicy, FastStream

    compute = work.FUNCTIONS[setup.function]
    broker = _broker(setup)

    @broker.subscriber(setup.queue, ack_policy=AckPolicy.ACK)
    async def function(argument: Any) -> Any:
        return compute(argument)

    await FastStream(broker, logger=None).run()


@asynccontextmanager
async def _connected(setup: Setup) -> AsyncIterator[AsyncClient]:
    async with _broker(setup) as broker:
        yield _Client(broker, setup)


class _Client:
    def __init__(self, broker: Any, setup: Setup) -> None:
        self._broker = broker
        self._queue = setup.queue

    async def call(self, argument: Any) -> Any:
        response = await self._broker.request(argument, self._queue, timeout=30.0)
        return await response.decode()
