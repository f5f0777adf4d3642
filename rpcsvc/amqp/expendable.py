"""Publishing what the broker may refuse, on a channel that may be lost.

    message --> surely taken? --yes--> the channel with the consumers
                     |
                     no --> a channel of its own, one message at a time --> confirmed
                                 |
                                 +--> refused (406, 403 …): the channel ends, and with it this message alone

A broker that refuses a message closes the channel it came through (406, "larger than configured max size"). On the
channel of the consumers that would give back every delivery and end every call; here it costs nothing but the channel.
Only one message is under way at a time, so the one that is refused is known.

Surely taken is what is as small as every broker takes, or no larger than what this one has confirmed before, and never
more than `LARGE`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

from ..errors import MessageTooLarge
from ..wire.sizes import LARGE, SMALL, BodyLimit
from .channel import Channel
from .connection import Connection
from .messages import Returned


class Expendable:
    """The expendable channel of one connection.

    Attributes:
        limit: how large a body may be.
        surely: a body of up to so many bytes is taken, as far as its size goes.

    Args:
        connection: where channels are opened, when they are needed.
        limit: how large a body may be; a refusal lowers it.
        returned: called with each mandatory message that no queue took.
    """

    def __init__(
        self, connection: Connection, limit: BodyLimit, *, returned: Callable[[Returned], None] | None = None
    ) -> None:
        self._connection = connection
        self._returned = returned
        self._channel: Channel | None = None
        self._turn = asyncio.Lock()
        self.limit = limit
        self.surely = min(SMALL, limit.most)

    @contextlib.asynccontextmanager
    async def turn(self) -> AsyncIterator[Channel]:
        """Have the channel alone, in confirm mode, when the connection takes messages.

        Raises:
            ConnectionLost: the connection has ended.
            MessageTooLarge: what was published in the block is larger than the broker takes; the limit is lower now.
        """
        async with self._turn:
            await self._connection.until_free()
            try:
                yield await self._open()
            except MessageTooLarge as refused:
                self.limit.refused(min(refused.limit, refused.size - 1))
                self.surely = min(self.surely, self.limit.most)
                raise

    async def _open(self) -> Channel:
        if self._channel is None or self._channel.lost.done():
            channel = await self._connection.channel()
            await channel.confirm()
            if self._returned is not None:
                channel.on_return(self._returned)
            self._channel = channel
        return self._channel

    def proved(self, size: int) -> None:
        """The broker has confirmed a body of so many bytes."""
        self.surely = max(self.surely, min(size, LARGE, self.limit.most))

    def __repr__(self) -> str:
        return f"<Expendable: up to {self.surely} bytes are surely taken, {self.limit!r}>"
