"""The client on an asyncio event loop. `RpcClient` is this one on a loop in a thread of its own.

    call -> pending[correlation_id] -> publish to the queue ......... a server computes .........
                 |                                                                              |
    result <- future <- matched by correlation_id <- the connection's own callback queue <- reply

Rules: everything but the construction of a `PendingCall` happens on the loop. A call ends by being taken out of
`PendingCalls`, exactly once: its reply, its deadline, or the end of what could answer it.

A call is published only while there is evidence of a server: a reply, or a look at the queue's consumers, in the last
second. So a call to nobody leaves nothing behind in the queue. While calls wait, the evidence is renewed, and when it
fails they end with `NoServer`.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import itertools
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self

from . import jsonrpc
from .amqp import Channel, Connection, Delivery, Returned
from .deadline import check_timeout, expiration_ms
from .errors import (
    ClientClosed,
    ConfigurationError,
    ConnectionLost,
    EncodingError,
    NoServer,
    QueueNotFound,
    RpcError,
    RpcTimeout,
)
from .pending import PendingCalls, ReplyCounts
from .settings import DEFAULT_CONNECT_TIMEOUT, DEFAULT_QUEUE, DEFAULT_TIMEOUT, MAX_BODY, BrokerUrl, find_url

log = logging.getLogger(__name__)

_now = time.monotonic
"""The clock of calls. Not the loop's own: uvloop's stands still within an iteration and counts whole milliseconds."""

_TICK = 0.001
"""Seconds that a timer is set late, so that it never comes before what it is for."""
EVIDENCE_LASTS = 1.0
"""Seconds for which a reply, or a look at the queue, is evidence of a server."""
LOOK_EVERY = 0.05
"""Seconds between looks at a queue that has no server."""
WATCH_FROM, WATCH_UP_TO = 0.15, 0.5
"""Seconds between looks at the queue while calls wait and nothing comes; they grow while all is well."""
MIN_PATIENCE = 0.15
"""Seconds a queue may be without a consumer before that means anything: a server may be reconnecting."""


class Outcome(Protocol):
    """Where the outcome of a call goes: an asyncio or a concurrent.futures Future."""

    def set_result(self, result: Any, /) -> None: ...
    def set_exception(self, exception: BaseException, /) -> None: ...
    def done(self) -> bool: ...


@dataclass(slots=True)
class PendingCall:
    """A call on its way.

    Attributes:
        call_id: its JSON-RPC id and correlation_id.
        method: the method's name.
        body: the request.
        timeout: seconds.
        started: when it was made, in seconds on the monotonic clock.
        outcome: where its result or error goes.
    """

    call_id: str
    method: str
    body: bytes
    timeout: float
    started: float
    outcome: Outcome

    @property
    def deadline(self) -> float:
        """When it times out, in seconds on the monotonic clock."""
        return self.started + self.timeout


@dataclass(frozen=True, slots=True)
class ClientOptions:
    """What the two clients have in common; see RpcClient for what each option means."""

    queue: str = DEFAULT_QUEUE
    timeout: float = DEFAULT_TIMEOUT
    connect_timeout: float = DEFAULT_CONNECT_TIMEOUT
    wait_for_server: float = 0.0

    def __post_init__(self) -> None:
        check_timeout(self.timeout)
        check_timeout(self.connect_timeout)
        if self.wait_for_server:
            check_timeout(self.wait_for_server)
        if not self.queue or len(self.queue.encode()) > 255:
            raise ConfigurationError("queue must be a name of 1 to 255 bytes")


class CallFactory:
    """Makes calls ready to send: numbered, checked and encoded. Any thread may use it."""

    def __init__(self, options: ClientOptions) -> None:
        self._options = options
        self._numbers = itertools.count(1)

    def make(
        self,
        method: str,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        timeout: float | None,
        outcome: Callable[[str], Outcome],
    ) -> PendingCall:
        """One call.

        Raises:
            ConfigurationError: the time-out is no time-out.
            EncodingError: the method's name or an argument cannot be carried, or the request is too large.
        """
        seconds = self._options.timeout if timeout is None else check_timeout(timeout)
        if not isinstance(method, str) or not 0 < len(method.encode("utf-8", "replace")) <= 255:
            raise EncodingError("a method's name is text of 1 to 255 bytes")
        call_id = str(next(self._numbers))
        body = jsonrpc.encode_request(call_id, method, args, kwargs)
        if len(body) > MAX_BODY:
            raise EncodingError(f"the request takes {len(body)} bytes; at most {MAX_BODY} are sent")
        return PendingCall(call_id, method, body, seconds, _now(), outcome(call_id))


class AsyncRpcClient:
    """Calls functions on the servers of one queue, from an asyncio program.

        async with AsyncRpcClient() as client:
            await client.call("fib", 30)

    Arguments, behaviour and errors are those of `RpcClient`; use it on one event loop only.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        queue: str = DEFAULT_QUEUE,
        timeout: float = DEFAULT_TIMEOUT,
        connect_timeout: float = DEFAULT_CONNECT_TIMEOUT,
        wait_for_server: float = 0.0,
    ) -> None:
        self._options = ClientOptions(queue, timeout, connect_timeout, wait_for_server)
        self._link = CallLink(find_url(url), self._options)
        self._calls = CallFactory(self._options)

    async def __aenter__(self) -> Self:
        await self.connect()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def connect(self) -> None:
        """Connect now rather than at the first call.

        Raises:
            ConnectionFailed, AuthenticationFailed, AccessRefused
        """
        await self._link.connect()

    async def close(self) -> None:
        """Close the connection; calls that still wait end with ClientClosed."""
        await self._link.close()

    async def call(self, method: str, /, *args: Any, timeout: float | None = None, **kwargs: Any) -> Any:
        """Call a function and wait for its result; see `RpcClient.call`."""
        return await self.submit(method, *args, timeout=timeout, **kwargs)

    def submit(self, method: str, /, *args: Any, timeout: float | None = None, **kwargs: Any) -> asyncio.Future[Any]:
        """Call a function and return a future of its result."""
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        call = self._calls.make(method, args, kwargs, timeout, lambda _: future)
        future.add_done_callback(lambda done: self._link.forget(call.call_id) if done.cancelled() else None)
        self._link.send(call)
        return future

    def __repr__(self) -> str:
        return f"<AsyncRpcClient {self._link!r}>"


