"""The consumers of a session are there again after a deletion, however many attempts that takes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from rpcsvc.errors import ConnectionLost, RpcError
from rpcsvc.server import consumers as module
from rpcsvc.server.consumers import Consumers
from rpcsvc.server.queue import QueueFound
from rpcsvc.server.service import Service


class Broker:
    """A connection with one channel, on which the attempts to consume end as the script says: True is success."""

    url = None

    def __init__(self, *script: bool) -> None:
        self._script = list(script)
        self.lost: asyncio.Future[RpcError] = asyncio.get_running_loop().create_future()
        self.ends: list[Callable[[], None]] = []

    async def channel(self) -> Broker:
        return self

    async def prefetch(self, count: int) -> None:
        assert count == 1

    async def consume(self, queue: str, _: Any, *, cancelled: Callable[[], None]) -> str:
        assert queue == "q"
        if not self._script.pop(0):
            self.lost.set_result(ConnectionLost("541"))
            raise ConnectionLost("541")
        self.ends.append(cancelled)
        return "tag"

    def abort(self) -> None:
        if not self.lost.done():
            self.lost.set_result(ConnectionLost("aborted"))

    def close(self) -> None:
        self.abort()


def test_consumers_that_went_with_a_connection_are_not_taken_for_new_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """RabbitMQ closes the connection (541) that consumes a quorum queue which is being deleted."""

    async def found(*_: Any) -> QueueFound:
        return QueueFound(declared=True)

    async def was_deleted(*_: Any) -> bool:
        return True

    async def run() -> None:
        earlier, second, third = Broker(True, True), Broker(True, False), Broker(True, True)
        opened = [second, third]

        async def reopened(*_: Any, **__: Any) -> Broker:
            return opened.pop(0)

        monkeypatch.setattr(module, "Connection", SimpleNamespace(open=reopened))
        monkeypatch.setattr(module, "find", found)
        monkeypatch.setattr(module, "was_deleted", was_deleted)
        consumers = Consumers(
            cast(Any, earlier),
            cast(Any, earlier),
            QueueFound(declared=True),
            cast(Service, SimpleNamespace(queue="q", queue_type="quorum", prefetch=1)),
            delivered=lambda *_: None,
            deleted=lambda: None,
            lost=lambda _: None,
            failed=lambda _: None,
        )
        await consumers.start(2)
        for end in earlier.ends:
            end()
        restoring = consumers._restoring
        assert restoring is not None
        await asyncio.wait_for(restoring, 10)
        assert cast(Any, consumers.channel) is third
        assert "2 of 2" in repr(consumers)

    asyncio.run(run())
