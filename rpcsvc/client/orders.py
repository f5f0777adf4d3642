"""What is ordered for messages, carried out; and the calls that are in them.

    calls     every call that somebody waits for, by its id
    shared    the messages that several of them travel in, by theirs

The table in `engine` says when. What becomes of a message goes through that table, by `step`; so does what comes of
carrying out an order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

from ..deadline import Clock
from ..errors import ConnectionLost, RequestTooLarge, RpcError
from ..wire import jsonrpc
from ..wire.names import MAP
from ..wire.sizes import BodyLimit
from .messages import Call, Event, Kind, Message, Order, Single, State
from .pending import Ended, Pending
from .port import Port
from .routes import Line, Route

MOST_LOST = 3
"""How many connections may be lost over a call before it is given up: it may be one that the broker does not take."""


_FREE, _WRITTEN = Event.FREE, Event.WRITTEN  # each call needs them, and to look up a member takes as long as a step


class Step(Protocol):
    """Brings a message to its next state, by the table."""

    def __call__(self, message: Message, event: Event, detail: Any = None) -> None: ...


class Orders:
    """The calls and the messages of one engine, and what is done with them.

    Attributes:
        calls: the calls that somebody waits for.
        shared: the messages that several of them travel in.
        ended: the ids of both that ended last.
        routes: the queues that they go to.
        single: the kind of a message of one call.

    Args:
        step: brings a message to its next state.
        wake_at: has `tick` called at a moment.
        port, clock, limit, number: as for `Engine`.
        line: the connection.
    """

    def __init__(
        self,
        step: Step,
        wake_at: Callable[[float], None],
        *,
        port: Port,
        clock: Clock,
        line: Line,
        limit: BodyLimit,
        number: Callable[[], str],
    ) -> None:
        self._step = step
        self.wake_at = wake_at
        self._port = port
        self._clock = clock
        self._line = line
        self._limit = limit
        self._number = number
        self.ended = Ended()
        self.calls: Pending[Call] = Pending(self.ended)
        self.shared: Pending[Message] = Pending(self.ended)
        self.routes: dict[str, Route] = {}
        self.single = Single(self)

    def named(self, order: Order) -> Callable[[Message, Any], None]:
        """What carries out an order."""
        method: Callable[[Message, Any], None] = getattr(self, f"_{order.name.lower()}")
        return method

    # ---- for the routes

    def calls_to(self, queue: str) -> Iterator[Call]:
        """The calls to a queue that wait for their outcome; none may come or go meanwhile."""
        return (call for call in self.calls if call.queue == queue)

    def release(self, message: Message, route: Route, *, alone: bool = False) -> None:
        """Send a message that was held; unless `alone`, the call of one that was never sent may travel with others."""
        if message.kind is self.single and not alone:
            self.send(message.calls[0], route)
        else:
            self._step(message, _FREE)

    def queue_gone(self, route: Route) -> None:
        """The queue was deleted, and calls that lay in it are lost. Which ones nobody knows: all are sent again.

        Those that a server holds are answered all the same; then the second answer is a duplicate. Messages of several
        calls go again as they went: a server knows by the id what it holds, and computes no call a second time.
        """
        route.evidence.queue_was_gone = False
        for call in list(self.calls_to(route.name)):
            if call.message is not None:
                self._step(call.message, Event.QUEUE_GONE)
        route.pump()

    def end(self, call: Call, error: RpcError) -> None:
        """End a call with an error that is no answer."""
        if self.calls.pop(call.call_id, answered=False) is not None:
            self.leave(call)
            self._port.fail(call, error)

    # ---- for the packer, and the kinds of messages

    def awaits(self, call: Call) -> bool:
        """Whether a call waits for its outcome."""
        return call.call_id in self.calls

    def send_alone(self, call: Call) -> None:
        """Send a call that was to travel with others by itself."""
        if call.call_id in self.calls:
            self._let_go(self.alone(call))

    def send_shared(self, calls: Sequence[Call], params: bytes, kind: Kind, share: Any) -> None:
        """Send an `rpc.map` of several calls; or of one, which is measured so, and else like any other call."""
        first = calls[0]
        if len(calls) == 1:
            # Under its own id: whoever knows the call, to give it up or to answer it again, knows it by that.
            body = jsonrpc.encode_request(first.call_id, MAP, params)
            message = Message(first.call_id, kind, first.queue, first.method, b"", first.deadline, calls, body)
        else:
            deadline = min(call.deadline for call in calls)
            message = Message(self._number(), kind, first.queue, MAP, params, deadline, calls)
            self.shared.add(message.message_id, message)
            self.wake_at(deadline)
        message.share = share
        for call in calls:
            call.message = message
        self._let_go(message)

    def resolve(self, call: Call, result: Any) -> None:
        """End a call with its result."""
        if self.calls.pop(call.call_id, answered=True) is not None:
            self._port.resolve(call, result)
        else:  # of a message with others; one that was answered by itself meanwhile is no duplicate
            self.ended.count_late(call.call_id)

    def fail(self, call: Call, error: BaseException) -> None:
        """End a call with the error that answered it."""
        if self.calls.pop(call.call_id, answered=True) is not None:
            self._port.fail(call, error)

    # ---- messages

    def alone(self, call: Call) -> Message:
        """A message of one call."""
        call_id, queue, method, params = call.call_id, call.queue, call.method, call.params
        call.message = message = Message(call_id, self.single, queue, method, params, call.deadline, (call,), call.body)
        return message

    def send(self, call: Call, route: Route) -> None:
        """Send a call that can be sent: by itself, or with others of this moment."""
        if route.packer is None or not call.is_packable:
            self._step(call.message or self.alone(call), _FREE)
            return
        call.message = None
        if route.packer.add(call):
            self._port.gather()

    def _let_go(self, message: Message) -> None:
        """Publish a message, or hold it back until that can be."""
        route = self.routes[message.queue]
        if route.is_ready:
            self._step(message, _FREE)
        else:
            route.hold(message)
            route.pump()

    def find(self, message_id: str | None) -> Message | None:
        """The message that an id of the wire means; None where nothing waits for it."""
        call = self.calls.get(message_id)
        if call is None:
            return self.shared.get(message_id)
        message = call.message
        return message if message is not None and message.message_id == message_id else None

    def split(self, message_id: str | None) -> Message | None:
        """The call of that id as a message of its own: it was answered so, by a server that took its message apart."""
        call = self.calls.get(message_id)
        if call is None:
            return None
        message, alone = call.message, self.alone(call)
        alone.state, alone.reply_to = State.SENT, call.reply_to
        if message is not None:
            message.waiting -= 1
            if not message.waiting and message.is_given_up:
                self._step(message, Event.ABANDONED)
        return alone

    def leave(self, call: Call) -> None:
        """A call was taken out of the table without an answer: nobody waits for it, and it may be with a server."""
        message, call.message = call.message, None
        if call.may_have_run:
            self.routes[call.queue].give_up(call.reply_to, call.call_id, call.deadline)
        if message is not None:
            message.waiting -= 1
            message.is_given_up = True
            if not message.waiting:
                self._step(message, Event.ABANDONED)

    # ---- inside: orders, by their names

    def _nothing(self, message: Message, _: Any) -> None:
        pass

    def _hold(self, message: Message, _: Any) -> None:
        self.routes[message.queue].hold(message)

    def _publish(self, message: Message, _: Any) -> None:
        seconds = message.deadline - self._clock()
        if seconds <= 0:
            return  # the clock is about to end it
        calls, route = message.calls, self.routes[message.queue]
        if calls[0].may_have_run or len(calls) > 1:
            message.is_again = any(call.may_have_run for call in calls)
        try:
            body = message.body or jsonrpc.encode_request(message.message_id, message.method, message.params)
            if len(body) > self._limit.most:
                raise RequestTooLarge(len(body), self._limit.most)
            is_written = self._port.publish(message, body, route.reserve.in_queue(message.method, seconds))
        except ConnectionLost as error:
            self._step(message, Event.LOST, error)
        except RpcError as error:
            self._step(message, Event.REFUSED, error)
        else:
            if is_written:
                self._step(message, _WRITTEN)
                return
            message.body, message.params = body, b""  # once is enough of what is large
            if message.kind is self.single:
                calls[0].body, calls[0].params = body, b""

    def _mark(self, message: Message, _: Any) -> None:
        message.reply_to = reply_to = self._line.callback_queue
        for call in message.calls:
            call.reply_to, call.may_have_run = reply_to, True

    def _unmark(self, message: Message, _: Any) -> None:
        for call in message.calls:
            call.may_have_run = message.is_again
        self._hold(message, None)

    def _count(self, message: Message, reason: RpcError) -> None:
        for call in self._forget(message):
            if call.message is not message:
                continue  # it has ended
            call.connections_lost += 1
            if call.connections_lost < MOST_LOST:
                self._hold(self.alone(call), None)
            else:
                self.end(call, ConnectionLost(f"the connection was lost {MOST_LOST} times while it waited: {reason}"))

    def _take_back(self, message: Message, outcome: Any) -> None:
        self.routes[message.queue].held.pop(message.message_id, None)
        self._give_out(message, outcome)

    def _give_out(self, message: Message, outcome: Any) -> None:
        if len(message.calls) > 1:
            self.shared.pop(message.message_id, answered=True)
        if isinstance(outcome, RpcError):
            message.kind.failed(message, outcome)
        else:
            message.kind.answered(message, outcome)
        message.calls = ()

    def _fail(self, message: Message, error: RpcError) -> None:
        message.kind.failed(message, error)
        self._forget(message)

    def _drop(self, message: Message, _: Any) -> None:
        self.routes[message.queue].held.pop(message.message_id, None)
        self._forget(message)

    def _tell(self, message: Message, _: Any) -> None:
        if message.is_shared:
            self.routes[message.queue].give_up(message.reply_to, message.message_id, message.deadline)
        self._forget(message)

    def _forget(self, message: Message) -> Sequence[Call]:
        """Forget a message; the calls that it had."""
        calls, message.calls = message.calls, ()
        message.body = None  # whoever waits for its turn keeps nothing large
        if len(calls) > 1:
            self.shared.pop(message.message_id, answered=False)
        return calls