class CallLink:
    """The connection of one client, and the calls that wait on it. Lives on one event loop."""

    def __init__(self, url: BrokerUrl, options: ClientOptions) -> None:
        self._url = url
        self._options = options
        self._patience = max(MIN_PATIENCE, options.wait_for_server)
        self._pending: PendingCalls[PendingCall] = PendingCalls()
        self._unsent: dict[str, PendingCall] = {}
        self._session: _Session | None = None
        self._opening: asyncio.Task[_Session] | None = None
        self._sender: asyncio.Task[None] | None = None
        self._watcher: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._closed = False

    # ---- what the clients use

    @property
    def dropped_replies(self) -> ReplyCounts:
        """Replies that found no call waiting."""
        return self._pending.dropped

    @property
    def pending(self) -> int:
        """How many calls wait for their outcome."""
        return len(self._pending)

    @property
    def callback_queue(self) -> str | None:
        """The name of the callback queue, or None while there is no connection."""
        return self._session.callback_queue if self._session is not None else None

    async def connect(self) -> None:
        """Open the connection, if it is not open."""
        await self._open_session()

    def send(self, call: PendingCall) -> None:
        """Begin a call; its outcome comes to `call.outcome`."""
        if self._closed:
            _fail(call, ClientClosed("the client is closed"))
            return
        self._pending.add(call.call_id, call)
        self._set_timer(call.deadline)
        session = self._session
        if session is not None and session.has_evidence() and not self._unsent:
            self._publish(session, call)
        else:
            self._send_later(call)
        if self._watcher is None:
            self._watcher = asyncio.get_running_loop().create_task(self._watch())

    def forget(self, call_id: str) -> None:
        """Somebody gave the call up: its reply, if one comes, is late."""
        self._pending.pop(call_id, answered=False)
        self._unsent.pop(call_id, None)

    async def close(self) -> None:
        """End the connection, and every call that waits."""
        self._closed = True
        self._fail_all(ClientClosed("the client was closed while the call waited for its reply"))
        tasks = [task for task in (self._sender, self._watcher, self._opening) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._timer is not None:
            self._timer.cancel()
        session, self._session = self._session, None
        if session is not None:
            await session.connection.close()

    # ---- sending

    def _publish(self, session: _Session, call: PendingCall) -> None:
        remaining = call.deadline - _now()
        if remaining <= 0:
            return  # the timer is about to end it
        try:
            session.channel.publish(
                self._options.queue,
                call.body,
                mandatory=True,
                correlation_id=call.call_id,
                reply_to=session.callback_queue,
                expiration=expiration_ms(remaining),
                type=call.method,
            )
        except RpcError as error:
            self._end(call.call_id, error)

    def _send_later(self, call: PendingCall) -> None:
        self._unsent[call.call_id] = call
        if self._sender is None:
            self._sender = asyncio.get_running_loop().create_task(self._send_unsent())

    async def _send_unsent(self) -> None:
        """Connect if need be, see that a server is there, and send what waits for that."""
        try:
            while self._unsent:
                try:
                    session = await self._open_session()
                    absence = await session.look_for_server()
                except ConnectionLost:
                    await asyncio.sleep(LOOK_EVERY)  # none of these calls went out: they need not end with it
                    continue
                if absence is None:
                    unsent, self._unsent = self._unsent, {}
                    for call in unsent.values():
                        self._publish(session, call)
                    return
                self._give_up_impatient(absence)
                await asyncio.sleep(LOOK_EVERY)
        except RpcError as error:
            self._fail_unsent(error)
        finally:
            self._sender = None

    def _give_up_impatient(self, absence: str) -> None:
        now = _now()
        for call in list(self._unsent.values()):
            if now - call.started >= self._patience:
                self._end(call.call_id, NoServer(self._options.queue, absence))

    # ---- what comes back

    def _delivered(self, delivery: Delivery) -> None:
        session = self._session
        if session is not None:
            session.saw_server()
        call_id = delivery.correlation_id
        call = None if call_id is None else self._pending.pop(call_id, answered=True)
        if call is None:
            self._pending.count_dropped(call_id)
            return
        try:
            result = jsonrpc.decode_response(delivery.body)
        except RpcError as error:
            _fail(call, error)
        else:
            _resolve(call, result)

    def _returned(self, returned: Returned) -> None:
        """No queue took a call: it may be sent again, when there is a queue, as far as its patience goes."""
        if self._session is not None:
            self._session.lost_evidence()
        call = self._pending.get(returned.correlation_id)
        if call is not None:
            self._send_later(call)

    # ---- time

    def _set_timer(self, deadline: float) -> None:
        if self._timer is not None:
            if self._timer_at <= deadline:
                return
            self._timer.cancel()
        self._timer_at = deadline
        self._timer = asyncio.get_running_loop().call_later(max(0.0, deadline - _now()) + _TICK, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        for call_id, call in self._pending.expire(_now()):
            self._unsent.pop(call_id, None)
            _fail(call, RpcTimeout(call.method, call.timeout, call_id))
        upcoming = self._pending.next_deadline()
        if upcoming is not None:
            self._set_timer(upcoming)

    async def _watch(self) -> None:
        """While calls wait and nothing comes, look whether somebody is there to answer them."""
        absent_since: float | None = None
        interval = WATCH_FROM
        try:
            while self._pending:
                await asyncio.sleep(interval)
                session = self._session
                if session is None or self._sender is not None or session.has_evidence(interval):
                    absent_since, interval = None, WATCH_FROM
                    continue
                absence = await session.look_for_server(has_calls=True)
                if absence is None:
                    absent_since, interval = None, min(2 * interval, WATCH_UP_TO)
                    continue
                interval = WATCH_FROM
                absent_since = _now() if absent_since is None else absent_since
                if _now() - absent_since >= self._patience:
                    self._fail_all(NoServer(self._options.queue, absence))
        except RpcError:
            pass  # the connection went, and took the calls with it
        finally:
            self._watcher = None

    # ---- the session

    async def _open_session(self) -> _Session:
        if self._closed:
            raise ClientClosed("the client is closed")
        if self._session is not None:
            return self._session
        if self._opening is None:
            self._opening = asyncio.get_running_loop().create_task(self._new_session())
            self._opening.add_done_callback(self._opened)
        return await asyncio.shield(self._opening)

    async def _new_session(self) -> _Session:
        connection = await Connection.open(self._url, role="rpcsvc client", timeout=self._options.connect_timeout)
        try:
            channel = await connection.channel()
            queue = await channel.declare_queue(exclusive=True, auto_delete=True)
            channel.on_return(self._returned)
            await channel.consume(queue.name, self._delivered, no_ack=True)
        except BaseException:
            connection.abort()
            raise
        session = _Session(connection, channel, queue.name, self._options.queue)
        self._session = session
        channel.lost.add_done_callback(lambda lost: self._lost(session, lost.result()))
        return session

    def _opened(self, task: asyncio.Task[_Session]) -> None:
        self._opening = None
        if not task.cancelled():
            task.exception()  # whoever waited has seen it

    def _lost(self, session: _Session, reason: RpcError) -> None:
        if self._session is not session:
            return
        self._session = None
        session.connection.abort()
        error = reason if isinstance(reason, ConnectionLost) else ConnectionLost(str(reason))
        for call_id in self._pending.ids() - self._unsent.keys():
            self._end(call_id, error)

    # ---- ends

    def _end(self, call_id: str, error: RpcError) -> None:
        self._unsent.pop(call_id, None)
        call = self._pending.pop(call_id, answered=False)
        if call is not None:
            _fail(call, error)

    def _fail_unsent(self, error: RpcError) -> None:
        for call_id in list(self._unsent):
            self._end(call_id, error)

    def _fail_all(self, error: RpcError) -> None:
        self._unsent.clear()
        for _, call in self._pending.drain():
            _fail(call, error)

    def __repr__(self) -> str:
        state = "closed" if self._closed else "connected" if self._session is not None else "not connected"
        return f"{state}, {self.pending} pending, to {self._options.queue!r} at {self._url}"


class _Session:
    """One connection with its callback queue, and what is known of the servers through it."""

    def __init__(self, connection: Connection, channel: Channel, callback_queue: str, queue: str) -> None:
        self.connection = connection
        self.channel = channel
        self.callback_queue = callback_queue
        self._queue = queue
        self._seen = float("-inf")
        # A look at a queue that does not exist costs its channel, so looks have a channel of their own.
        self._looking: Channel | None = None

    def saw_server(self) -> None:
        """Something came from a server just now."""
        self._seen = _now()

    def lost_evidence(self) -> None:
        """What was known of a server holds no longer."""
        self._seen = float("-inf")

    def has_evidence(self, within: float = EVIDENCE_LASTS) -> bool:
        """Whether a server was there in the last `within` seconds."""
        return _now() - self._seen < within

    async def look_for_server(self, *, has_calls: bool = False) -> str | None:
        """None if somebody consumes the queue; else what is missing.

        Args:
            has_calls: calls of ours went to the queue. If it is empty, somebody took them, and may be a server that
                finishes them before it stops; the broker puts back what a dead one held.
        """
        try:
            if self._looking is None or self._looking.lost.done():
                self._looking = await self.connection.channel()
            state = await self._looking.declare_queue(self._queue, passive=True)
        except QueueNotFound:
            return "the queue does not exist"
        if state.consumers > 0:
            self.saw_server()
            return None
        return None if has_calls and state.messages == 0 else "nobody consumes the queue"


def _resolve(call: PendingCall, result: Any) -> None:
    if not call.outcome.done():
        with contextlib.suppress(concurrent.futures.InvalidStateError):  # another thread cancelled it just now
            call.outcome.set_result(result)


def _fail(call: PendingCall, error: RpcError) -> None:
    if not call.outcome.done():
        with contextlib.suppress(concurrent.futures.InvalidStateError):
            call.outcome.set_exception(error)
