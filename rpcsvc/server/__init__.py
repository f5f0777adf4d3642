"""The server: `RpcServer`, and what becomes of the deliveries of its connections.

- `server`: the server's life: it starts, drains, reloads, and comes back after a lost connection.
- `session`: one connection, its consumers, its deliveries; it does what the engine orders.
- `consumers`, `queue`: the queue that is served, and who consumes it.
- `engine`: what becomes of a delivery, until it is acked, as a table; it outlives connections. Pure, as are the next.
- `message`: messages, their states, events and calls, and whom the engine talks to.
- `kinds`, `calls`, `casts`: what decides about messages of one kind.
- `orders`, `schedule`: how what the table orders is done, and when messages are looked at again.
- `asked`, `parts`: what a message asks for, where a server has to answer or to compute its calls one by one.
- `register`: all calls, by what their callers know them by.
- `callback_queues`, `direct_reply`: where replies may go.
- `large_replies`: what the broker might refuse.
- `cast_session`, `sending`: the queues that casts come from; what is published in their place.
- `control`: what clients say to all servers.
- `service`: what is served; `counts`: what happened so far.
- `remembered`: a table whose entries pass.
"""

from __future__ import annotations

import importlib
from typing import Any


def __getattr__(name: str) -> Any:
    """The server, loaded when it is first asked for."""
    if name != "RpcServer":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return importlib.import_module(".server", __name__).RpcServer
