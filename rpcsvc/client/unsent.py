"""The calls of a client that cannot be sent now: there is no connection, nobody to take them, or they would get stuck.

    add -> waits -> a connection, that takes messages, and a server behind it? -> publish
             |
             +--> nobody came in time: the call ends

They are sent in the order in which they came.
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable

from ..amqp.reconnect import Reconnection
from ..errors import ConnectionLost, NoServer, RpcError
from ..settings.client import ClientOptions
from .calls import PendingCall, now
from .evidence import Evidence
from .opening import Connector
from .session import Session

_FLUSH_EVERY = 100
"""Calls after which those that waited are handed to the network, to see whether it takes more."""


class Unsent:
    """The calls that wait to be sent.

    Attributes:
        calls: by their ids, in their order.

    Args:
        connector: where connections come from.
        options: the client's.
        evidence: what is known of the servers.
        publish: publishes a call, or gives it back here; it may take others of this tick along.
        publish_alone: the same, at once and by itself.
        end: ends a call with an error.
        queue_was_gone: called when there is a queue again after one was missing: what lay in it has to be added.
    """

    def __init__(
        self,
        connector: Connector,
        options: ClientOptions,
        evidence: Evidence,
        *,
        publish: Callable[[PendingCall], None],
        publish_alone: Callable[[PendingCall], None],
        end: Callable[[str, RpcError], None],
        queue_was_gone: Callable[[], None],
    ) -> None:
        self._connector = connector
        self._options = options
        self._evidence = evidence
        self._publish = publish
        self._publish_alone = publish_alone
        self._end = end
        self._queue_was_gone = queue_was_gone
        self.calls: dict[str, PendingCall] = {}
        self._sender: asyncio.Task[None] | None = None

    @property
    def is_sending(self) -> bool:
        """Whether somebody sees to it that they are sent."""
        return self._sender is not None

    def add(self, call: PendingCall) -> None:
        """Have a call sent as soon as that can be."""
        self.calls[call.call_id] = call
        if self._sender is None:
            self._sender = asyncio.get_running_loop().create_task(self._send())

    def discard(self, call_id: str) -> None:
        """It has ended otherwise."""
        self.calls.pop(call_id, None)

    def clear(self) -> None:
        """All have ended otherwise."""
        self.calls.clear()

    async def close(self) -> None:
        """Send no more."""
        if self._sender is not None:
            self._sender.cancel()
            await asyncio.gather(self._sender, return_exceptions=True)

    async def _send(self) -> None:
        """Connect if need be, see that a server is there, and send what waits for that."""
        search = self._search()
        evidence = self._evidence
        try:
            while self.calls:
                try:
                    session = await self._connector.open()
                    await session.connection.until_free()
                    if not evidence.lets_send() or session.channel.lost.done():
                        await session.look()
                    if evidence.absence is not None and evidence.is_blind:
                        await self._probe(session)
                except RpcError as error:
                    pause = search.next_pause(error, now())
                    if pause is None:
                        raise
                    await asyncio.sleep(pause)
                    continue
                search = self._search()
                if evidence.absence is None:
                    if evidence.queue_was_gone:
                        self._queue_was_gone()
                    self._publish_all(session)
                    continue  # a connection lost just now has put them back
                self._give_up_impatient(evidence.absence)
                await asyncio.sleep(evidence.look_in())
        except RpcError as error:
            self._fail_all(error)
        finally:
            self._sender = None

    def _search(self) -> Reconnection:
        return Reconnection(now(), within=self._options.connect_timeout, was_open=True)

    async def _probe(self, session: Session) -> None:
        """See whether there is a queue again, where nobody may look: by a call that comes back, or not."""
        if not self.calls:
            return
        missing = self._evidence.times_missing
        self._publish_alone(self.calls.pop(next(iter(self.calls))))
        await session.until_returned()
        if self._evidence.times_missing == missing:
            self._evidence.taken()

    def _publish_all(self, session: Session) -> None:
        """Publish what waits, as far as the connection takes it."""
        for number, call in enumerate(list(self.calls.values()), 1):
            del self.calls[call.call_id]
            self._publish(call)
            if not number % _FLUSH_EVERY:
                session.connection.flush()
            if session.connection.held or session.lost.done():
                break

    def _give_up_impatient(self, absence: str) -> None:
        for call in list(self.calls.values()):
            if self._evidence.is_over(call.started):
                self._end(call.call_id, NoServer(self._options.queue, absence))

    def _fail_all(self, error: RpcError) -> None:
        for call_id, call in list(self.calls.items()):
            told = ConnectionLost(f"the connection was lost, and not to be had again: {error}") if call.sent else error
            self._end(call_id, copy.copy(told))

    def __repr__(self) -> str:
        return f"<Unsent: {len(self.calls)} calls{', sending' if self.is_sending else ''}>"
