"""The life of a call at its client: what becomes of each message, and what is ordered for it.

    submitted --> held --> leaving --> sent --> done        the calls in it have their outcomes
                   ^                     |
                   +--returned, lost-----+                  it goes once more

The table below is the whole of it. This module has no socket, no thread, no event loop and no clock but the one that it
is given. What happens is told to it by its methods; what it wants it says to a `Port`, at once. Whoever drives it (an
event loop, a thread, a calling thread under a lock) calls one method at a time, and `tick` at the time that was asked
for by `wake_at`. The port may call `submitted` and `given_up` back in the midst of `resolve` and `fail`.

A call ends by being taken out of the table of calls, exactly once: by its reply, by its deadline, by being given up, or
by the end of what could answer it. A message is published only while there is evidence of a server (`evidence`), so a
call to nobody leaves nothing behind in the queue.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from ..deadline import Clock
from ..errors import ClientClosed, ConnectionLost, MessageTooLarge, RpcError, RpcTimeout
from ..settings.client import ClientOptions
from ..wire import jsonrpc
from ..wire.sizes import BodyLimit
from .messages import Call, Event, Message, Order, State
from .orders import Orders
from .pending import ReplyCounts
from .port import Port
from .routes import Line, Route

H, L, S, D = State.HELD, State.LEAVING, State.SENT, State.DONE
LIFE: Final[Mapping[tuple[State, Event], tuple[State, Order]]] = {
    (H, Event.FREE): (L, Order.PUBLISH),
    (H, Event.ANSWERED): (D, Order.TAKE_BACK),  # to what was sent before
    (H, Event.RETURNED): (H, Order.NOTHING),  # likewise
    (H, Event.QUEUE_GONE): (H, Order.NOTHING),
    (H, Event.LOST): (H, Order.NOTHING),
    (H, Event.ABANDONED): (D, Order.DROP),
    (L, Event.WRITTEN): (S, Order.MARK),
    (L, Event.ANSWERED): (D, Order.GIVE_OUT),  # to what was sent before
    (L, Event.RETURNED): (L, Order.NOTHING),  # likewise
    (L, Event.QUEUE_GONE): (L, Order.NOTHING),
    (L, Event.LOST): (H, Order.HOLD),
    (L, Event.REFUSED): (D, Order.FAIL),
    (L, Event.ABANDONED): (D, Order.DROP),
    (S, Event.WRITTEN): (S, Order.MARK),  # once more, because its channel was lost before the broker confirmed it
    (S, Event.CONFIRMED): (S, Order.NOTHING),
    (S, Event.PART): (S, Order.NOTHING),
    (S, Event.ANSWERED): (D, Order.GIVE_OUT),
    (S, Event.RETURNED): (H, Order.UNMARK),
    (S, Event.QUEUE_GONE): (H, Order.HOLD),
    (S, Event.LOST): (D, Order.COUNT),
    (S, Event.REFUSED): (D, Order.FAIL),
    (S, Event.ABANDONED): (D, Order.TELL),
}
"""What a message is after an event, and what is ordered. What is not here changes nothing."""

_ANSWERED, _NEVER = Event.ANSWERED, math.inf  # each call needs them, and to look up a member takes as long as a step
SILENCE = 10.0
"""Seconds in which servers are told nothing, after the broker refused what they were told."""


class Engine:
    """The calls of one client, and the messages in which they travel.

    Attributes:
        line: the connection, as far as the engine knows it.

    Args:
        port: who does what is wanted.
        clock: seconds.
        limit: how large a request may be.
        number: makes the ids of messages that several calls share.
        routes: the options of the callers of each queue that calls go to.
    """

    def __init__(
        self,
        port: Port,
        clock: Clock,
        *,
        limit: BodyLimit,
        number: Callable[[], str],
        routes: Iterable[ClientOptions],
    ) -> None:
        self._port = port
        self._clock = clock
        self._limit = limit
        self.line = Line()
        self._desk = desk = Orders(
            self._step, self.wake_at, port=port, clock=clock, line=self.line, limit=limit, number=number
        )
        for options in routes:
            desk.routes[options.queue] = Route(options, clock, self.line, port, desk)
        self._routes = desk.routes
        self._calls, self._shared, self._ended = desk.calls, desk.shared, desk.ended
        self._find = desk.find
        self._life = {at: (after, desk.named(order)) for at, (after, order) in LIFE.items()}
        self._is_closed = False
        self._wake = math.inf

    # ---- what may be asked of it

    def route(self, queue: str) -> Route:
        """What is known of a queue and its servers."""
        return self._routes[queue]

    @property
    def pending(self) -> int:
        """How many calls wait for their outcome."""
        return len(self._calls)

    @property
    def dropped(self) -> ReplyCounts:
        """Replies that found no call waiting."""
        return self._ended.dropped

    # ---- what happens: calls

    def submitted(self, call: Call) -> None:
        """Begin a call."""
        if self._is_closed:
            self._port.fail(call, ClientClosed("the client is closed"))
            return
        self._calls.add(call.call_id, call)
        route = self._routes[call.queue]
        if not route.is_ready:
            route.hold(self._desk.alone(call))
            route.pump()
        else:
            self._desk.send(call, route)
        if route.ask_at == _NEVER:
            route.watch()
        if call.deadline < self._wake:
            self.wake_at(call.deadline)

    def flush(self) -> None:
        """Send the calls that were gathered."""
        for route in self._routes.values():
            if route.packer is not None:
                route.packer.flush()

    def given_up(self, call_id: str) -> None:
        """Somebody gave a call up: its reply, if one comes, is late, and the servers are told."""
        call = self._calls.pop(call_id, answered=False)
        if call is not None:
            self._desk.leave(call)

    def departs(self, message: Message) -> float | None:
        """The turn of a message has come that waited for it: the seconds that it may wait in the queue.

        None where it is not to be written any more. Otherwise it counts as written.
        """
        seconds = message.deadline - self._clock()
        if seconds <= 0 or message.state not in (State.LEAVING, State.SENT):
            return None
        message.is_again = any(call.may_have_run for call in message.calls)
        self._step(message, Event.WRITTEN)
        return self._routes[message.queue].reserve.in_queue(message.method, seconds)

    def confirmed(self, message: Message) -> None:
        """The broker has taken a message."""
        self._step(message, Event.CONFIRMED)

    def refused(self, message: Message, error: RpcError) -> None:
        """The broker does not take a message."""
        self._step(message, Event.REFUSED, error)

    def delivered(self, message_id: str | None, body: bytes) -> None:
        """A reply came."""
        message = self._find(message_id) or self._desk.split(message_id)
        if message is None:
            self._ended.count_dropped(message_id)
            return
        route = self._routes[message.queue]
        route.evidence.answered()
        outcome: Any
        try:
            outcome = jsonrpc.decode_response(body)
        except RpcError as error:
            outcome = error
        else:
            route.reserve.answered(message.method, self._clock() - message.calls[0].started)
        self._step(message, _ANSWERED, outcome)
        if route.held:
            route.pump()

    def part(self, message_id: str, number: int, body: bytes) -> None:
        """A part of a result came, and more will. No kind of message has such yet: it says that a server is there.

        Args:
            message_id: of which message.
            number: which part, from 0.
            body: the part.
        """
        message = self._desk.find(message_id)
        if message is not None:
            self._routes[message.queue].evidence.answered()
            self._step(message, Event.PART, (number, body))

    def credit(self, message_id: str, parts: int) -> None:
        """Whoever reads the parts of a result takes so many more. Likewise: no server waits for it yet."""

    def returned(self, message_id: str | None, queue: str) -> None:
        """No queue took a message: it may be sent again, when there is a queue, as far as its patience goes."""
        route = self._routes[queue]
        route.evidence.missing()
        message = self._desk.find(message_id)
        if message is not None:
            self._step(message, Event.RETURNED)
        route.ask()

    # ---- what happens: the connection

    def opened(self, callback_queue: str) -> None:
        """There is a connection, with that callback queue."""
        self.line.callback_queue = callback_queue
        self.line.is_opening = self.line.is_blocked = False
        for route in self._routes.values():
            route.evidence.connected()
            route.pump()

    def want_connection(self) -> None:
        """Somebody beside the calls wants a connection, if there is none."""
        if self.line.callback_queue is None and not self.line.is_opening:
            self.line.is_opening = True
            self._port.open()

    def unreachable(self, error: RpcError) -> None:
        """No connection is to be had: what waits for one ends."""
        self.line.is_opening = False
        lost = ConnectionLost(f"the connection was lost, and not to be had again: {error}")
        for route in self._routes.values():
            for message in list(route.held.values()):
                for call in message.calls:
                    self._desk.end(call, copy.copy(lost if call.may_have_run else error))

    def lost(self, reason: RpcError) -> None:
        """The connection went. What waits is sent again on the next one, marked as something that may have run."""
        if isinstance(reason, MessageTooLarge):
            self._limit.refused(reason.limit)
        self.line.callback_queue = None
        self.line.is_blocked = False
        for route in self._routes.values():
            route.lost()
        for call in list(self._calls):
            message = call.message
            if call.call_id not in self._calls:
                continue  # it has ended with others of its message
            if message is None or message.state is State.DONE:  # the packer had it
                self._routes[call.queue].hold(self._desk.alone(call))
            else:
                self._step(message, Event.LOST, reason)
        for message in list(self._shared):
            self._step(message, Event.LOST, reason)
        for route in self._routes.values():
            route.pump()

    def blocked(self) -> None:
        """The connection takes no messages for now."""
        self.line.is_blocked = True

    def free(self) -> None:
        """The connection takes messages again."""
        self.line.is_blocked = False
        for route in self._routes.values():
            route.tell_soon()
            route.pump()

    def tell_refused(self) -> None:
        """The broker refused what servers were to be told."""
        self.line.silent_until = self._clock() + SILENCE

    # ---- what happens: the servers

    def observed(self, queue: str, messages: int, consumers: int) -> None:
        """The broker says what is in a queue, and how many consume it."""
        route = self._routes[queue]
        route.evidence.observed(messages, consumers, has_calls=not route.held and any(self._desk.calls_to(queue)))
        route.asked()

    def queue_missing(self, queue: str) -> None:
        """The broker says that there is no such queue."""
        self._routes[queue].evidence.missing()
        self._routes[queue].asked()

    def not_shown(self, queue: str, reason: str | None) -> None:
        """The broker does not say what is in a queue; `reason` is to be told to the user, if there is one."""
        self._routes[queue].evidence.refused(reason)
        self._routes[queue].asked()

    def settled(self, queue: str) -> None:
        """What was published before `settle` has come back by now, or a queue has taken it."""
        self._routes[queue].settled()

    def queue_deleted(self, queue: str) -> None:
        """A server says that the queue was deleted, and with it what lay there."""
        self._routes[queue].evidence.lost()
        self._desk.queue_gone(self._routes[queue])

    # ---- what happens: time, and the end

    def tick(self) -> None:
        """Do what is due now."""
        now = self._clock()
        self._wake = math.inf
        for call_id, call in self._calls.expire(now):
            self._desk.leave(call)
            self._port.fail(call, RpcTimeout(call.method, call.timeout, call_id))
        for _, message in self._shared.expire(now):
            self._step(message, Event.ABANDONED)
        for route in self._routes.values():
            route.tick(now)
        for table in (self._calls, self._shared):
            self.wake_at(table.next_deadline())

    def close(self) -> None:
        """End every call; servers are told at once, if they can be."""
        self._is_closed = True
        error = ClientClosed("the client was closed while the call waited for its reply")
        for _, message in self._shared.drain():
            self._step(message, Event.ABANDONED)
        for _, call in self._calls.drain():
            self._desk.leave(call)
            # An exception that is raised in several threads collects all their frames.
            self._port.fail(call, copy.copy(error))
        for route in self._routes.values():
            route.close()

    def wake_at(self, moment: float) -> None:
        """Have `tick` called at that moment, or before."""
        if moment < self._wake:
            self._wake = moment
            self._port.wake_at(moment)

    def _step(self, message: Message, event: Event, detail: Any = None) -> None:
        """Bring a message to its next state, and have done what is ordered then."""
        change = self._life.get((message.state, event))
        if change is not None:
            message.state, carry_out = change
            carry_out(message, detail)

    def __repr__(self) -> str:
        state = "connected" if self.line.callback_queue is not None else "not connected"
        return f"{'closed' if self._is_closed else state}, {self.pending} pending"
