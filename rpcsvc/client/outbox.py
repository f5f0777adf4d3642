"""The life of a message that is done when the broker has confirmed it: a cast, or an event.

    submitted --> held --> leaving --> sent --confirmed--> done
                   ^                     |
                   +---------lost--------+      it goes once more, marked as one that may have been taken

The table below is the whole of it. Like `engine`, which has the calls, this module has no socket, no thread and no
clock but the one that it is given. What happens is told to it by its methods; what it wants it says to a `Port`, at
once.

A message is in the table of those that live from when it is submitted until it has its outcome, and has one: it is safe
(a queue has it, on disk where the queue keeps it there), or an error says what became of it. Whoever waits hears of an
error that leaves open what became of it only when that cannot be known; then it is sent again until its time-out.

Messages that need the same thing to be there before they are sent (an exchange, say) are a lane, and keep their order.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from ..deadline import Clock
from ..errors import ClientClosed, ConnectionFailed, MessageRefused, RpcError
from .outgoing import Event, Order, Outgoing, Port, State

REOPEN_PAUSE = 1.0
"""Seconds after which a channel is asked for again, when none was to be had and a message may have been taken."""
RETURNED_PAUSE = 0.1
"""Seconds after which a message that came back is sent again, where its sender waits for a server."""


H, L, S, D = State.HELD, State.LEAVING, State.SENT, State.DONE
LIFE: Final[Mapping[tuple[State, Event], tuple[State, Order]]] = {
    (H, Event.FREE): (L, Order.PUBLISH),
    (H, Event.LOST): (H, Order.NOTHING),
    (H, Event.REFUSED): (D, Order.FAIL),
    (H, Event.EXPIRED): (D, Order.EXPIRE),
    (H, Event.CLOSED): (D, Order.CLOSE),
    (H, Event.GIVEN_UP): (D, Order.DROP),
    (L, Event.WRITTEN): (S, Order.MARK),
    (L, Event.LOST): (H, Order.HOLD),
    (L, Event.REFUSED): (D, Order.FAIL),
    (L, Event.EXPIRED): (D, Order.EXPIRE),
    (L, Event.CLOSED): (D, Order.CLOSE),
    (L, Event.GIVEN_UP): (D, Order.DROP),
    (S, Event.CONFIRMED): (D, Order.SUCCEED),
    (S, Event.RETURNED): (D, Order.COME_BACK),
    (S, Event.AWAITED): (H, Order.PAUSE),
    (S, Event.REFUSED): (D, Order.FAIL),
    (S, Event.LOST): (H, Order.HOLD_AGAIN),
    (S, Event.EXPIRED): (D, Order.EXPIRE),
    (S, Event.CLOSED): (D, Order.CLOSE),
    (S, Event.GIVEN_UP): (D, Order.DROP),
}
"""What a message is after an event, and what is ordered. What is not here changes nothing: a confirm, say, that comes
when the time is up."""

_FREE, _WRITTEN, _CONFIRMED = Event.FREE, Event.WRITTEN, Event.CONFIRMED  # to look up a member takes as long as a step


@dataclass(slots=True, eq=False)
class _Lane:
    """The messages that need the same thing.

    Attributes:
        needs: what.
        is_ready: whether it is there, as far as this channel goes.
        is_asked: whether it is being seen to.
        paused_until: until when none of them is sent, in seconds on the clock.
        held: those that wait to be sent.
    """

    needs: Hashable
    is_ready: bool
    is_asked: bool = False
    paused_until: float = -math.inf
    held: dict[Outgoing, None] = field(default_factory=dict)


class Outbox:
    """The messages of one client that wait for the broker's confirm.

    Args:
        port: who does what is wanted.
        clock: seconds.
    """

    def __init__(self, port: Port, clock: Clock) -> None:
        self._port = port
        self._clock = clock
        self._live: dict[Outgoing, None] = {}  # in the order in which they came
        self._lanes: dict[Hashable, _Lane] = {None: _Lane(None, is_ready=True)}
        self._has_channel = self._is_blocked = self._is_opening = self._is_closed = False
        self._open_from = -math.inf
        self._wake = math.inf
        self._life = {at: (after, self._named(order)) for at, (after, order) in LIFE.items()}

    def _named(self, order: Order) -> Callable[[Outgoing, Any], None]:
        method: Callable[[Outgoing, Any], None] = getattr(self, f"_{order.name.lower()}")
        return method

    def __len__(self) -> int:
        """How many messages wait for their outcome."""
        return len(self._live)

    # ---- what happens: messages

    def submitted(self, message: Outgoing) -> None:
        """Begin to send a message."""
        if message.state is State.DONE:
            return  # it was given up before it came here
        if self._is_closed:
            message.state = State.DONE
            message.settled(message, ClientClosed("the client is closed"))
            return
        self._live[message] = None
        if message.deadline < self._wake:
            self._wake_at(message.deadline)
        lane = self._lane(message)
        if not lane.held and self._is_free(lane):
            self._step(message, _FREE)
        else:
            lane.held[message] = None
            self._pump(lane)

    def departs(self, message: Outgoing) -> bool:
        """The turn of a message has come that waited for it: whether it is to be written. Then it counts as written."""
        if message.state is not State.LEAVING:
            return False
        self._step(message, _WRITTEN)
        return True

    def confirmed(self, message: Outgoing) -> None:
        """The broker has a message safe."""
        self._step(message, _CONFIRMED)

    def returned(self, message: Outgoing) -> None:
        """No queue took a message, and the broker has confirmed that."""
        if self._clock() >= message.waits_until:
            self._step(message, Event.RETURNED)
        else:
            self._step(message, Event.AWAITED, message.kind.returned(message))

    def refused(self, message: Outgoing, error: RpcError) -> None:
        """The broker does not take a message; MessageRefused is told as its kind tells it, any other error as it is.

        A quorum queue that is just being declared refuses too: who waits for a server waits for that.
        """
        if isinstance(error, MessageRefused):
            error = message.kind.rejected(message)
            if message.needs is None and self._clock() < message.waits_until:
                self._step(message, Event.AWAITED, error)
                return
        self._step(message, Event.REFUSED, error)

    def failed(self, message: Outgoing) -> None:
        """The channel of one message went, which other messages do not use."""
        self._step(message, Event.LOST)
        self._pump(self._lane(message))

    def given_up(self, message: Outgoing) -> None:
        """Nobody waits for a message any more; one that was not written is not sent."""
        self._step(message, Event.GIVEN_UP)

    # ---- what happens: the channel

    def opened(self) -> None:
        """There is a channel."""
        self._has_channel, self._is_opening = True, False
        self._pump_all()

    def unreachable(self, error: RpcError) -> None:
        """No channel is to be had: what was never sent ends. What may have been taken waits for another attempt."""
        self._is_opening = False
        self._open_from = self._clock() + REOPEN_PAUSE
        for message in list(self._live):
            if not message.may_be_taken:
                self._step(
                    message, Event.REFUSED, copy.copy(error)
                )  # raised in several threads, one has all their frames
        self._pump_all()

    def lost(self) -> None:
        """The channel went. What waits for its confirm is sent again on the next one, before what was not sent yet."""
        self._has_channel = self._is_opening = False
        for message in list(self._live):
            self._step(message, Event.LOST)
        for lane in self._lanes.values():
            lane.is_ready, lane.is_asked = lane.needs is None, False
            if lane.held:
                lane.held = {message: None for message in self._live if message in lane.held}
        self._pump_all()

    def denied(self, exchange: str, error: RpcError, routing_key: str | None = None) -> None:
        """The broker takes nothing for an exchange, and closed the channel over it: none of the messages was taken.

        Args:
            exchange: which.
            error: what they end with.
            routing_key: those with this one alone are meant; None is all.
        """
        for message in list(self._live):
            if message.exchange == exchange and routing_key in (None, message.routing_key):
                self._step(message, Event.REFUSED, copy.copy(error))

    def blocked(self) -> None:
        """The channel takes no messages for now."""
        self._is_blocked = True

    def free(self) -> None:
        """The channel takes messages again."""
        self._is_blocked = False
        self._pump_all()

    def prepared(self, needs: Hashable) -> None:
        """What the messages of a lane need is there."""
        lane = self._lanes[needs]
        lane.is_ready, lane.is_asked = True, False
        self._pump(lane)

    def unprepared(self, needs: Hashable, error: RpcError) -> None:
        """What the messages of a lane need cannot be had."""
        lane = self._lanes[needs]
        lane.is_asked = False
        for message in list(lane.held):
            self._step(message, Event.REFUSED, copy.copy(error))

    # ---- what happens: time, and the end

    def tick(self) -> None:
        """Do what is due now."""
        now = self._clock()
        self._wake = math.inf
        earliest = math.inf
        for message in list(self._live):
            if message.deadline <= now:
                self._step(message, Event.EXPIRED)
            elif message.deadline < earliest:
                earliest = message.deadline
        self._pump_all()
        self._wake_at(earliest)

    def close(self) -> None:
        """End every message."""
        self._is_closed = True
        for message in list(self._live):
            self._step(message, Event.CLOSED)

    # ---- inside

    def _step(self, message: Outgoing, event: Event, detail: Any = None) -> None:
        """Bring a message to its next state, and have done what is ordered then."""
        change = self._life.get((message.state, event))
        if change is not None:
            message.state, carry_out = change
            carry_out(message, detail)

    def _lane(self, message: Outgoing) -> _Lane:
        lane = self._lanes.get(message.needs)
        if lane is None:
            lane = self._lanes[message.needs] = _Lane(message.needs, is_ready=False)
        return lane

    def _is_free(self, lane: _Lane) -> bool:
        if not self._has_channel or self._is_blocked or not lane.is_ready:
            return False
        return lane.paused_until == -math.inf or lane.paused_until <= self._clock()

    def _pump_all(self) -> None:
        for lane in list(self._lanes.values()):
            self._pump(lane)

    def _pump(self, lane: _Lane) -> None:
        """Send what a lane holds, or do what is missing for that."""
        if not lane.held or self._is_blocked:
            return
        if not self._has_channel:
            self._open()
        elif not lane.is_ready:
            if not lane.is_asked:
                lane.is_asked = True
                self._port.prepare(lane.needs)
        else:
            for message in list(lane.held):
                if not self._is_free(lane):
                    break
                if message in lane.held:
                    del lane.held[message]
                    self._step(message, _FREE)
            if lane.held and lane.paused_until > self._clock():
                self._wake_at(lane.paused_until)

    def _open(self) -> None:
        if self._is_opening or self._is_closed:
            return
        if self._clock() < self._open_from:
            self._wake_at(self._open_from)
        else:
            self._is_opening = True
            self._port.open()

    def _wake_at(self, moment: float) -> None:
        if moment < self._wake:
            self._wake = moment
            self._port.wake_at(moment)

    def _end(self, message: Outgoing, error: RpcError | None) -> None:
        del self._live[message]
        lane = self._lanes[message.needs]
        if lane.held:
            lane.held.pop(message, None)
        message.settled(message, error)

    # ---- inside: orders, by their names

    def _nothing(self, message: Outgoing, _: Any) -> None:
        pass

    def _publish(self, message: Outgoing, _: Any) -> None:
        try:
            is_written = self._port.publish(message)
        except ConnectionError:
            self._step(message, Event.LOST)  # and all others are about to be
        except RpcError as error:
            self._step(message, Event.REFUSED, error)
        else:
            if is_written:
                self._step(message, _WRITTEN)

    def _mark(self, message: Outgoing, _: Any) -> None:
        message.may_be_taken, message.came_back = True, None

    def _hold(self, message: Outgoing, _: Any) -> None:
        self._lanes[message.needs].held[message] = None

    def _hold_again(self, message: Outgoing, _: Any) -> None:
        message.is_again = True
        self._hold(message, None)

    def _pause(self, message: Outgoing, error: RpcError | None) -> None:
        message.may_be_taken, message.came_back = message.is_again, error
        lane = self._lanes[message.needs]
        lane.is_ready = lane.needs is None  # it may have gone
        lane.paused_until = self._clock() + RETURNED_PAUSE
        self._hold(message, None)
        self._wake_at(lane.paused_until)

    def _succeed(self, message: Outgoing, _: Any) -> None:
        self._end(message, None)

    def _come_back(self, message: Outgoing, _: Any) -> None:
        self._end(message, message.kind.returned(message))

    def _fail(self, message: Outgoing, error: RpcError) -> None:
        self._end(message, message.kind.unknown(message, str(error)) if message.is_again else error)

    def _expire(self, message: Outgoing, _: Any) -> None:
        if message.may_be_taken:
            error = message.kind.unknown(message, f"no confirm came within {message.timeout:g} s")
        else:
            error = self._not_sent(message)
        self._end(message, error)

    def _not_sent(self, message: Outgoing) -> RpcError:
        """Why a message was not sent in its time."""
        if message.came_back is not None:
            return message.came_back
        if self._is_blocked:
            why = "the broker takes no messages for now, it is short of memory or disk, or the network is slow"
        elif self._has_channel:
            why = f"the broker did not say in time that what it needs is there ({message.needs})"
        else:
            why = "there was no connection"
        return ConnectionFailed(f"not sent within {message.timeout:g} s: {why}")

    def _close(self, message: Outgoing, _: Any) -> None:
        if message.may_be_taken:
            error = message.kind.unknown(message, "the client was closed before its confirm came")
        else:
            error = ClientClosed("the client was closed before the message could be sent")
        self._end(message, error)

    def _drop(self, message: Outgoing, _: Any) -> None:
        self._live.pop(message, None)  # it may not have come here yet
        self._lane(message).held.pop(message, None)

    def __repr__(self) -> str:
        held = sum(len(lane.held) for lane in self._lanes.values())
        return f"<Outbox: {len(self)} wait for their confirm, {held} of them to be sent>"
