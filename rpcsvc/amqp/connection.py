"""One connection to a broker: how it is opened, what becomes of it, whether it takes messages now."""

from __future__ import annotations

import asyncio
import copy
import logging
import os
import re
import socket

import pika
import pika.credentials
import pika.exceptions

from .._version import __version__
from ..errors import RpcError
from ..host.streams import fill_standard_streams
from ..settings import BrokerUrl
from .channel import Channel
from .faults import lost_error, opening_error
from .tls import context_for, server_name_for
from .transport import StreamConnection

log = logging.getLogger(__name__)

_CLOSE_TIMEOUT = 2.0


class Connection:
    """An open connection to a broker.

    Attributes:
        url: where it leads; printing it hides the password.
        lost: done when the connection has ended, with the reason as its result.
        blocked: whether the broker has stopped reading from publishers (a memory or disk alarm).
        held: whether messages had better not be published now: it is blocked, or megabytes wait for the network. What
            is published all the same is sent late, and its `expiration` counts from then.
    """

    def __init__(self, url: BrokerUrl, role: str) -> None:
        """For `open` only."""
        loop = asyncio.get_running_loop()
        self.url = url
        self.blocked = False
        self.held = False
        self._free = asyncio.Event()
        self._free.set()
        self.lost: asyncio.Future[RpcError] = loop.create_future()
        self._opened: asyncio.Future[None] = loop.create_future()
        self._channels: set[Channel] = set()
        self._stream = StreamConnection(
            _parameters(url, role), opened=self._on_opened, ended=self._on_ended, flow_changed=self._on_flow
        )
        self._stream.add_on_connection_blocked_callback(self._on_blocked)
        self._stream.add_on_connection_unblocked_callback(self._on_unblocked)

    @classmethod
    async def open(cls, url: BrokerUrl, *, role: str, timeout: float) -> Connection:
        """Connect and shake hands.

        Args:
            url: the broker's.
            role: what the broker's operator sees as the connection's name, before host and process id.
            timeout: seconds for all of it.

        Raises:
            ConnectionFailed, AuthenticationFailed, AccessRefused
            ConfigurationError: a file for TLS cannot be used.
        """
        context = context_for(url)
        fill_standard_streams()  # one may have been closed since the loop was made
        connection = cls(url, role)
        try:
            async with asyncio.timeout(timeout):
                await asyncio.get_running_loop().create_connection(
                    lambda: connection._stream,
                    url.host,
                    url.port,
                    ssl=context,
                    server_hostname=server_name_for(url),
                )
                await connection._opened
        except (Exception, asyncio.CancelledError) as error:
            connection._stream.abort()
            if isinstance(error, asyncio.CancelledError):
                raise
            raise opening_error(error, url) from None
        return connection

    @property
    def is_open(self) -> bool:
        """Whether it can be used."""
        return self._opened.done() and not self.lost.done()

    @property
    def broker_version(self) -> tuple[int, ...] | None:
        """The broker's version as numbers, (4, 0, 5) for instance; None where it names none that begins so."""
        named = (self._stream.server_properties or {}).get("version")
        return version_numbers(named.decode("ascii", "replace") if isinstance(named, bytes) else named)

    def flush(self) -> None:
        """Let what was published and acked in this tick of the loop go out now, rather than at its end."""
        self._stream.flush()

    async def until_free(self) -> None:
        """Return when it is not held any more, or lost."""
        await self._free.wait()

    async def channel(self) -> Channel:
        """Open a channel."""
        if self.lost.done():
            raise copy.copy(self.lost.result())
        try:
            channel = Channel(self._stream, self._channels.discard)
        except pika.exceptions.AMQPError as error:
            raise lost_error(error) from None
        self._channels.add(channel)
        await channel._until_open()
        return channel

    async def close(self) -> None:
        """Say goodbye to the broker and wait for the end; a silent broker gets two seconds. Never raises."""
        if self.lost.done():
            return
        try:
            self._stream.close()
            async with asyncio.timeout(_CLOSE_TIMEOUT):
                await asyncio.shield(self.lost)
        except (TimeoutError, pika.exceptions.AMQPError):
            self.abort()

    def abort(self) -> None:
        """Drop the connection without a word."""
        self._stream.abort()

    def _on_opened(self) -> None:
        if not self._opened.done():
            self._opened.set_result(None)

    def _on_ended(self, error: BaseException) -> None:
        if not self._opened.done():
            self._opened.set_exception(error)
            self._opened.exception()  # nobody may be waiting any more
            return
        self._free.set()
        reason = lost_error(error)
        for channel in list(self._channels):
            channel._ended(reason)
        if not self.lost.done():
            self.lost.set_result(reason)

    def _on_blocked(self, *_: object) -> None:
        log.warning("the broker at %s takes no messages for now: it is short of memory or disk", self.url)
        self.blocked = True
        self._on_flow()

    def _on_unblocked(self, *_: object) -> None:
        log.warning("the broker at %s takes messages again", self.url)
        self.blocked = False
        self._on_flow()

    def _on_flow(self) -> None:
        self.held = self.blocked or self._stream.is_full
        if self.held:
            self._free.clear()
        else:
            self._free.set()

    def __repr__(self) -> str:
        state = "open" if self.is_open else "closed" if self.lost.done() else "opening"
        return f"<Connection {state}{', blocked' if self.blocked else ''} to {self.url}>"


def version_numbers(named: object) -> tuple[int, ...] | None:
    """The numbers that a version begins with, "4.3.0-rc.1" being (4, 3, 0); None where there are none."""
    found = re.match(r"\d{1,9}(\.\d{1,9})*", named) if isinstance(named, str) else None
    return tuple(map(int, found[0].split("."))) if found else None


def _parameters(url: BrokerUrl, role: str) -> pika.ConnectionParameters:
    return pika.ConnectionParameters(
        host=url.host,
        port=url.port,
        virtual_host=url.vhost,
        credentials=(
            pika.credentials.ExternalCredentials() if url.external else pika.PlainCredentials(url.user, url.password)
        ),
        heartbeat=url.heartbeat,
        client_properties={
            "connection_name": f"{role} {socket.gethostname()}:{os.getpid()}",
            "product": "rpcsvc",
            "version": __version__,
        },
    )
