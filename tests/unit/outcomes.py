"""Futures whose outcome the test gives."""

from __future__ import annotations

import threading
from collections.abc import Callable

from rpcsvc.client.futures import RpcFuture
from rpcsvc.client.teller import Teller

BOOM = ValueError("boom")
Outcome = Callable[[RpcFuture], object]


def ok(future: RpcFuture) -> None:
    future.set_result(42)


def failed(future: RpcFuture) -> None:
    future.set_exception(BOOM)


def cancelled(future: RpcFuture) -> None:
    assert future.cancel()


class Link:
    """Where a call is under way; it tells of outcomes as the client's own thread does."""

    def __init__(self) -> None:
        self.is_of_parent = False
        self.told: list[RpcFuture] = []
        self.teller = Teller()

    def ended(self, future: RpcFuture) -> None:
        self.told.append(future)
        if future.is_awaited_elsewhere:
            self.teller.add(future)

    def future(self) -> RpcFuture:
        future = RpcFuture("f", "1")
        future.is_under_way(self)
        return future


def soon(do: Callable[[], object]) -> threading.Thread:
    """Do something while this thread waits."""
    thread = threading.Timer(0.05, do)
    thread.start()
    return thread
