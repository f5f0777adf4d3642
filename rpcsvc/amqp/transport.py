"""The adapter: pika's connection state machine on an asyncio transport.

`pika.connection.Connection` speaks AMQP and leaves the stream and the timers to six `_adapter_*` methods; an asyncio
protocol fills them in. TLS, partial writes and wake-ups are asyncio's. Once the connection is open, incoming bytes go
through the fast path, which hands to pika what is not a delivery.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from typing import cast

import pika
import pika.connection
import pika.exceptions

from .confirms import Confirms
from .fastpath import FrameParser
from .heartbeats import HeartbeatChecker
from .messages import Delivery

log = logging.getLogger(__name__)

_JOIN_BELOW = 64 * 1024
"""What a tick writes is joined up to this many bytes; beyond, copying costs more than a system call's longer list."""
_FULL_AT = 4 * 1024 * 1024
"""Bytes that wait for the network at which the owner had better write no more messages."""
_GOODBYE = 1.0
"""Seconds in which the last frames may leave a connection that is being closed."""


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

    Attributes:
        consumers: who takes deliveries, by channel number and consumer tag.
        confirms: what waits for confirms, by the number of its channel.
        is_full: whether more waits for the network than should; `flow_changed` is called when this changes.
        ended_by: what ended it, before pika draws its own conclusions; None while it has not ended.

    Args:
        parameters: pika's.
        opened: called when the AMQP handshake is done.
        ended: called once with the reason when the connection could not be opened, or was lost or closed.
        flow_changed: called when `is_full` has changed.
    """

    def __init__(
        self,
        parameters: pika.connection.Parameters,
        *,
        opened: Callable[[], None],
        ended: Callable[[BaseException], None],
        flow_changed: Callable[[], None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._outgoing: list[bytes] = []
        self._flow_changed = flow_changed
        self.is_full = False
        self._parser = FrameParser(self._slow_frame, self._delivered, self._confirmed)
        self.consumers: dict[tuple[int, bytes], Callable[[Delivery], None]] = {}
        self.confirms: dict[int, Confirms] = {}
        self.ended_by: BaseException | None = None
        super().__init__(
            parameters,
            on_open_callback=lambda _: opened(),
            on_open_error_callback=lambda _, error: ended(self.ended_by or error),
            on_close_callback=lambda _, error: ended(error),
            internal_connection_workflow=False,
        )

    # ---- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=_FULL_AT)
        self._on_stream_connected()

    def pause_writing(self) -> None:
        self.is_full = True
        self._flow_changed()

    def resume_writing(self) -> None:
        self.is_full = False
        self._flow_changed()

    def data_received(self, data: bytes) -> None:
        try:
            if self.is_open and not self._frame_buffer:
                self.bytes_received += len(data)  # pika's heartbeat checker looks at this
                self._parser.feed(data)
                self.flush()
            else:
                self._on_data_available(data)
        except Exception as error:  # what cannot be decoded would otherwise leave a half-dead connection
            log.warning("the broker's bytes cannot be read: %s: %s", type(error).__name__, error)
            self._terminate_stream(error)

    def _slow_frame(self, frame: bytes) -> None:
        """A frame that the fast path leaves to pika."""
        self.bytes_received -= len(frame)  # pika counts it again
        self._on_data_available(frame)

    def _delivered(self, channel: int, consumer_tag: bytes, delivery: Delivery) -> None:
        consumer = self.consumers.get((channel, consumer_tag))
        if consumer is None:
            return  # its channel was closed meanwhile; the broker delivers it again
        try:
            consumer(delivery)
        except Exception:
            log.exception("a consumer failed on a delivery")  # a fault of ours; the stream is well

    def _confirmed(self, channel: int, refuses: bool, tag: int, multiple: bool) -> bool:
        confirms = self.confirms.get(channel)
        if confirms is None:
            return False
        if refuses:
            confirms.refused(tag, multiple=multiple)
        else:
            confirms.confirmed(tag, multiple=multiple)
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        # An error that was noted before (by a close, ours or the broker's) is the reason; else the stream itself is.
        if self._error is None:
            lost = pika.exceptions.StreamLostError(repr(exc))
            lost.__cause__ = exc  # a TLS alert, say, which comes after the handshake
            self._on_stream_terminated(lost)
        else:
            self._on_stream_terminated(None)

    def _on_stream_terminated(self, error: Exception | None) -> None:
        # From here on pika guesses: what ends while the broker checks the password is taken for a refusal of it,
        # though it may be a broker that stops, or a cable.
        self.ended_by = error or self._error
        super()._on_stream_terminated(error)

    # ---- what pika asks of an adapter

    def _create_heartbeat_checker(self) -> HeartbeatChecker | None:
        return HeartbeatChecker(self, self.params.heartbeat) if self.params.heartbeat else None

    def _adapter_call_later(self, delay: float, callback: Callable[[], object]) -> asyncio.TimerHandle:
        return self._loop.call_later(delay, callback)

    def _adapter_remove_timeout(self, timeout_id: object) -> None:
        cast(asyncio.TimerHandle, timeout_id).cancel()

    def _adapter_add_callback_threadsafe(self, callback: Callable[..., object]) -> None:
        self._loop.call_soon_threadsafe(callback)

    def _adapter_connect_stream(self) -> None:
        raise NotImplementedError("asyncio connects the stream")

    def _adapter_disconnect_stream(self) -> None:
        if self._transport is None:
            return
        if isinstance(self._error, pika.exceptions.AMQPHeartbeatTimeout):
            self._transport.abort()  # nobody reads what waits to be sent, and a close would wait for that
            return
        self.flush()
        self._transport.close()
        self._loop.call_later(_GOODBYE, self.abort)

    def _adapter_emit_data(self, data: bytes) -> None:
        self.write((data,))

    def _output_marshaled_frames(self, marshaled_frames: Sequence[bytes]) -> None:
        self.frames_sent += len(marshaled_frames)
        self.write(marshaled_frames)

    # ---- for the owner

    def write(self, pieces: Iterable[bytes]) -> None:
        """Send pieces of frames, behind those of this tick of the event loop and in one write with them."""
        if not self._outgoing:
            self._loop.call_soon(self.flush)
        self._outgoing += pieces

    def flush(self) -> None:
        """Hand what was written in this tick to the transport."""
        outgoing = self._outgoing
        if not outgoing:
            return
        self._outgoing = []
        if self._transport is None:
            return
        size = sum(map(len, outgoing))
        self.bytes_sent += size
        if size <= _JOIN_BELOW:
            self._transport.write(b"".join(outgoing))
        else:
            self._transport.writelines(outgoing)

    def abort(self) -> None:
        """Drop the stream without a word to the broker."""
        if self._transport is not None:
            self._transport.abort()
