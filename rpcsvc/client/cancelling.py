"""Telling the servers which calls nobody waits for any more, so that nobody computes for nobody.

    given up, timed out --> ids of some milliseconds --> one message --> exchange rpcsvc.control --> every server
                                  |
                                  +--no server is there--> kept until one comes, or their time is up

This is a courtesy. Where the exchange does not exist (servers of another make), or the user may not write to it, or the
broker takes nothing just now, nothing is said, and all else goes on: each call has ended here already.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from functools import partial
from typing import cast

from ..amqp import Channel, Connection
from ..errors import RpcError
from ..wire.control import cancels
from ..wire.names import CONTROL
from .calls import PendingCall, now
from .given_up import GivenUp
from .opening import Connector
from .packing import Pack

log = logging.getLogger(__name__)

_GATHER = 0.01
"""Seconds for which ids are gathered: a hundred thousand time-outs are a hundred messages."""
_LOOK_AT_PACKS = 0.05
_PAUSE = 10.0
"""Seconds of silence after the broker refused a message."""
_LAST_WORDS = 0.25
"""Seconds that a client that is closed takes for this."""


class Canceller:
    """What one client has to tell of calls given up.

    Args:
        connector: the client's connections.
        is_pending: whether a call still waits for its outcome.
        ended: called with each message of several calls that none of them waits for.
        is_heard: whether a server may be there, who hears it.
    """

    def __init__(
        self,
        connector: Connector,
        is_pending: Callable[[str], bool],
        ended: Callable[[PendingCall], None],
        is_heard: Callable[[], bool] = lambda: True,
    ) -> None:
        self._connector = connector
        self._is_pending = is_pending
        self._ended = ended
        self._is_heard = is_heard
        self._given_up = GivenUp(now)
        self._packs: dict[str, PendingCall] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        self._channel: Channel | None = None
        self._silent_until = 0.0

    def add(self, call: PendingCall) -> None:
        """Nobody waits any more for a call that was sent."""
        self._note(call)
        if call.pack is not None:
            self._packs[call.pack.call_id] = call.pack
        self._flush_in(_GATHER)

    def recall(self) -> None:
        """A server came that may know of nothing: tell it of what was given up before."""
        self._given_up.recall()
        if self._given_up:
            self._flush_in(_GATHER)

    def needs_server(self, *, is_absent: bool) -> bool:
        """Whether somebody has to look for a server, for want of one that has heard what is told.

        Args:
            is_absent: whether none is there, as far as that was seen.
        """
        return self._given_up.is_keeping if is_absent else self._given_up.is_fresh

    def forget(self) -> None:
        """The connection went: its calls are known by another name on the next one."""
        self._given_up.forget()
        self._packs.clear()
        self._channel = None

    async def close(self) -> None:
        """The client is closed: say the last words, as far as that goes quickly."""
        if self._timer is not None:
            self._timer.cancel()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LAST_WORDS):
                await self._tell()

    def _note(self, call: PendingCall) -> None:
        session = self._connector.current
        reply_to = call.reply_to or (None if call.pack is None else call.pack.reply_to)
        if reply_to is None and session is not None:
            reply_to = session.callback_queue
        if reply_to is not None:
            self._given_up.add(reply_to, call.call_id, call.deadline)

    def _flush_in(self, seconds: float) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(seconds, self._flush)

    def _flush(self) -> None:
        self._timer = None
        self._look_at_packs()
        if self._given_up and self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._tell())
            self._task.add_done_callback(self._told)
        if self._packs:
            self._flush_in(_LOOK_AT_PACKS)

    def _look_at_packs(self) -> None:
        """A message of several calls is given up when the last of them has ended without it."""
        for pack_id, pack in list(self._packs.items()):
            if not self._is_pending(pack_id):
                del self._packs[pack_id]
            elif not any(self._is_pending(call.call_id) for call in cast(Pack, pack.outcome).calls):
                del self._packs[pack_id]
                self._ended(pack)
                self._note(pack)

    def _told(self, _: asyncio.Task[None]) -> None:
        self._task = None
        if self._given_up:  # they came after its last look
            self._flush_in(_GATHER)

    async def _tell(self) -> None:
        while self._given_up:
            session = self._connector.current
            if now() < self._silent_until:
                self._given_up.forget()
                return
            if session is None or session.connection.blocked or not self._is_heard():
                self._given_up.keep()
                return
            try:
                if self._channel is None:
                    self._channel = channel = await session.connection.channel()
                    channel.lost.add_done_callback(partial(self._channel_lost, session.connection, channel))
                    continue  # the connection may be another one by now
                for reply_to, left in self._given_up.take().items():
                    for message in cancels(reply_to, left):
                        self._channel.publish("", message, exchange=CONTROL)
            except RpcError:
                self._given_up.forget()  # the channel is about to say so too

    def _channel_lost(self, connection: Connection, channel: Channel, lost: asyncio.Future[RpcError]) -> None:
        if self._channel is channel:
            self._channel = None
        if not connection.lost.done():
            self._silent_until = now() + _PAUSE
            log.debug("servers cannot be told of calls given up: %s", lost.result())

    def __repr__(self) -> str:
        return f"<Canceller: {len(self._given_up)} to tell of, {len(self._packs)} packs>"
