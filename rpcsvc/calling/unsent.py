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

from ..errors import AccessRefused, AuthenticationFailed, ConnectionFailed, ConnectionLost, NoServer, RpcError
from .back_off import BackOff
from .calls import ClientOptions, PendingCall, now
from .opening import Connector
from .session import Session

LOOK_EVERY = 0.05
"""Seconds between looks at a queue that has no server."""
MIN_PATIENCE = 0.15
"""Seconds a queue may be without a consumer before that means anything: a server may be reconnecting."""
RECOVERY = 2.0
"""Seconds that a server is given to come back, by calls that were sent when the connection or the queue was lost."""
_FLUSH_EVERY = 100
"""Calls after which those that waited are handed to the network, to see whether it takes more."""


class Unsent:
    """The calls that wait to be sent.

    Attributes:
        calls: by their ids, in their order.
        patience: seconds that a new call waits for a server.

    Args:
        connector: where connections come from.
        options: the client's.
        publish: publishes a call, or gives it back here.
        end: ends a call with an error.
        queue_was_gone: called when there is a queue again after one was missing: what lay in it has to be added.
    """

    def __init__(
        self,
        connector: Connector,
        options: ClientOptions,
        *,
        publish: Callable[[PendingCall], None],
        end: Callable[[str, RpcError], None],
        queue_was_gone: Callable[[Session], None],
    ) -> None:
        self._connector = connector
        self._options = options
        self._publish = publish
        self._end = end
        self._queue_was_gone = queue_was_gone
        self.calls: dict[str, PendingCall] = {}
        self._sender: asyncio.Task[None] | None = None
        self.patience = max(MIN_PATIENCE, options.wait_for_server)

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
        attempts = BackOff(self._options.connect_timeout)
        absent_since: float | None = None
        try:
            while self.calls:
                try:
                    session = await self._connector.open()
                    await session.connection.until_free()
                    known = session.has_evidence() and not session.channel.lost.done()
                    absence = None if known else await session.look_for_server()
                except (AuthenticationFailed, AccessRefused):
                    raise  # another attempt would end the same way
                except (ConnectionFailed, ConnectionLost) as error:
                    await attempts.wait_or_raise(error)
                    continue
                attempts = BackOff(self._options.connect_timeout)
                if absence is None:
                    absent_since = None
                    if session.queue_was_gone:
                        self._queue_was_gone(session)
                    self._publish_all(session)
                    continue  # a connection lost just now has put them back
                absent_since = now() if absent_since is None else absent_since
                self._give_up_impatient(absence, absent_since)
                await asyncio.sleep(LOOK_EVERY)
        except RpcError as error:
            self._fail_all(error)
        finally:
            self._sender = None

    def _publish_all(self, session: Session) -> None:
        """Publish what waits, as far as the connection takes it."""
        for number, call in enumerate(list(self.calls.values()), 1):
            del self.calls[call.call_id]
            self._publish(call)
            if not number % _FLUSH_EVERY:
                session.connection.flush()
            if session.connection.held or session.lost.done():
                break

    def _give_up_impatient(self, absence: str, since: float) -> None:
        moment = now()
        for call in list(self.calls.values()):
            # For a call that was sent before there was a server: what took it away may pass, and it comes back.
            patience = max(self.patience, RECOVERY) if call.sent else self.patience
            if moment - max(since, call.started) >= patience:
                self._end(call.call_id, NoServer(self._options.queue, absence))

    def _fail_all(self, error: RpcError) -> None:
        for call_id, call in list(self.calls.items()):
            told = ConnectionLost(f"the connection was lost, and not to be had again: {error}") if call.sent else error
            self._end(call_id, copy.copy(told))

    def __repr__(self) -> str:
        return f"<Unsent: {len(self.calls)} calls{', sending' if self.is_sending else ''}>"
