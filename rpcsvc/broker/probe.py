"""Whether a broker answers: by the first bytes of the protocol, or by a whole connection as a user.

Rules: what asks is ordinary code, which may run in an event loop of its own, so a connection has a thread. The AMQP
library is imported for that alone: who stops a node, or asks for its state, does not wait for it.
"""

from __future__ import annotations

import asyncio
import socket
from concurrent.futures import ThreadPoolExecutor

from ..errors import ConnectionFailed
from ..settings import BrokerUrl

_PROTOCOL_HEADER = b"AMQP\x00\x00\x09\x01"


def answers(url: BrokerUrl, *, timeout: float = 2.0) -> bool:
    """Whether something speaks AMQP at the URL's host and port (over TLS: whether the port is open). No user is needed.

    Args:
        timeout: seconds for each step.
    """
    try:
        with socket.create_connection((url.host, url.port), timeout) as connection:
            if url.tls:
                return True
            connection.sendall(_PROTOCOL_HEADER)
            # A frame, or the protocol header of another version.
            return connection.recv(1)[:1] in (b"\x01", b"A")
    except OSError:
        return False


def open_and_close(url: BrokerUrl, *, timeout: float = 2.0) -> None:
    """Open an AMQP connection as the URL's user, and close it.

    Args:
        timeout: seconds until it is open.

    Raises:
        AuthenticationFailed: the broker refuses the user or the password.
        AccessRefused: it refuses the virtual host.
        ConnectionFailed: nobody listens, what listens is no broker, or it did not answer in time.
    """
    try:
        with ThreadPoolExecutor(1) as thread:
            thread.submit(asyncio.run, _open_and_close(url, timeout)).result()
    except OSError as error:
        if isinstance(error, ConnectionFailed):
            raise
        raise ConnectionFailed(f"no connection to {url} for want of something on this machine: {error}") from error


def lets_in(url: BrokerUrl, *, timeout: float = 2.0) -> bool:
    """Whether a broker answers there, and takes the URL's user and virtual host."""
    if not answers(url, timeout=timeout):
        return False
    try:
        open_and_close(url, timeout=timeout)
    except ConnectionFailed:
        return False
    return True


async def _open_and_close(url: BrokerUrl, timeout: float) -> None:
    from ..amqp import Connection  # noqa: PLC0415 as the head of this file says

    connection = await Connection.open(url, role="rpcsvc broker", timeout=timeout)
    await connection.close()
