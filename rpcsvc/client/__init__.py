"""The client: `RpcClient` for threads, `AsyncRpcClient` for asyncio, and the inside that they share.

- `sync`, `aio`: the two clients.
- `calls`: one call, numbered, checked and encoded; the options of a client.
- `link`: one client's connection and the calls that wait on it. The way of a call is drawn there.
- `pending`: the calls that wait for a reply.
- `unsent`: the calls that cannot be sent now.
- `opening`: the connections of one client, one after the other.
- `session`: one connection with its callback queue.
- `evidence`: whether a server is there.
- `publishing`: a call on its way to the broker.
- `packing`, `sizing`: tiny calls that travel together, and how many.
- `cancelling`, `given_up`: telling the servers of calls given up.
- `map`: one method over many arguments.
- `portal`: a link on an event loop in a thread of its own.
- `futures`: what a threaded program waits on.
"""

from __future__ import annotations

import importlib
from typing import Any

_HOMES = {"AsyncRpcClient": "aio", "RpcClient": "sync", "RpcFuture": "futures"}


def __getattr__(name: str) -> Any:
    """The clients, loaded when they are first asked for."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module("." + _HOMES[name], __name__), name)
