"""What drives the engine on an event loop: it writes, asks, keeps the time, and gives outcomes to those who wait.

    call -> engine -> publish to the queue ............. a server computes .............
                                                                                       |
    result <- future <- engine, by correlation_id <- the connection's own callback queue <- reply

Rules: everything here happens on one event loop, and what is decided is decided by the engine.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import logging
from collections import deque
from collections.abc import Coroutine, Mapping
from functools import partial
from typing import Any

from ..amqp import Delivery, Returned
from ..amqp.reconnect import Reconnection
from ..errors import AccessRefused, QueueMismatch, QueueNotFound, RpcError
from ..settings import BrokerUrls
from ..settings.client import ClientOptions
from ..wire.control import cancels
from ..wire.many.answer import Understanding
from ..wire.names import QUEUE_DELETED
from .calls import CallFactory, now
from .engine import Engine
from .letter_box import LetterBox
from .messages import Call, Message
from .opening import Connector
from .outgoing import Outgoing
from .pending import ReplyCounts
from .posting import Posting
from .publishing import publish_in_turn, publish_on
from .session import Session
from .subscribing import Subscriptions

log = logging.getLogger(__name__)

_TICK = 0.001
"""Seconds that a timer is set late, so that it never comes before what it is for."""
_FLUSH_EVERY = 100
"""Messages after which they are handed to the network, to see whether it takes more."""
_ASK_AGAIN = 0.05
"""Seconds before the broker is asked again, if the channel of the question was lost and the connection was not."""
_LAST_WORDS = 0.25
"""Seconds that a client that is closed takes to tell the servers of its calls."""


class CallLink:
    """The connection of one client, and the calls that wait on it. Lives on one event loop.

    Attributes:
        engine: what decides.
        posting: what is done when the broker has confirmed it: casts and events.
        subscriptions: to events.
    """

    def __init__(self, url: BrokerUrls, options: ClientOptions, calls: CallFactory) -> None:
        self._url = url
        self._options = options
        self.engine = Engine(self, now, limit=calls.limit, number=calls.number, routes=[options])
        self._route = self.engine.route(options.queue)
        self.posting = Posting(self.engine.want_connection, self._hold)
        self._connector = Connector(
            url,
            options,
            calls.limit,
            opened=self._opened,
            delivered=self._delivered,
            returned=self._returned,
            lost=self._lost,
        )
        self.subscriptions = Subscriptions(self._connector)
        self._tasks: set[asyncio.Task[None]] = set()
        self._telling: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._search: Reconnection | None = None  # until something was heard on the connection that it found
        self._lost_by: RpcError | None = None
        self._written = 0

    # ---- what the clients use

    @property
    def dropped_replies(self) -> ReplyCounts:
        """Replies that found no call waiting."""
        return self.engine.dropped

    @property
    def queue(self) -> str:
        """The queue that it is for."""
        return self._options.queue

    @property
    def pending(self) -> int:
        """How many calls wait for their outcome."""
        return self.engine.pending

    @property
    def callback_queue(self) -> str | None:
        """The name of the callback queue, or None while there is no connection."""
        return self.engine.line.callback_queue

    @property
    def understanding(self) -> Understanding:
        """Whether the servers of its queue know `rpc.map`."""
        return self._route.understanding

    async def connect(self) -> None:
        """Open the connection, if it is not open; a broker that is not up yet is waited for."""
        await self._connector.connect()

    def send(self, call: Call) -> None:
        """Begin a call; its outcome comes to `call.outcome`."""
        session = self._connector.current
        if session is not None and session.connection.held:
            self._hold(session)
        self.engine.submitted(call)

    def send_all(self, calls: deque[Call]) -> None:
        """Begin all the calls of a queue that others may put more into meanwhile, and let them go out now."""
        while calls:
            self.send(calls.popleft())
        session = self._connector.current
        if session is not None:
            session.connection.flush()

    def post_all(self, messages: deque[Outgoing]) -> None:
        """Begin to send all the messages of such a queue that are done when they are confirmed."""
        self.posting.post_all(messages)

    def letter_box(self, queue: str) -> LetterBox:
        """The dead letters of a served queue."""
        return LetterBox(self._connector, self.posting, queue, self._options.timeout)

    def forget(self, call_id: str) -> None:
        """Somebody gave the call up: its reply, if one comes, is late, and the servers are told."""
        self.engine.given_up(call_id)

    async def close(self) -> None:
        """End the connection, and every call that waits."""
        self.engine.close()
        await self.posting.close()
        self.subscriptions.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._timer is not None:
            self._timer.cancel()
        if self._telling is not None:
            await asyncio.wait([self._telling], timeout=_LAST_WORDS)
            self._telling.cancel()
        await self._connector.close()

    # ---- how many workers there are

    async def see_workers(self, timeout: float) -> None:
        """See how many there are, unless that was seen on this connection; what goes wrong is left to the calls."""
        with contextlib.suppress(RpcError, TimeoutError):
            async with asyncio.timeout(timeout):
                session = await self._connector.open()
                if not self._route.evidence.has_counted:
                    await self._observe(session, self._options.queue)

    @property
    def has_seen_workers(self) -> bool:
        """Whether `workers` is what was seen, and no assumption."""
        return self._connector.current is not None and self._route.evidence.has_counted

    def workers(self) -> int:
        """How many consumers the queue had when some were seen last; an assumption where nobody may see them."""
        return self._route.evidence.consumers

    # ---- what the engine wants: see `Port`

    def publish(self, message: Message, body: bytes, seconds: float) -> bool:
        session = self._connector.current
        assert session is not None, "the engine has heard of no loss"
        if len(body) > session.expendable.surely:
            self._begin(publish_in_turn(self.engine, session, message))
            return False
        publish_on(session.channel.publish, session, message, body, seconds)
        self._written += 1
        if not self._written % _FLUSH_EVERY:
            session.connection.flush()
            if session.connection.held:
                self._hold(session)
        return True

    def resolve(self, call: Call, result: Any) -> None:
        outcome = call.outcome
        if not outcome.done():
            try:  # noqa: SIM105 a context manager costs more than the rest, and each result comes through here
                outcome.set_result(result)
            except concurrent.futures.InvalidStateError:  # another thread cancelled it just now
                pass

    def fail(self, call: Call, error: BaseException) -> None:
        if not call.outcome.done():
            with contextlib.suppress(concurrent.futures.InvalidStateError):
                call.outcome.set_exception(error)

    def open(self) -> None:
        self._begin(self._open())

    def observe(self, queue: str) -> None:
        session = self._connector.current
        assert session is not None, "the engine has heard of no loss"
        self._begin(self._observe(session, queue))

    def settle(self, queue: str) -> None:
        session = self._connector.current
        assert session is not None, "the engine has heard of no loss"
        self._begin(self._settle(session, queue))

    def tell(self, given_up: Mapping[str, Mapping[str, float]]) -> None:
        messages = [message for reply_to, left in given_up.items() for message in cancels(reply_to, left)]
        self._telling = asyncio.get_running_loop().create_task(self._tell(self._telling, messages))

    def gather(self) -> None:
        asyncio.get_running_loop().call_soon(self.engine.flush)

    def wake_at(self, moment: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(max(0.0, moment - now()) + _TICK, self._on_timer)

    # ---- what becomes of that

    def _begin(self, errand: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(errand)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _open(self) -> None:
        error = self._lost_by
        if self._search is None:
            self._search = Reconnection(now(), within=self._options.connect_timeout, was_open=True)
            error = None
        while True:
            if error is not None:
                pause = self._search.next_pause(error, now())
                if pause is None:
                    self._search = None
                    self.engine.unreachable(error)
                    self.posting.unreachable(error)
                    return
                await asyncio.sleep(pause)
            try:
                await self._connector.open()
                return
            except RpcError as failed:
                error = failed

    async def _observe(self, session: Session, queue: str) -> None:
        while True:
            try:
                state = await session.observe(queue)
                tell = partial(self.engine.observed, queue, state.messages, state.consumers)
            except QueueNotFound:
                tell = partial(self.engine.queue_missing, queue)
            except (AccessRefused, QueueMismatch) as error:
                # RESOURCE_LOCKED (405): the queue is another connection's alone, which takes calls there.
                tell = partial(self.engine.not_shown, queue, str(error) if isinstance(error, AccessRefused) else None)
            except RpcError:
                await asyncio.sleep(_ASK_AGAIN)
                tell = None
            if session is not self._connector.current:
                return  # the engine has heard of that, or is about to
            if tell is not None:
                break
        self._search = None
        tell()
        if self._route.evidence.absence is None:
            session.listen(queue)

    async def _settle(self, session: Session, queue: str) -> None:
        with contextlib.suppress(RpcError):
            await session.settle()
            if session is self._connector.current:
                self.engine.settled(queue)

    async def _tell(self, before: asyncio.Task[None] | None, messages: list[bytes]) -> None:
        if before is not None:
            await asyncio.wait([before])
        session = self._connector.current
        if session is not None:
            with contextlib.suppress(RpcError):
                await session.tell(messages, self._tell_refused)

    def _tell_refused(self, reason: str) -> None:
        log.debug("servers cannot be told of calls given up: %s", reason)
        self.engine.tell_refused()

    def _on_timer(self) -> None:
        self._timer = None
        self.engine.tick()

    # ---- what happens

    def _opened(self, session: Session) -> None:
        self.engine.opened(session.callback_queue)
        self.posting.connected(session)
        if not self._route.is_asked:
            self._search = None

    def _delivered(self, delivery: Delivery) -> None:
        if delivery.correlation_id is None and delivery.type == QUEUE_DELETED:
            if delivery.message_id is None:  # else it is told in the form of before, and in that of today too
                self.engine.queue_deleted(self._options.queue)
        else:
            self.engine.delivered(delivery.correlation_id, delivery.body)

    def _returned(self, returned: Returned) -> None:
        if returned.correlation_id is not None:  # else it is no call
            self.engine.returned(returned.correlation_id, self._options.queue)

    def _lost(self, reason: RpcError) -> None:
        self._lost_by = reason
        self.engine.lost(reason)
        self.posting.disconnected()

    def _hold(self, session: Session) -> None:
        """Messages had better wait in the client, as long as the connection takes none."""
        if not self.engine.line.is_blocked:
            self.engine.blocked()
            self.posting.outbox.blocked()
            self._begin(self._until_free(session))

    async def _until_free(self, session: Session) -> None:
        while session.connection.held and not session.lost.done():
            await session.connection.until_free()
        if session is self._connector.current:
            self.engine.free()
            self.posting.outbox.free()

    def __repr__(self) -> str:
        return f"{self.engine!r}, to {self._options.queue!r} at {self._url}"
