"""What a peer is: how its servers are started, when they are ready, and what its client does.

A peer's module must import without the peer's library: what needs it is imported inside `serve` and `connect`, which
run in processes of their own. So a library that is missing fails one run, with a reason.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from .modes import Mode
from .processes import ROOT


class Unavailable(Exception):
    """The peer cannot run here; the sentence says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """One run, as the server and client processes are told of it. The broker's URL is in RPCSVC_URL.

    Attributes:
        queue: a name that no other run uses.
        seconds: how long to measure.
        calls: how many calls to measure instead, where the mode maps.
        Others: see Mode.
    """

    mode: str
    kind: str
    function: str
    workers: int
    prefetch: int
    in_flight: int
    maps: bool
    queue_type: str
    subscribers: int
    queue: str
    seconds: float
    calls: int

    @property
    def url(self) -> str:
        """The broker's."""
        return os.environ["RPCSVC_URL"]

    def to_json(self) -> str:
        """For a command line."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Setup:
        """The opposite of `to_json`."""
        return cls(**json.loads(text))


class Client(Protocol):
    """A client that blocks. `submit` returns what `result` takes."""

    def call(self, argument: Any) -> Any: ...
    def submit(self, argument: Any) -> Any: ...
    def result(self, handle: Any) -> Any: ...
    def map(self, argument: Any, calls: int) -> Iterable[Any]: ...


class AsyncClient(Protocol):
    """A client on an event loop; 100 calls in flight are 100 tasks."""

    async def call(self, argument: Any) -> Any: ...


class Peer:
    """One row of the tables. The defaults fit a library whose server is one process for each worker."""

    name = ""
    kind = "peer"
    """"ours", "earlier" (ours at another revision), "peer" (RPC over RabbitMQ in Python), "local" (no broker), "limit"
    (C), "work" (the function alone), "hand" (a program for this one purpose, not a library)."""
    note = ""
    """What a reader of the table should know."""
    one_way = False
    """Whether it stands for the peer's casts and events, or for its calls."""
    today = "ours"
    """The peer of ours that it is compared with."""
    folder = ROOT
    """Where its processes run, and what they import from first."""

    def unable(self, mode: Mode) -> str | None:
        """Why the peer cannot do a mode, or None."""
        return f"has no way to map; see {self.name} in mode c" if mode.maps else None

    def skips(self, mode: Mode) -> bool:
        """Whether the peer has no row in a mode, because another row of the same library stands for it."""
        return False

    def prepare(self) -> None:
        """Once before the first run. Raises Unavailable."""

    def servers(self, setup: Setup) -> list[list[str]]:
        """The commands of the server processes."""
        return [self.server(setup)] * setup.workers

    def server(self, setup: Setup) -> list[str]:
        """The command of one that runs `serve`."""
        return [sys.executable, "-m", "bench.peers.serve", self.name, setup.to_json()]

    def consumers(self, setup: Setup) -> tuple[str, int] | None:
        """The queue that the servers consume, and how many consumers it has when all are ready; None without one."""
        return setup.queue, setup.workers

    def queues(self, setup: Setup) -> list[str]:
        """The queues that a run leaves behind."""
        return []

    def client(self, setup: Setup) -> list[str]:
        """The command of the client process."""
        return [sys.executable, "-m", "bench.peers.load", self.name, setup.to_json()]

    def serve(self, setup: Setup) -> None:
        """Serve until SIGTERM; in a server process."""
        raise NotImplementedError

    def connect(self, setup: Setup) -> AbstractContextManager[Any] | AbstractAsyncContextManager[AsyncClient]:
        """A Client, or of one-way work a Caster, or one that is awaited; in the client process."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}, {self.kind}>"
