"""What a client has for one queue that calls go to: what is known of its servers, and what waits because of that.

    evidence    is a server there?
    held        the messages that cannot be sent now, in the order in which they came
    packer      the calls that travel together
    given_up    the calls that the servers have to be told of
    reserve     how long a call may wait in the queue

Several queues are several routes of one engine, and share its connection.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from ..deadline import Clock
from ..errors import NoServer, RpcError
from ..settings.client import ClientOptions
from ..wire.many.answer import Understanding
from .evidence import Evidence
from .given_up import GivenUp
from .messages import Call, Message, State
from .packing import Carrier, Packer
from .port import Port
from .reserve import Reserve

ASK_FROM, ASK_UP_TO = 0.15, 0.5
"""Seconds between questions while calls wait and nothing comes; they grow while all is well."""
GATHER = 0.01
"""Seconds for which ids of calls given up are gathered: a hundred thousand time-outs are a hundred messages."""


@dataclass(slots=True)
class Line:
    """The connection of one client, as far as its routes have to know it.

    Attributes:
        callback_queue: the name of the callback queue; None while there is no connection.
        is_opening: whether one was asked for.
        is_blocked: whether it takes no messages for now.
        silent_until: until when the servers are told nothing, in seconds on the clock.
    """

    callback_queue: str | None = None
    is_opening: bool = False
    is_blocked: bool = False
    silent_until: float = -math.inf

    def takes_messages(self) -> bool:
        """Whether it is there, and messages may be written."""
        return self.callback_queue is not None and not self.is_blocked


class Calls(Carrier, Protocol):
    """The client's calls, as far as a route knows them."""

    def calls_to(self, queue: str) -> Iterator[Call]:
        """The calls to a queue that wait for their outcome; none may come or go meanwhile."""
        ...

    def release(self, message: Message, route: Route, *, alone: bool = False) -> None:
        """Send a message that was held; `alone`: at once, and with no other."""
        ...

    def queue_gone(self, route: Route) -> None:
        """The queue was deleted: send again what lay in it."""
        ...

    def end(self, call: Call, error: RpcError) -> None:
        """End a call with an error that is no answer."""
        ...


