"""One client's connection, and the calls that wait on it.

    call -> pending[correlation_id] -> publish to the queue ......... a server computes .........
                 |                                                                              |
    result <- future <- matched by correlation_id <- the connection's own callback queue <- reply

Rules: everything here happens on one event loop. A call ends by being taken out of `PendingCalls`, exactly once: by its
reply, by its deadline, or by the end of what could answer it.

A call is published only while there is evidence of a server: a reply, or a look at the queue's consumers, in the last
second. So a call to nobody leaves nothing behind in the queue. While calls wait, the evidence is renewed, and when it
fails they end with `NoServer`.
"""

from __future__ import annotations

import asyncio
import copy
from typing import Any, cast

from .. import jsonrpc
from ..amqp import Delivery, Returned
from ..bulk.request import METHOD
from ..deadline import expiration_ms
from ..errors import (
    AccessRefused,
    AuthenticationFailed,
    ClientClosed,
    ConnectionFailed,
    ConnectionLost,
    NoServer,
    RpcError,
    RpcTimeout,
)
from ..pending import PendingCalls, ReplyCounts
from ..settings import BrokerUrl
from .back_off import BackOff
from .calls import CallFactory, ClientOptions, PendingCall, now
from .opening import Connector
from .packing import Pack, Packer
from .reserve import Reserve
from .session import SENT_AGAIN

_TICK = 0.001
"""Seconds that a timer is set late, so that it never comes before what it is for."""
LOOK_EVERY = 0.05
"""Seconds between looks at a queue that has no server."""
WATCH_FROM, WATCH_UP_TO = 0.15, 0.5
"""Seconds between looks at the queue while calls wait and nothing comes; they grow while all is well."""
MOST_SENT = 3
"""How often a call is sent, the first time included, when connections are lost while it waits."""
MIN_PATIENCE = 0.15
"""Seconds a queue may be without a consumer before that means anything: a server may be reconnecting."""


