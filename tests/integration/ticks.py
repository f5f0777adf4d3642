"""Calls that are made in one tick of the client's loop, so that they may travel together."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from rpcsvc import RpcClient

T = TypeVar("T")


def in_one_tick(client: RpcClient, submit: Callable[[], T]) -> T:
    """Run `submit` in the client's own thread, which sends nothing before it is through."""
    found: list[T] = []
    done = threading.Event()

    def then(_: Future[Any]) -> None:
        try:
            found.append(submit())
        finally:
            done.set()

    client.submit("rpc.ping").add_done_callback(then)
    assert done.wait(10)
    return found[0]
