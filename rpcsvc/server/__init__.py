"""The server: `RpcServer`, and what becomes of the deliveries of its connections.

- `server`: the server's life: it starts, drains, reloads, and comes back after a lost connection.
- `session`: one connection, its consumers, its deliveries; reply, then ack.
- `consumers`, `queue`: the queue that is served, and who consumes it.
- `call`: what a delivery becomes, until it is answered.
- `under_way`: all of these, by what their callers know them by; it outlives connections.
- `repair`, `mend`: when a worker died over a call.
- `callback_queues`, `direct_reply`: where replies may go.
- `large_replies`: what the broker might refuse.
- `control`: what clients say to all servers.
- `service`: what is served, and what happened so far.
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