class CallLink:
    """The connection of one client, and the calls that wait on it. Lives on one event loop."""

    def __init__(self, url: BrokerUrl, options: ClientOptions, calls: CallFactory) -> None:
        self._url = url
        self._options = options
        self._calls = calls
        self._packer = Packer(self) if options.pack else None
        self._reserve = Reserve()
        self._patience = max(MIN_PATIENCE, options.wait_for_server)
        self._pending: PendingCalls[PendingCall] = PendingCalls()
        self._packs = 0  # of the pending ones: messages of several calls, which are no calls of anybody
        self._unsent: dict[str, PendingCall] = {}
        self._connector = Connector(url, options, delivered=self._delivered, returned=self._returned, lost=self._lost)
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
        return len(self._pending) - self._packs

    @property
    def callback_queue(self) -> str | None:
        """The name of the callback queue, or None while there is no connection."""
        session = self._connector.current
        return session.callback_queue if session is not None else None

    async def connect(self) -> None:
        """Open the connection, if it is not open; a broker that is not up yet is waited for."""
        await self._connector.connect()

    def send(self, call: PendingCall) -> None:
        """Begin a call; its outcome comes to `call.outcome`."""
        if self._closed:
            call.fail(ClientClosed("the client is closed"))
            return
        self._pending.add(call.call_id, call)
        self._set_timer(call.deadline)
        if not self._is_ready():
            self._send_later(call)
        elif self._packer is not None and call.is_packable:
            if self._packer.add(call):
                asyncio.get_running_loop().call_soon(self._packer.flush)
        else:
            self._publish(call)
        if self._watcher is None:
            self._watcher = asyncio.get_running_loop().create_task(self._watch())

    def flush(self) -> None:
        """Let what was sent in this tick go out now."""
        session = self._connector.current
        if session is not None:
            session.connection.flush()

    def forget(self, call_id: str) -> None:
        """Somebody gave the call up: its reply, if one comes, is late."""
        self._pending.pop(call_id, answered=False)
        self._unsent.pop(call_id, None)

    async def close(self) -> None:
        """End the connection, and every call that waits."""
        self._closed = True
        self._fail_all(ClientClosed("the client was closed while the call waited for its reply"))
        tasks = [task for task in (self._sender, self._watcher) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._timer is not None:
            self._timer.cancel()
        await self._connector.close()

    # ---- sending

    def _is_ready(self) -> bool:
        """Whether a call can be published now: to a server that is there, and with no other waiting before it."""
        session = self._connector.current
        return session is not None and not self._unsent and session.has_evidence()

    def _publish(self, call: PendingCall) -> None:
        remaining = call.deadline - now()
        session = self._connector.current
        if remaining <= 0 or session is None:
            return  # the timer, or the loss of the connection, is about to end it
        again = SENT_AGAIN if call.sent else None
        call.sent += 1
        try:
            session.channel.publish(
                self._options.queue,
                call.body or jsonrpc.encode_request(call.call_id, call.method, call.params),
                mandatory=True,
                correlation_id=call.call_id,
                reply_to=session.callback_queue,
                expiration=expiration_ms(self._reserve.in_queue(call.method, remaining)),
                message_id=again,
                type=call.method,
            )
        except ConnectionLost:
            call.sent -= 1
            self._send_later(call)  # the link is about to hear of it
        except RpcError as error:
            self._end(call.call_id, error)

    def _send_later(self, call: PendingCall) -> None:
        self._unsent[call.call_id] = call
        if self._sender is None:
            self._sender = asyncio.get_running_loop().create_task(self._send_unsent())

    async def _send_unsent(self) -> None:
        """Connect if need be, see that a server is there, and send what waits for that."""
        attempts = BackOff(self._options.connect_timeout)
        try:
            while self._unsent:
                try:
                    session = await self._connector.open()
                    absence = await session.look_for_server()
                except (AuthenticationFailed, AccessRefused):
                    raise  # another attempt would end the same way
                except (ConnectionFailed, ConnectionLost) as error:
                    await attempts.wait_or_raise(error)
                    continue
                attempts = BackOff(self._options.connect_timeout)
                if absence is None:
                    unsent, self._unsent = self._unsent, {}
                    for call in unsent.values():
                        self._publish(call)
                    continue  # a connection lost just now has put them back
                self._give_up_impatient(absence)
                await asyncio.sleep(LOOK_EVERY)
        except RpcError as error:
            self._fail_unsent(error)
        finally:
            self._sender = None

    def _give_up_impatient(self, absence: str) -> None:
        moment = now()
        for call in list(self._unsent.values()):
            if moment - call.started >= self._patience:
                self._end(call.call_id, NoServer(self._options.queue, absence))

    # ---- packing: what `Packer` and `Pack` ask for

    def workers(self) -> int:
        """How many consumers the queue had at the last look."""
        session = self._connector.current
        return session.consumers if session is not None else 1

    def awaits(self, call: PendingCall) -> bool:
        """Whether a call still waits for its outcome."""
        return call.call_id in self._pending

    def send_alone(self, call: PendingCall) -> None:
        """Send a call that was taken for packing by itself."""
        if self.awaits(call):
            if self._is_ready():
                self._publish(call)
            else:
                self._send_later(call)

    def send_pack(self, params: bytes, timeout: float, started: float, outcome: Pack) -> None:
        """Send one message of several calls."""
        pack = PendingCall(self._calls.number(), METHOD, params, False, timeout, started, outcome)
        self._pending.add(pack.call_id, pack)
        self._packs += 1
        for call in outcome.calls:
            cast(PendingCall, call).sent += 1
        self.send_alone(pack)

    def pack_ended(self) -> None:
        """A message of several calls has its outcome."""
        self._packs -= 1

    def resolve(self, call: PendingCall, result: Any) -> None:
        """A packed call has its result."""
        if self._pending.pop(call.call_id, answered=True) is not None:
            call.resolve(result)
        else:
            self._pending.count_dropped(call.call_id)

    def fail(self, call: PendingCall, error: BaseException) -> None:
        """A packed call has its error."""
        if self._pending.pop(call.call_id, answered=True) is not None:
            call.fail(error)

    # ---- what comes back

    def _delivered(self, delivery: Delivery) -> None:
        session = self._connector.current
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
            call.fail(error)
        else:
            self._reserve.answered(call.method, now() - call.started)
            call.resolve(result)

    def _returned(self, returned: Returned) -> None:
        """No queue took a call: it may be sent again, when there is a queue, as far as its patience goes."""
        session = self._connector.current
        if session is not None:
            session.lost_evidence()
        call = self._pending.get(returned.correlation_id)
        if call is not None:
            call.sent -= 1  # it came nowhere
            self._send_later(call)

    # ---- time

    def _set_timer(self, deadline: float) -> None:
        if self._timer is not None:
            if self._timer_at <= deadline:
                return
            self._timer.cancel()
        self._timer_at = deadline
        self._timer = asyncio.get_running_loop().call_later(max(0.0, deadline - now()) + _TICK, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        for call_id, call in self._pending.expire(now()):
            self._unsent.pop(call_id, None)
            call.fail(RpcTimeout(call.method, call.timeout, call_id))
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
                session = self._connector.current
                if session is None or self._sender is not None or session.has_evidence(interval):
                    absent_since, interval = None, WATCH_FROM
                    continue
                absence = await session.look_for_server(has_calls=True)
                if absence is None:
                    absent_since, interval = None, min(2 * interval, WATCH_UP_TO)
                    continue
                interval = WATCH_FROM
                absent_since = now() if absent_since is None else absent_since
                if now() - absent_since >= self._patience:
                    self._fail_all(NoServer(self._options.queue, absence))
        except RpcError:
            pass  # the connection went, and took the calls with it
        finally:
            self._watcher = None

    # ---- ends

    def _lost(self, reason: RpcError) -> None:
        """The connection went. What waits is sent again on the next one, marked as something that may have run."""
        if self._packer is not None:
            self._packer.forget()
        for call_id in list(self._pending.ids()):
            call = self._pending.get(call_id)
            assert call is not None
            if isinstance(call.outcome, Pack):
                self._pending.pop(call_id, answered=False)  # its calls go by themselves
                self._unsent.pop(call_id, None)
                self._packs -= 1
            elif call.sent >= MOST_SENT:
                # One connection after the other ended over it: a message that the broker does not take, perhaps.
                self._end(
                    call_id, ConnectionLost(f"the connection was lost {call.sent} times while it waited: {reason}")
                )
            else:
                self._send_later(call)

    def _end(self, call_id: str, error: RpcError) -> None:
        self._unsent.pop(call_id, None)
        call = self._pending.pop(call_id, answered=False)
        if call is not None:
            call.fail(error)

    def _fail_unsent(self, error: RpcError) -> None:
        for call_id, call in list(self._unsent.items()):
            told = ConnectionLost(f"the connection was lost, and not to be had again: {error}") if call.sent else error
            self._end(call_id, copy.copy(told))

    def _fail_all(self, error: RpcError) -> None:
        self._unsent.clear()
        for _, call in self._pending.drain():
            call.fail(copy.copy(error))  # an exception that is raised in several threads collects all their frames

    def __repr__(self) -> str:
        state = "closed" if self._closed else "connected" if self._connector.current is not None else "not connected"
        return f"{state}, {self.pending} pending, to {self._options.queue!r} at {self._url}"
