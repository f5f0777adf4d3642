"""Which TCP ports of 127.0.0.1 are free.

A port that was free when asked may be taken a moment later; who listens must still be ready to fail.
"""

from __future__ import annotations

import secrets
import socket

from .config import HOST

DEFAULT_PORT = 5672
_RANDOM_PORTS = range(20000, 32000)
"""Below the ports that systems give to outgoing connections: none of those can take one before the node is up."""


def is_free(port: int) -> bool:
    """Whether nobody listens on `port` at 127.0.0.1 or at all addresses."""
    with socket.socket() as tried:
        # As a server would bind: connections in TIME_WAIT are no hindrance, a listener is.
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind((HOST, port))
        except (OSError, OverflowError):
            return False
    # BSD's SO_REUSEADDR lets two bind if one of them names an address and the other none. A connection tells.
    try:
        socket.create_connection((HOST, port), timeout=0.5).close()
    except OSError:
        return True
    return False


def random_free_port() -> int:
    """A free port, chosen at random."""
    while True:
        port = secrets.choice(_RANDOM_PORTS)
        if is_free(port):
            return port


def choose_port(*preferred: int | None) -> int:
    """The first of the preferred ports that is free, else a random one."""
    return next((port for port in preferred if port is not None and is_free(port)), None) or random_free_port()
