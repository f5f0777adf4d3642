"""Publishing the calls of one client: most at once, those that the broker may refuse in turn and confirmed.

call --> surely taken? --yes--> the channel with the callback queue
           |
           larger than may be sent --> RequestTooLarge
           |
           the expendable channel --> confirmed: it waits for its reply like any other
                                      refused (406): RequestTooLarge, and a lower limit; no other call notices
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from ..deadline import expiration_ms
from ..errors import ConnectionLost, MessageTooLarge, RequestTooLarge, RpcError
from ..wire import jsonrpc
from ..wire.names import SENT_AGAIN
from ..wire.sizes import BodyLimit
from .calls import PendingCall, now
from .opening import Connector
from .reserve import Reserve
from .session import Session

Sent = TypeVar("Sent")

_MOST_TRIES = 2
"""How often a request is published on one connection when its channel ends for a reason that says nothing about it."""


class CallPublisher:
    """Publishes the calls of one client.

    Attributes:
        reserve: what is known of the methods that are called.

    Args:
        connector: the client's connections.
        queue: where the servers listen.
        limit: how large a request may be.
        awaits: whether a call still waits for its outcome.
        again: has a call sent once more, as soon as that can be.
        end: ends a call with an error.
    """

    def __init__(
        self,
        connector: Connector,
        queue: str,
        limit: BodyLimit,
        *,
        awaits: Callable[[PendingCall], bool],
        again: Callable[[PendingCall], None],
        end: Callable[[str, RpcError], None],
    ) -> None:
        self._connector = connector
        self._queue = queue
        self._limit = limit
        self._awaits = awaits
        self._again = again
        self._end = end
        self._in_turn: set[asyncio.Task[None]] = set()
        self.reserve = Reserve()

    def publish(self, call: PendingCall) -> None:
        """Publish a call, now or in its turn; without a connection, or after its deadline, nothing happens."""
        remaining = call.deadline - now()
        session = self._connector.current
        if remaining <= 0 or session is None:
            return  # the timer, or the loss of the connection, is about to end it
        try:
            body = call.body or jsonrpc.encode_request(call.call_id, call.method, call.params)
            if len(body) > session.expendable.surely:
                self._publish_in_turn(call, body, session)
                return
            self._publish_on(session.channel.publish, call, body, session, remaining)
        except ConnectionLost:
            call.sent -= 1
            self._again(call)  # the link is about to hear of it
        except RpcError as error:
            self._end(call.call_id, error)

    def _publish_on(
        self, publish: Callable[..., Sent], call: PendingCall, body: bytes, session: Session, remaining: float
    ) -> Sent:
        again = SENT_AGAIN if call.sent else None
        call.sent += 1
        call.pack = None
        call.reply_to = session.callback_queue
        return publish(
            self._queue,
            body,
            mandatory=True,
            correlation_id=call.call_id,
            reply_to=session.callback_queue,
            expiration=expiration_ms(self.reserve.in_queue(call.method, remaining)),
            message_id=again,
            type=call.method,
        )

    # ---- those that the broker may refuse

    def _publish_in_turn(self, call: PendingCall, body: bytes, session: Session) -> None:
        if len(body) > self._limit.most:
            self._end(call.call_id, RequestTooLarge(len(body), self._limit.most))
            return
        call.body, call.params = body, b""
        task = asyncio.get_running_loop().create_task(self._have_confirmed(call, body, session))
        self._in_turn.add(task)
        task.add_done_callback(self._in_turn.discard)

    async def _have_confirmed(self, call: PendingCall, body: bytes, session: Session) -> None:
        for _ in range(_MOST_TRIES):
            try:
                await self._publish_alone(call, body, session)
                return
            except MessageTooLarge as refused:
                error: RpcError = RequestTooLarge(refused.size, refused.limit)
                break
            except RpcError as lost:
                if session.connection.lost.done():
                    return  # what waits is sent again on the next one
                error = lost
                if not isinstance(lost, ConnectionLost):
                    break
        self._end(call.call_id, error)

    async def _publish_alone(self, call: PendingCall, body: bytes, session: Session) -> None:
        async with session.expendable.turn() as channel:
            remaining = call.deadline - now()
            if remaining > 0 and self._awaits(call) and session is self._connector.current:
                await self._publish_on(channel.publish_confirmed, call, body, session, remaining)
                session.expendable.proved(len(body))

    async def close(self) -> None:
        """Publish no more of those that wait for their turn."""
        for task in self._in_turn:
            task.cancel()
        await asyncio.gather(*self._in_turn, return_exceptions=True)

    def __repr__(self) -> str:
        return f"<CallPublisher to {self._queue!r}: {len(self._in_turn)} in turn, {self._limit!r}>"
