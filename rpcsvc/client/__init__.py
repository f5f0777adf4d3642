"""The client: `RpcClient` for threads, `AsyncRpcClient` for asyncio, and the inside that they share.

- `sync`, `aio`: the two clients. `casts`, `events`: what they do with these.
- `calls`: one call, numbered, checked and encoded.
- `messages`: the two words: what travels, and what somebody waits for.
- `engine`: the life of a call, as one table; pure. `orders` carries out what it orders, `routes` has what is known
  of one queue and its servers, `port` is what a driver has to do for it.
- `evidence`: whether a server is there. `given_up`: what the servers have to be told.
- `pending`: what waits for a reply. `reserve`: how long it may wait in the queue.
- `packing`, `sizing`: tiny calls that travel together, and how many.
- `outbox`: the life of a message that is done when the broker has confirmed it, as one table; pure. `outgoing` has its
  words, `casting` makes casts, `many_casts` many of them, `posting` drives it.
- `link`: what drives the engine on an event loop; with `opening`, `session` and `publishing`, which are its connection.
- `portal`: a link on an event loop in a thread of its own.
- `map`: one method over many arguments.
- `futures`: what a threaded program waits on. `teller`: helper threads for what waits there by the standard library.
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
