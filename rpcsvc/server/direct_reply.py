"""Replies to a caller's channel without a queue (RabbitMQ's direct reply-to), and why not every such name will do.

A caller that consumes `amq.rabbitmq.reply-to` has a callback queue in name only:

    amq.rabbitmq.reply-to.<base64 of an Erlang process id, whose node is called reply@<hash>>.<base64 of a key>

The broker decodes the name when something is published to it. RabbitMQ 3.10 fails at a name that it did not make, or
that is of a node which has gone: it closes the publisher's connection with 541, and what was not acked comes again and
does the same to the next server. So a name must be formed as the broker forms it, and its node is tried once, with a
passive declaration on a connection of its own, which is no loss. A name of a node that stood the test is harmless,
whether its caller is still there or not.
"""

from __future__ import annotations

import asyncio
import binascii
import contextlib
import math
import re
import time

from ..amqp import Connection
from ..errors import ConnectionFailed, ConnectionLost, RpcError
from ..settings import DEFAULT_CONNECT_TIMEOUT, BrokerUrl
from ..wire.names import DIRECT_REPLY_TO
from .remembered import Remembered

PREFIX = DIRECT_REPLY_TO + "."
BAD_FOR = 10.0
"""Seconds for which a node that failed the test is not tried again; it may have been about to join its cluster."""
_REMEMBERED = 1000
_NAME = re.compile(re.escape(PREFIX) + r"([A-Za-z0-9+/]+={0,2})\.[A-Za-z0-9+/_-]+={0,2}", re.ASCII)
# Erlang's external term format: version, NEW_PID_EXT, an atom (ATOM_UTF8_EXT, SMALL_ATOM_UTF8_EXT, or the two kinds of
# Latin-1), and three numbers of four bytes.
_PROCESS = re.compile(rb"\x83X(?:[dv]\x00.|[sw].)([!-~]+@[!-~]+).{12}", re.DOTALL)
_ATOM_LENGTH_AT = {b"d": 4, b"v": 4, b"s": 3, b"w": 3}


def node_of(name: str) -> bytes | None:
    """The broker's node in the name of a direct callback queue; None if the name is not one that a broker makes."""
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    try:
        process = binascii.a2b_base64(match[1], strict_mode=True)
    except binascii.Error:
        return None
    found = _PROCESS.fullmatch(process)
    if found is None or process[_ATOM_LENGTH_AT[process[2:3]]] != len(found[1]):
        return None
    return found[1]


class DirectReplies:
    """What one session knows of direct callback queues.

    Args:
        url: the broker's, for the connections that are put to the test.
    """

    def __init__(self, url: BrokerUrl) -> None:
        self._url = url
        self._nodes: Remembered[bytes, bool] = Remembered(time.monotonic, most=_REMEMBERED)
        self._turn = asyncio.Lock()

    def may_reply(self, name: str) -> bool | None:
        """Whether a reply may go to that name; None if `look` has to tell."""
        node = node_of(name)
        return False if node is None else self._nodes.get(node)

    async def look(self, name: str) -> bool:
        """Whether a reply may go to that name. Waits as long as the broker cannot be reached."""
        node = node_of(name)
        assert node is not None, "it needs a look"
        async with self._turn:  # one after the other: whoever makes up many nodes gets no more connections for it
            may = self._nodes.get(node)
            if may is None:
                may = await self._stands(name)
                self._nodes.put(node, may, math.inf if may else BAD_FOR)
        return may

    async def _stands(self, name: str) -> bool:
        """Whether a connection outlives the name."""
        connection = await self._connect()
        try:
            async with asyncio.timeout(DEFAULT_CONNECT_TIMEOUT):
                channel = await connection.channel()
                await channel.declare_queue(name, passive=True)
        except (ConnectionLost, TimeoutError):
            return False
        except RpcError:
            pass  # there is no such caller any more: the name was understood, and that is the question
        finally:
            await connection.close()
        return True

    async def _connect(self) -> Connection:
        while True:
            with contextlib.suppress(ConnectionFailed):
                return await Connection.open(
                    self._url, role="rpcsvc server, looking at a direct reply-to", timeout=DEFAULT_CONNECT_TIMEOUT
                )
            await asyncio.sleep(1)

    def __repr__(self) -> str:
        return f"<DirectReplies: {len(self._nodes)} nodes are remembered>"
