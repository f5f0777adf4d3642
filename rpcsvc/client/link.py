"""One client's connection, and the calls that wait on it.

    call -> pending[correlation_id] -> publish to the queue ......... a server computes .........
                 |                                                                              |
    result <- future <- matched by correlation_id <- the connection's own callback queue <- reply

Rules: everything here happens on one event loop. A call ends by being taken out of `PendingCalls`, exactly once: by its
reply, by its deadline, or by the end of what could answer it.

A call is published only while there is evidence of a server: a reply, or a look at the queue's consumers, in the last
second. So a call to nobody leaves nothing behind in the queue. While calls wait, the evidence is renewed, and when it
fails for longer than the client's patience they end with `NoServer`. What counts as evidence is `Evidence`'s to say.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

from ..amqp import Delivery, Returned
from ..errors import ClientClosed, ConnectionLost, MessageTooLarge, NoServer, RpcError, RpcTimeout
from ..settings import BrokerUrls
from ..settings.client import ClientOptions
from ..wire import jsonrpc
from ..wire.many.answer import Understanding
from ..wire.names import MAP, QUEUE_DELETED
from .calls import CallFactory, PendingCall, now
from .cancelling import Canceller
from .evidence import Evidence
from .opening import Connector
from .packing import Pack, Packer
from .pending import PendingCalls, ReplyCounts
from .publishing import CallPublisher
from .unsent import Unsent

_TICK = 0.001
"""Seconds that a timer is set late, so that it never comes before what it is for."""
WATCH_FROM, WATCH_UP_TO = 0.15, 0.5
"""Seconds between looks at the queue while calls wait and nothing comes; they grow while all is well."""
MOST_SENT = 3
"""How often a call is sent, the first time included, when connections are lost while it waits."""


class CallLink:
    """The connection of one client, and the calls that wait on it. Lives on one event loop.

    Attributes:
        understanding: whether the servers of its queue know `rpc.map`.
    """

    def __init__(self, url: BrokerUrls, options: ClientOptions, calls: CallFactory) -> None:
        self._url = url
        self._options = options
        self._calls = calls
        self.understanding = Understanding()
        self._packer = Packer(self, self.understanding) if options.pack else None
        self._pending: PendingCalls[PendingCall] = PendingCalls()
        self._packs = 0  # of the pending ones: messages of several calls, which are no calls of anybody
        self._evidence = Evidence(
            now, patience=options.patience, wait_for_server=options.wait_for_server, appeared=self._server_appeared
        )
        self._connector = Connector(
            url,
            options,
            calls.limit,
            self._evidence,
            delivered=self._delivered,
            returned=self._returned,
            lost=self._lost,
        )
        self._publisher = CallPublisher(
            self._connector, options.queue, calls.limit, awaits=self.awaits, again=self._send_later, end=self._end
        )
        self._canceller = Canceller(
            self._connector, self._pending.__contains__, self._pack_given_up, lambda: self._evidence.absence is None
        )
        self._unsent = Unsent(
            self._connector,
            options,
            self._evidence,
            publish=self._send_now,
            publish_alone=self._publisher.publish,
            end=self._end,
            queue_was_gone=self._send_lost_again,
        )
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
            self._unsent.add(call)
        else:
            self._send_now(call)
        if self._watcher is None:
            self._watcher = asyncio.get_running_loop().create_task(self._watch())

    def flush(self) -> None:
        """Let what was sent in this tick go out now."""
        session = self._connector.current
        if session is not None:
            session.connection.flush()

    def forget(self, call_id: str) -> None:
        """Somebody gave the call up: its reply, if one comes, is late, and the servers are told."""
        call = self._pending.pop(call_id, answered=False)
        if call is not None:
            self._given_up(call)

    async def close(self) -> None:
        """End the connection, and every call that waits."""
        self._closed = True
        self._fail_all(ClientClosed("the client was closed while the call waited for its reply"))
        await self._unsent.close()
        await self._publisher.close()
        if self._packer is not None:
            self._packer.forget()
        if self._watcher is not None:
            self._watcher.cancel()
            await asyncio.gather(self._watcher, return_exceptions=True)
        if self._timer is not None:
            self._timer.cancel()
        await self._canceller.close()
        await self._connector.close()

    # ---- sending

    def _is_ready(self) -> bool:
        """Whether a call can be published now: to a server that is there, and with no other waiting before it."""
        session = self._connector.current
        return (
            session is not None
            and not self._unsent.calls
            and not session.connection.held
            and self._evidence.lets_send()
        )

    def _send_now(self, call: PendingCall) -> None:
        """Send a call that can be sent: by itself, or with others of this tick."""
        if self._packer is None or call.sent or not call.is_packable:
            self._publisher.publish(call)
        elif self._packer.add(call):
            asyncio.get_running_loop().call_soon(self._packer.flush)

    def _send_later(self, call: PendingCall) -> None:
        self._unsent.add(call)

    def _send_lost_again(self) -> None:
        """The queue was deleted, and calls that lay in it are lost. Which ones nobody knows: all are sent again.

        Those that a server holds are answered all the same; then the second answer is a duplicate. Messages of several
        calls go again as they went: a server knows by the id what it holds, and computes no call a second time.
        """
        self._evidence.queue_was_gone = False
        for call_id in list(self._pending.ids()):
            call = self._pending.get(call_id)
            assert call is not None
            if call_id in self._unsent.calls or (call.pack is not None and call.pack.call_id in self._pending):
                continue
            if call.sent:
                call.sent = max(1, call.sent - 1)  # no connection ended over it
                self._unsent.add(call)

    def _dissolved(self, call: PendingCall) -> bool:
        """Take a message of several calls apart, which then go by themselves; false for a call."""
        if not isinstance(call.outcome, Pack):
            return False
        self._pending.pop(call.call_id, answered=False)
        self._unsent.discard(call.call_id)
        self._packs -= 1
        return True

    # ---- how many workers there are

    async def see_workers(self, timeout: float) -> None:
        """Look how many there are, unless that was seen on this connection; what goes wrong is left to the calls."""
        with contextlib.suppress(RpcError, TimeoutError):
            async with asyncio.timeout(timeout):
                session = await self._connector.open()
                if not self._evidence.has_counted:
                    await session.look()

    @property
    def has_seen_workers(self) -> bool:
        """Whether `workers` is what was seen, and no assumption."""
        return self._connector.current is not None and self._evidence.has_counted

    def workers(self) -> int:
        """How many consumers the queue had at the last look that saw some; an assumption where nobody may look."""
        return self._evidence.consumers

    # ---- packing: what `Packer` and `Pack` ask for

    def later(self, seconds: float, then: Callable[[], None]) -> asyncio.TimerHandle:
        """Have something done in some seconds."""
        return asyncio.get_running_loop().call_later(seconds, then)

    def awaits(self, call: PendingCall) -> bool:
        """Whether a call still waits for its outcome."""
        return call.call_id in self._pending

    def send_alone(self, call: PendingCall) -> None:
        """Send a call that was taken for packing by itself."""
        if self.awaits(call):
            if self._is_ready():
                self._publisher.publish(call)
            else:
                self._unsent.add(call)

    def send_pack(self, params: bytes, timeout: float, started: float, outcome: Pack) -> None:
        """Send one message of several calls; or of one, which is measured so, and else like any other call."""
        if len(outcome.calls) == 1:
            only = cast(PendingCall, outcome.calls[0])
            # Under its own id: whoever knows the call, to give it up or to answer it again, knows it by that.
            only.body, only.probe = jsonrpc.encode_request(only.call_id, MAP, params), outcome
            self.send_alone(only)
            return
        pack = PendingCall(self._calls.number(), MAP, params, False, timeout, started, outcome)
        self._pending.add(pack.call_id, pack)
        self._packs += 1
        for call in outcome.calls:
            packed = cast(PendingCall, call)
            packed.sent += 1
            packed.pack = pack
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
        call_id = delivery.correlation_id
        if call_id is None and delivery.type == QUEUE_DELETED:
            self._evidence.lost()
            self._send_lost_again()
            return
        self._evidence.answered()
        call = None if call_id is None else self._pending.pop(call_id, answered=True)
        if call is None:
            self._pending.count_dropped(call_id)
            return
        try:
            result = jsonrpc.decode_response(delivery.body)
        except RpcError as error:
            (call if call.probe is None else self._probed(call)).fail(error)
        else:
            self._publisher.reserve.answered(call.method, now() - call.started)
            (call if call.probe is None else self._probed(call)).resolve(result)

    def _probed(self, call: PendingCall) -> PendingCall:
        """The message in which a call was measured, and which has its reply; the call itself waits again."""
        assert call.probe is not None
        message = replace(call, outcome=call.probe, probe=None)
        call.body = call.probe = None
        self._pending.add(call.call_id, call)
        self._packs += 1  # until the message has ended, in a moment
        return message

    def _returned(self, returned: Returned) -> None:
        """No queue took a call: it may be sent again, when there is a queue, as far as its patience goes."""
        self._evidence.missing()
        call = self._pending.get(returned.correlation_id)
        if call is not None:
            call.sent -= 1  # it came nowhere
            self._unsent.add(call)

    # ---- time

    def _set_timer(self, deadline: float) -> None:
        if self._timer is not None:
            if self._timer_at <= deadline:
                return
            self._timer.cancel()
        if deadline == math.inf:
            return  # and there was no timer for an earlier one
        self._timer_at = deadline
        self._timer = asyncio.get_running_loop().call_later(max(0.0, deadline - now()) + _TICK, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        for call_id, call in self._pending.expire(now()):
            self._given_up(call)
            call.fail(RpcTimeout(call.method, call.timeout, call_id))
        upcoming = self._pending.next_deadline()
        if upcoming is not None:
            self._set_timer(upcoming)

    async def _watch(self) -> None:
        """While calls wait and nothing comes, look whether somebody is there to answer them."""
        interval = WATCH_FROM
        evidence = self._evidence
        try:
            while self._pending or self._canceller.needs_server(is_absent=evidence.absence is not None):
                await asyncio.sleep(interval)
                session = self._connector.current
                if (
                    session is None
                    or self._unsent.is_sending
                    or session.connection.held
                    or evidence.lets_send(interval)
                ):
                    interval = WATCH_FROM
                    continue
                try:
                    await session.look(has_calls=bool(self._pending))
                except RpcError:
                    continue  # what went is opened again: by whoever sends the calls again, or by the next look
                if evidence.absence is not None:
                    self._give_up_impatient(evidence.absence)
                    interval = evidence.look_in()
                    continue
                if evidence.queue_was_gone:
                    self._send_lost_again()
                interval = min(2 * interval, WATCH_UP_TO)
        finally:
            self._watcher = None

    def _give_up_impatient(self, absence: str) -> None:
        for call in self._pending.values():
            if self._evidence.is_over(call.started):
                self._end(call.call_id, NoServer(self._options.queue, absence))

    def _server_appeared(self) -> None:
        self._canceller.recall()

    # ---- ends

    def _given_up(self, call: PendingCall) -> None:
        """Nobody waits for it any more, and it may be with a server."""
        self._unsent.discard(call.call_id)
        if call.sent:
            self._canceller.add(call)

    def _pack_given_up(self, pack: PendingCall) -> None:
        self._unsent.discard(pack.call_id)
        self._pending.pop(pack.call_id, answered=False)
        self._packs -= 1

    def _lost(self, reason: RpcError) -> None:
        """The connection went. What waits is sent again on the next one, marked as something that may have run."""
        if isinstance(reason, MessageTooLarge):
            self._calls.limit.refused(reason.limit)
        self._canceller.forget()
        if self._packer is not None:
            self._packer.forget()
        for call_id in list(self._pending.ids()):
            call = self._pending.get(call_id)
            assert call is not None
            if self._dissolved(call):
                continue
            if call.sent >= MOST_SENT:
                # One connection after the other ended over it: a message that the broker does not take, perhaps.
                self._end(
                    call_id, ConnectionLost(f"the connection was lost {call.sent} times while it waited: {reason}")
                )
            else:
                self._unsent.add(call)

    def _end(self, call_id: str, error: RpcError) -> None:
        self._unsent.discard(call_id)
        call = self._pending.pop(call_id, answered=False)
        if call is not None:
            if call.sent:
                self._canceller.add(call)
            call.fail(error)

    def _fail_all(self, error: RpcError) -> None:
        self._unsent.clear()
        for _, call in self._pending.drain():
            if call.sent:
                self._canceller.add(call)
            call.fail(copy.copy(error))  # an exception that is raised in several threads collects all their frames

    def __repr__(self) -> str:
        state = "closed" if self._closed else "connected" if self._connector.current is not None else "not connected"
        return f"{state}, {self.pending} pending, to {self._options.queue!r} at {self._url}"