class Route:
    """One queue that calls go to.

    Attributes:
        name: the queue's.
        understanding: whether its servers know `rpc.map`.
        is_asked: whether the broker has been asked of it, and has not answered yet.
        ask_at: when it is asked again, in seconds on the clock; infinite while nobody needs to know.
    """

    def __init__(self, options: ClientOptions, clock: Clock, line: Line, port: Port, calls: Calls) -> None:
        self.name = options.queue
        self._clock = clock
        self._line = line
        self._port = port
        self._calls = calls
        self.evidence = Evidence(
            clock,
            patience=options.patience,
            wait_for_server=options.wait_for_server,
            appeared=self._appeared,
        )
        self.understanding = Understanding()
        self.packer = (
            Packer(calls, clock, lambda: self.evidence.consumers, self.understanding) if options.pack else None
        )
        self.given_up = GivenUp(clock)
        self.reserve = Reserve()
        self.held: dict[str, Message] = {}
        self.is_asked = False
        self.ask_at = self._tell_at = math.inf
        self._interval = ASK_FROM
        self._missing_before = 0

    # ---- what waits to be sent

    @property
    def is_ready(self) -> bool:
        """Whether a message can be sent now: to a server that is there, and with no other waiting before it."""
        line = self._line
        return not self.held and line.callback_queue is not None and not line.is_blocked and self.evidence.lets_send()

    def hold(self, message: Message) -> None:
        """Have a message wait until it can be sent."""
        self.held[message.message_id] = message

    def pump(self) -> None:
        """Send what waits, or do what is missing for that."""
        line, evidence = self._line, self.evidence
        if not self.held or line.is_blocked:
            return
        if line.callback_queue is None:
            if not line.is_opening:
                line.is_opening = True
                self._port.open()
        elif evidence.lets_send():
            for message in list(self.held.values()):
                if not line.takes_messages():
                    break
                if self.held.pop(message.message_id, None) is not None:
                    self._calls.release(message, self)
        elif evidence.absence is None or self.ask_at == math.inf:
            self.ask()

    # ---- whether a server is there

    def watch(self) -> None:
        """See to it that the broker is asked by and by, because calls wait."""
        self._interval = ASK_FROM
        self._ask_in(ASK_FROM)

    def ask(self) -> None:
        """Ask the broker whether a server is there; by a message, where it does not show the queue."""
        if self.is_asked or not self._line.takes_messages():
            return
        if not self.evidence.is_blind:
            self.is_asked = True
            self._ask_in(self._interval)  # should nothing come of it
            self._port.observe(self.name)
        elif self.evidence.absence is not None and self.held:
            self.is_asked = True
            self._ask_in(self._interval)
            self._missing_before = self.evidence.times_missing
            self._calls.release(self.held.pop(next(iter(self.held))), self, alone=True)
            self._port.settle(self.name)

    def settled(self) -> None:
        """Draw the conclusion from the message that was sent to see whether it stays."""
        if self.evidence.times_missing == self._missing_before:
            self.evidence.taken()
        self.asked()

    def asked(self) -> None:
        """Draw the conclusions from an answer of the broker, and plan the next question."""
        self.is_asked = False
        evidence = self.evidence
        if evidence.absence is not None:
            self._interval = ASK_FROM
            self._give_up_impatient(evidence.absence)
            self._ask_in(evidence.ask_in())
            return
        self._interval = min(2 * self._interval, ASK_UP_TO)
        self._ask_in(self._interval)
        if evidence.queue_was_gone:
            self._calls.queue_gone(self)
        self.pump()

    def _give_up_impatient(self, absence: str) -> None:
        evidence = self.evidence
        for call in list(self._calls.calls_to(self.name)):
            is_sent = call.message is not None and call.message.state is State.SENT
            # Who took what lay in an empty queue may be there yet, and finish it.
            if not (is_sent and evidence.is_doubtful) and evidence.is_over(call.started):
                self._calls.end(call, NoServer(self.name, absence))

    def _ask_in(self, seconds: float) -> None:
        self.ask_at = self._clock() + seconds
        self._calls.wake_at(self.ask_at)

    def _ask_if_need_be(self) -> None:
        """While calls wait and nothing comes, see whether somebody is there to answer them."""
        given_up, evidence = self.given_up, self.evidence
        needs_hearer = given_up.is_keeping if evidence.absence is not None else given_up.is_fresh
        self.ask_at = math.inf
        if not needs_hearer and next(self._calls.calls_to(self.name), None) is None:
            return
        if evidence.lets_send(self._interval):
            self.watch()
            return
        self._ask_in(self._interval)
        self.ask()

    # ---- what the servers are told

    def give_up(self, reply_to: str | None, call_id: str, deadline: float) -> None:
        """Note that nobody waits for a call, or message, that was sent under that callback queue."""
        assert reply_to is not None, "it was sent"
        self.given_up.add(reply_to, call_id, deadline)
        self.tell_soon()

    def tell_soon(self) -> None:
        """Have what is gathered told, together with what comes in the next moment."""
        if self.given_up and self._tell_at == math.inf:
            self._tell_at = self._clock() + GATHER
            self._calls.wake_at(self._tell_at)

    def _tell(self) -> None:
        """Tell what is gathered, if a server is there that hears it."""
        self._tell_at = math.inf
        if not self.given_up or self._line.is_blocked:
            return  # `tell_soon` is called again
        if self._clock() < self._line.silent_until:
            self.given_up.forget()
        elif self._line.callback_queue is None or self.evidence.absence is not None:
            self.given_up.keep()
        else:
            self._port.tell(self.given_up.take())

    def _appeared(self) -> None:
        """A server came that may know of nothing: it is told of what was given up before."""
        self.given_up.recall()
        self.tell_soon()

    # ---- what happens

    def lost(self) -> None:
        """The connection went."""
        self.is_asked = False
        self.given_up.forget()
        if self.packer is not None:
            self.packer.forget()

    def tick(self, now: float) -> None:
        """Do what is due now."""
        if self.packer is not None:
            self.packer.tick(now)
            self._calls.wake_at(self.packer.next_wave)
        if self._tell_at <= now:
            self._tell()
        if self.ask_at <= now:
            self._ask_if_need_be()
        self._calls.wake_at(min(self._tell_at, self.ask_at))

    def close(self) -> None:
        """Tell what is gathered, and do nothing more."""
        if self.packer is not None:
            self.packer.forget()
        self.ask_at = math.inf
        self._tell()

    def __repr__(self) -> str:
        return f"<Route to {self.name!r}: {len(self.held)} held, {self.evidence!r}>"
