"""The adapter: pika's connection state machine on an asyncio transport.

`pika.connection.Connection` speaks AMQP and leaves the stream and the timers to six `_adapter_*` methods; an asyncio
protocol fills them in. TLS, partial writes and wake-ups are asyncio's.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import cast

import pika
import pika.connection
import pika.exceptions

log = logging.getLogger(__name__)


class _OwnChannels(logging.Filter):
    """Keeps pika from warning of channels that the broker closed on us: they are typed errors, and some are expected.

    (A passive declaration of a queue that does not exist is one.)
    """

    def filter(self, record: logging.LogRecord) -> bool:
        args = record.args if isinstance(record.args, tuple) else ()
        return not any(isinstance(getattr(arg, "connection", None), StreamConnection) for arg in args)


logging.getLogger("pika.channel").addFilter(_OwnChannels())


class StreamConnection(pika.connection.Connection, asyncio.Protocol):  # type: ignore[misc]  # pika is untyped
    """A pika connection that is an asyncio protocol too.

    Args:
        parameters: pika's.
        opened: called when the AMQP handshake is done.
        ended: called once with the reason when the connection could not be opened, or was lost or closed.
    """

    def __init__(
        self,
        parameters: pika.connection.Parameters,
        *,
        opened: Callable[[], None],
        ended: Callable[[BaseException], None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        super().__init__(
            parameters,
            on_open_callback=lambda _: opened(),
            on_open_error_callback=lambda _, error: ended(error),
            on_close_callback=lambda _, error: ended(error),
            internal_connection_workflow=False,
        )

    # ---- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._on_stream_connected()

    def data_received(self, data: bytes) -> None:
        try:
            self._on_data_available(data)
        except Exception as error:
            log.warning("the broker's bytes cannot be read: %s: %s", type(error).__name__, error)
            self._terminate_stream(error)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        # An error that was noted before (by a close, ours or the broker's) is the reason; else the stream itself is.
        self._on_stream_terminated(None if self._error else pika.exceptions.StreamLostError(repr(exc)))

    # ---- what pika asks of an adapter

    def _adapter_call_later(self, delay: float, callback: Callable[[], object]) -> asyncio.TimerHandle:
        return self._loop.call_later(delay, callback)

    def _adapter_remove_timeout(self, timeout_id: object) -> None:
        cast(asyncio.TimerHandle, timeout_id).cancel()

    def _adapter_add_callback_threadsafe(self, callback: Callable[..., object]) -> None:
        self._loop.call_soon_threadsafe(callback)

    def _adapter_connect_stream(self) -> None:
        raise NotImplementedError("asyncio connects the stream")

    def _adapter_disconnect_stream(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def _adapter_emit_data(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)

    def _output_marshaled_frames(self, marshaled_frames: Sequence[bytes]) -> None:
        """All the frames of one method in one write, where pika makes one each."""
        data = b"".join(marshaled_frames)
        self.bytes_sent += len(data)
        self.frames_sent += len(marshaled_frames)
        self._adapter_emit_data(data)

    # ---- for the owner

    def abort(self) -> None:
        """Drop the stream without a word to the broker."""
        if self._transport is not None:
            self._transport.abort()
