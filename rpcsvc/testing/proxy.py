"""A TCP proxy that misbehaves on request: between a client or server and the broker, it stands for the network.

    victim --> FaultProxy --> broker          "up" is towards the broker, "down" from it

It runs on an event loop in a thread of its own. Faults hold for all connections, those that exist and those to come,
until they are cured.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import socket
import struct
import threading
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any, Self, TypeVar

T = TypeVar("T")

_CHUNK = 65536


class Direction(enum.Enum):
    """Which way bytes go."""

    UP = "up"
    DOWN = "down"


@dataclass
class _Way:
    """What happens to the bytes of one direction."""

    delay: float = 0.0
    cut_after: int | None = None
    flowing: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.flowing.set()


class FaultProxy:
    """A network that fails on request, between whoever connects to it and `host:port`; a context manager.

        with FaultProxy("127.0.0.1", broker.port) as network, RpcClient(network.url(broker.url)) as client:
            network.stall()

    Without a direction a fault is one of both.

    Attributes:
        port: where it listens on 127.0.0.1.
        refused: how many connections it has refused.
    """

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fault proxy", daemon=True)
        self._ways = {direction: _Way() for direction in Direction}
        self._pairs: set[tuple[asyncio.StreamWriter, asyncio.StreamWriter]] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._refusing = False
        self.port = 0
        self.refused = 0

    def __enter__(self) -> Self:
        self._thread.start()
        self._run(self._listen())
        return self

    def __exit__(self, *_: object) -> None:
        self._run(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def url(self, url: str) -> str:
        """The URL of a broker at the target, led through this proxy."""
        return url.replace(f":{self._target[1]}/", f":{self.port}/")

    # ---- faults

    def delay(self, seconds: float, *directions: Direction) -> None:
        """Hold every piece back for so long."""
        for way in self._chosen(directions):
            way.delay = seconds

    def stall(self, *directions: Direction) -> None:
        """Let nothing through, and keep every connection open: a black hole."""
        for way in self._chosen(directions):
            self._loop.call_soon_threadsafe(way.flowing.clear)

    def heal(self) -> None:
        """End delays, stalls, cuts and refusals."""

        def cure() -> None:
            self._refusing = False
            for way in self._ways.values():
                way.delay, way.cut_after = 0.0, None
                way.flowing.set()

        self._loop.call_soon_threadsafe(cure)

    def cut_after(self, count: int, *directions: Direction) -> None:
        """Reset a connection when it has carried so many more bytes in a direction."""
        for way in self._chosen(directions):
            way.cut_after = count

    def reset_all(self) -> None:
        """Reset every connection (TCP RST)."""
        self._run(self._reset_all())

    def refuse(self) -> None:
        """Reset every connection, and every new one, until healed."""
        self._refusing = True
        self.reset_all()

    @property
    def connections(self) -> int:
        """How many connections there are."""
        return len(self._pairs)

    # ---- inside

    def _chosen(self, directions: tuple[Direction, ...]) -> list[_Way]:
        return [self._ways[direction] for direction in directions or tuple(Direction)]

    def _run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(10)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        assert self._server is not None
        self._server.close()
        await self._reset_all()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _reset_all(self) -> None:
        for pair in list(self._pairs):
            self._reset(pair)

    def _reset(self, pair: tuple[asyncio.StreamWriter, asyncio.StreamWriter]) -> None:
        self._pairs.discard(pair)
        for writer in pair:
            raw = writer.get_extra_info("socket")
            with contextlib.suppress(OSError):
                # With SO_LINGER at zero a close is a reset.
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._refusing:
            self.refused += 1
            self._reset((writer, writer))
            return
        try:
            far_reader, far_writer = await asyncio.open_connection(*self._target)
        except OSError:
            self._reset((writer, writer))
            return
        pair = (writer, far_writer)
        self._pairs.add(pair)
        for way, source, sink in (
            (self._ways[Direction.UP], reader, far_writer),
            (self._ways[Direction.DOWN], far_reader, writer),
        ):
            task = asyncio.ensure_future(self._carry(way, source, sink, pair))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _carry(
        self,
        way: _Way,
        source: asyncio.StreamReader,
        sink: asyncio.StreamWriter,
        pair: tuple[asyncio.StreamWriter, asyncio.StreamWriter],
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(_CHUNK):
                await way.flowing.wait()
                if way.delay:
                    await asyncio.sleep(way.delay)
                cut = way.cut_after is not None and way.cut_after <= len(data)
                if way.cut_after is not None:
                    data = data[: way.cut_after]
                    # The cut is this connection's from here on: no other may lose bytes and live.
                    way.cut_after = None if cut else way.cut_after - len(data)
                sink.write(data)
                await sink.drain()
                if cut:
                    break
        self._reset(pair)
