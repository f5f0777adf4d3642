"""The replies that the broker may refuse: on a channel of their own, and confirmed before their deliveries are acked.

    reply --> larger than may be sent? --> the error that says so
                |
                confirmed by the broker --> ack of the delivery, on the channel that it came through
                |
                refused (406) --> the error that says so, and a lower limit

Rules: whatever the broker refuses ends one call, which is computed once. Each refusal makes the reply smaller (the
result, an error for each call of its request, one error, nothing), so none is tried for ever. A reply whose connection
goes before it is confirmed is not sent; the engine keeps it for when its delivery comes again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from ..amqp import Connection, Expendable
from ..errors import AccessRefused, InternalError, MessageRefused, MessageTooLarge, RemoteError, RpcError
from ..wire import jsonrpc
from ..wire.sizes import BodyLimit
from ..workers.inside.dispatch import too_large
from .message import Message

log = logging.getLogger(__name__)

_MOST_TRIES = 2
"""How often a reply is published when its channel ends for a reason that says nothing about it."""


@dataclass(slots=True, eq=False)
class LargeReply:
    """A reply on its way.

    Attributes:
        reply_to: the callback queue.
        correlation_id: as the request had it.
        response: the body; None once even an error is too large.
        name: tells what was called, in words for the log.
        failure: makes the response that carries an error instead.
        may_run_again: whether the calls of an `rpc.map` may be made again one by one.
        done: called once, when the delivery can be acked.
        message: whose reply it is; None for a call that came in a message with others, which is answered too.
        is_given_up: whether nobody waits for it any more.
    """

    reply_to: str
    correlation_id: str | None
    response: bytes | None
    name: Callable[[], str]
    failure: Callable[[RemoteError], bytes | None]
    may_run_again: Callable[[], bool] = lambda: True
    done: Callable[[], None] = lambda: None
    message: Message | None = None
    is_given_up: bool = False
    _smaller: Iterator[bytes | None] | None = None

    def shrink(self, most: int) -> None:
        """Replace what is larger than `most` bytes by the error that says so, or by less."""
        while self.response is not None and len(self.response) > most:
            if self._smaller is None:
                data = {} if self.may_run_again() else {"may_run_again": False}
                error = too_large(len(self.response), most, data)
                log.warning("%s failed: %s", self.name(), error)
                self._smaller = iter((self.failure(error), jsonrpc.encode_error(None, error)))
            self.response = next(self._smaller, None)


@dataclass(slots=True, eq=False)
class LargeReplies:
    """The large replies of one session.

    Attributes:
        expendable: how they go out; tells which replies are large.

    Args:
        connection: the session's.
        results: the largest body in bytes that is sent.
        publish: publishes a small reply on the channel of the consumers.
        ended: called if the broker forbids to answer at all.
    """

    connection: Connection
    results: BodyLimit
    publish: Callable[[str, bytes, str | None], None]
    ended: Callable[[RpcError], None]
    expendable: Expendable = field(init=False)
    _sending: dict[LargeReply, asyncio.Task[None]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.expendable = Expendable(self.connection, self.results)

    def send(self, reply: LargeReply) -> None:
        """Publish a reply, and have its delivery acked then."""
        self._sending[reply] = asyncio.ensure_future(self._send(reply))

    def withdraw(self, message: Message) -> None:
        """Do not send the reply to a message: nobody waits for it. What was published already is a late reply."""
        for reply in self._sending:
            if reply.message is message:
                reply.is_given_up = True

    def stop(self) -> None:
        """Send no more: the session was lost."""
        for task in self._sending.values():
            task.cancel()
        self._sending.clear()

    async def _send(self, reply: LargeReply) -> None:
        try:
            await self._publish(reply)
        except AccessRefused as error:
            self.ended(error)
            return
        except RpcError:
            return  # the connection went, and `stop` is about to be called
        if self._sending.pop(reply, None) is not None:
            reply.done()

    async def _publish(self, reply: LargeReply) -> None:
        """Have a reply confirmed, or find out that it cannot be; each refusal makes it smaller.

        Raises:
            AccessRefused: the broker forbids to answer.
            RpcError: the connection went.
        """
        tries_left = _MOST_TRIES
        while True:
            reply.shrink(self.results.most)
            try:
                await self._publish_once(reply)
                return
            except MessageTooLarge as refused:
                log.warning("the reply to %s was refused: %s", reply.name(), refused)
            except RpcError as error:
                if isinstance(error, AccessRefused) or self.connection.lost.done():
                    raise
                log.warning("the reply to %s could not be sent: %s", reply.name(), error)
                tries_left -= 1
                if not tries_left or isinstance(error, MessageRefused):
                    self._say_so(reply, error)
                    return

    async def _publish_once(self, reply: LargeReply) -> None:
        async with self.expendable.turn() as channel:
            if reply.is_given_up:
                return
            if reply.response is None:
                most = self.results.most
                log.error("the reply to %s was dropped: %d bytes are too few for an error", reply.name(), most)
                return
            await channel.publish_confirmed(reply.reply_to, reply.response, correlation_id=reply.correlation_id)
            self.expendable.proved(len(reply.response))

    def _say_so(self, reply: LargeReply, error: RpcError) -> None:
        told = reply.failure(InternalError(f"the result could not be sent: {error}"))
        if told is not None and len(told) <= self.expendable.surely:
            self.publish(reply.reply_to, told, reply.correlation_id)

    def __len__(self) -> int:
        return len(self._sending)

    def __repr__(self) -> str:
        return f"<LargeReplies: {len(self)} are not acked, {self.expendable!r}>"
