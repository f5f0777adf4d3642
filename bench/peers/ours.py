"""This library: `rpcsvc serve`, and RpcClient from one thread."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from rpcsvc import RpcClient

from .modes import Mode
from .peer import Client, Peer, Setup


class Ours(Peer):
    """`call`, `submit` and `map` as anybody would use them; no option but those that the mode names."""

    name = "ours"
    kind = "ours"

    def unable(self, mode: Mode) -> str | None:
        return "this version has no map" if mode.maps and not hasattr(RpcClient, "map") else None

    def servers(self, setup: Setup) -> list[list[str]]:
        command = [sys.executable, "-m", "rpcsvc", "serve", "bench.peers.work:registry", "--queue", setup.queue]
        return [[*command, "--workers", str(setup.workers), "--prefetch", str(setup.prefetch)]]

    def connect(self, setup: Setup) -> AbstractContextManager[Client]:
        return _connected(setup, _Client)


class OursUnpacked(Ours):
    """Each call in a message of its own, where the client would send several together."""

    name = "ours unpacked"

    def skips(self, mode: Mode) -> bool:
        return mode.maps or mode.in_flight == 1

    def connect(self, setup: Setup) -> AbstractContextManager[Client]:
        return _connected(setup, _Client, pack=False)


class OursSubmit(Ours):
    """The many calls of a map as single ones through `submit`."""

    name = "ours submit"

    def unable(self, mode: Mode) -> str | None:
        return None

    def skips(self, mode: Mode) -> bool:
        return not mode.maps

    def connect(self, setup: Setup) -> AbstractContextManager[Client]:
        return _connected(setup, _SubmittingClient)


@contextmanager
def _connected(setup: Setup, kind: type[_Client], *, pack: bool = True) -> Iterator[Client]:
    with RpcClient(queue=setup.queue, wait_for_server=10, pack=pack) as client:
        yield kind(client, setup)


class _Client:
    def __init__(self, client: RpcClient, setup: Setup) -> None:
        self._client = client
        self._function = setup.function
        self._in_flight = setup.in_flight

    def call(self, argument: Any) -> Any:
        return self._client.call(self._function, argument)

    def submit(self, argument: Any) -> Any:
        return self._client.submit(self._function, argument)

    def result(self, handle: Any) -> Any:
        return handle.result()

    def map(self, argument: Any, calls: int) -> Iterable[Any]:
        return self._client.map(self._function, (argument for _ in range(calls)))


class _SubmittingClient(_Client):
    def map(self, argument: Any, calls: int) -> Iterable[Any]:
        waiting: deque[Any] = deque()
        for _ in range(calls):
            if len(waiting) == self._in_flight:
                yield waiting.popleft().result()
            waiting.append(self._client.submit(self._function, argument))
        for future in waiting:
            yield future.result()
