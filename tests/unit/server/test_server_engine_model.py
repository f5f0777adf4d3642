"""Any course of events, in memory and in no time: servers, their sessions and workers come and go under their calls.

What holds whatever happens: a delivery is acked at most once, and only when its caller was answered or waits no more; a
call that must not run twice does not; and when all is quiet again every caller has an answer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from mapped import map_body
from support.examples import examples
from support.served import EXIT, Consumer, Server, Session

from rpcsvc.amqp.messages import Delivery
from rpcsvc.server.asked import Asked
from rpcsvc.server.engine import TABLE
from rpcsvc.server.message import Event, State
from rpcsvc.wire import jsonrpc
from rpcsvc.wire.control import Cancel
from rpcsvc.wire.names import MAP, SENT_AGAIN
from rpcsvc.workers.work import Answer, Expired, Lost, Work

LARGE = 2000
SERVERS = 2
TIMEOUT = 20.0


@dataclass(eq=False)
class Published:
    """A message in the queue, as its publisher sent it."""

    call_id: str
    method: str
    redelivered: bool = False
    mark: str | None = None


@dataclass(eq=False)
class Caller:
    """Who waits for a call."""

    method: str
    until: float
    gave_up: bool = False
    replies: list[bytes] = field(default_factory=list)


class ModelSession(Session):
    """A session whose broker keeps count."""

    model: World

    def publish(self, consumer: Any, reply_to: str, response: bytes, correlation_id: str | None) -> None:
        assert not self.is_lost, "a reply on a lost session"
        assert reply_to == "q"
        self.model.replied(correlation_id or "", response)

    def publish_alone(self, reply_to: str, response: bytes, call_id: str) -> None:
        self.publish(None, reply_to, response, call_id)

    def ack(self, consumer: Any, delivery: Delivery) -> bool:
        assert not self.is_lost, "an ack on a lost session"
        self.model.acked(self, delivery)
        return True

    def end_consumer(self, consumer: Any, then: Callable[[], None]) -> None:
        then()


class World:
    """A broker, callers, and the sessions and workers around the engines of two servers."""

    def __init__(self) -> None:
        self.callers: dict[str, Caller] = {}
        self.packs: dict[str, list[str]] = {}  # the calls of each message of several
        self.queue: list[Published] = []
        self.unacked: dict[tuple[Session, int], Published] = {}
        self.ever_acked: set[tuple[Session, int]] = set()
        self.started: Counter[str] = Counter()
        self.now = 100.0
        self.servers = [self._server() for _ in range(SERVERS)]
        self.sessions: list[ModelSession | None] = [None] * SERVERS
        self.running: list[dict[Work, str]] = [{} for _ in range(SERVERS)]
        for index in range(SERVERS):
            self.session_opens(index)

    def _server(self) -> Server:
        server = Server(prefetch=3)
        server.now = self.now
        return server

    # ---- sessions

    def session_opens(self, index: int) -> None:
        index %= SERVERS
        if self.sessions[index] is None:
            session = ModelSession(self.servers[index].engine, surely=LARGE // 2)
            session.model = self
            self.sessions[index] = self.servers[index].session = session
            self.servers[index].consumer = Consumer()

    def session_is_lost(self, index: int, *, tell: bool = True) -> None:
        index %= SERVERS
        session = self.sessions[index]
        if session is None:
            return
        self.sessions[index] = None
        if tell:
            session.lose()
        for key in [key for key in self.unacked if key[0] is session]:
            self.queue.insert(0, replace(self.unacked.pop(key), redelivered=True))

    def server_is_killed(self, index: int) -> None:
        index %= SERVERS
        self.session_is_lost(index, tell=False)
        self.servers[index] = self._server()
        self.running[index].clear()
        self.session_opens(index)

    def server_drains(self, index: int) -> None:
        session = self.sessions[index % SERVERS]
        if session is not None:
            session.engine.drain(session)

    # ---- deliveries

    def delivery(self, index: int) -> None:
        index %= SERVERS
        session, server = self.sessions[index], self.servers[index]
        if session is None or session.draining or not self.queue:
            return
        published = self.queue.pop(0)
        left = min(caller.until for caller in self.waiting_for(published.call_id)) - self.now
        if left <= 0:
            return  # the broker drops it
        self.unacked[session, server.next_tag] = published
        pack = self.packs.get(published.call_id)
        server.deliver(
            map_body(rows=[[n] for n in range(len(pack))], ids=pack)
            if pack
            else jsonrpc.encode_request(published.call_id, published.method, b"[]"),
            kind=MAP if pack else None,
            call_id=published.call_id,
            redelivered=published.redelivered,
            mark=published.mark,
            expiration=str(int(left * 1000)),
        )

    def acked(self, session: Session, delivery: Delivery) -> None:
        key = (session, delivery.delivery_tag)
        assert key not in self.ever_acked, "a delivery is acked twice"
        self.ever_acked.add(key)
        self.unacked.pop(key, None)
        for caller in self.waiting_for(delivery.correlation_id or ""):
            assert caller.replies or caller.gave_up or caller.until <= self.now, "acked, and nobody was answered"

    def waiting_for(self, message_id: str) -> list[Caller]:
        return [self.callers[call_id] for call_id in self.packs.get(message_id, [message_id])]

    def replied(self, message_id: str, response: bytes) -> None:
        for caller in self.waiting_for(message_id):
            caller.replies.append(response)

    def broker_has_a_large_reply(self, index: int) -> None:
        session = self.sessions[index % SERVERS]
        for message in [] if session is None else session.confirming:
            if message.state == State.CONFIRMING and message.carrier is session:
                if not all(caller.gave_up for caller in self.waiting_for(message.delivery.correlation_id or "")):
                    self.replied(message.delivery.correlation_id or "", message.response or b"")
                session.engine.confirmed(message)
                return

    def consumer_is_ended(self, index: int) -> None:
        """RabbitMQ 4.3 does that over what is held for too long: it comes again, and the ack of the first is void."""
        if self.unacked:
            key = list(self.unacked)[index % len(self.unacked)]
            self.queue.insert(0, replace(self.unacked.pop(key), redelivered=True))

    def queue_is_deleted(self, _: int) -> None:
        """What lay in it is sent again by its caller, and marked."""
        self.queue = [replace(each, mark=SENT_AGAIN, redelivered=False) for each in self.queue]

    # ---- workers

    def worker_takes_one(self, index: int) -> None:
        index %= SERVERS
        work = next((work for work in self.servers[index].workers.open if work not in self.running[index]), None)
        if work is None:
            return
        if not work.may_start:
            work.end(Expired())
            return
        request = jsonrpc.parse(work.body)
        assert isinstance(request, jsonrpc.Request)
        call_id = self.running[index][work] = str(request.id)
        if request.method == "once":
            self.started[call_id] += 1
            assert self.started[call_id] == 1, "a call that must not run twice ran twice"
        if request.method == MAP:
            self.servers[index].workers.running[work] = len(self.callers) % 3

    def _end(self, index: int, outcome: Answer | Lost | None, size: int = 10) -> None:
        running = self.running[index % SERVERS]
        while running:
            work = next(iter(running))
            call_id = running.pop(work)
            if not work.is_over:
                work.end(outcome or Answer(jsonrpc.encode_result(call_id, "x" * size), 1))
                return

    def worker_answers(self, index: int) -> None:
        self._end(index, None)

    def worker_answers_at_length(self, index: int) -> None:
        self._end(index, None, LARGE)

    def worker_dies(self, index: int) -> None:
        self._end(index, Lost(EXIT, index % 4 < 2, index % 3))

    # ---- callers

    def call(self, which: int) -> None:
        call_id = str(len(self.callers))
        method = ("once", "f", "twice")[which % 3]
        self.callers[call_id] = Caller(method, self.now + TIMEOUT)
        self.queue.append(Published(call_id, method))

    def pack(self, which: int) -> None:
        """Calls that travel together."""
        pack_id = f"pack {len(self.packs)}"
        self.packs[pack_id] = [f"{pack_id} {n}" for n in range(2 + which % 2)]
        self.callers |= {call_id: Caller("f", self.now + TIMEOUT) for call_id in self.packs[pack_id]}
        self.queue.append(Published(pack_id, MAP))

    def caller_gives_up(self, which: int) -> None:
        waiting = [call_id for call_id, caller in self.callers.items() if not caller.gave_up and not caller.replies]
        if waiting:
            call_id = waiting[which % len(waiting)]
            self.callers[call_id].gave_up = True
            packs = [pack_id for pack_id, pack in self.packs.items() if call_id in pack]
            given_up = [call_id, *(each for each in packs if all(caller.gave_up for caller in self.waiting_for(each)))]
            for server in self.servers:
                server.engine.cancelled(Cancel("q", given_up, TIMEOUT))

    def time_passes(self, tenths: int) -> None:
        self.now += tenths / 40
        for server in self.servers:
            server.wait(tenths / 40)

    # ---- the end

    def come_to_rest(self) -> None:
        """Everybody connects, everything is delivered, computed and answered."""
        for index, session in enumerate(self.sessions):
            if session is not None and session.draining:
                self.session_is_lost(index)
            self.session_opens(index)
        for index in range(SERVERS):
            for act in (self.delivery, self.worker_takes_one, self.worker_answers, self.broker_has_a_large_reply):
                for _ in range(len(self.callers) + len(self.packs) + 1):
                    act(index)
        assert not self.queue
        assert not self.unacked, "a delivery is forgotten"
        for call_id, caller in self.callers.items():
            waits = not caller.gave_up and caller.until > self.now
            assert caller.replies or not waits, f"call {call_id} of {caller.method} was not answered"
        for server in self.servers:
            assert not server.engine.register.messages
            assert not server.engine.register.calls


Act: TypeAlias = Callable[[World, int], None]
OFTEN: Sequence[Act] = (
    World.call,
    World.pack,
    World.delivery,
    World.delivery,
    World.worker_takes_one,
    World.worker_takes_one,
)
OFTEN = (*OFTEN, World.worker_answers, World.session_opens, World.broker_has_a_large_reply)
SELDOM: Sequence[Act] = (
    World.worker_answers_at_length,
    World.worker_dies,
    World.session_is_lost,
    World.server_is_killed,
    World.server_drains,
    World.consumer_is_ended,
    World.queue_is_deleted,
    World.caller_gives_up,
    World.time_passes,
)
ACTS = (*OFTEN, *OFTEN, *SELDOM)
BOUNDED = examples(300)


def lives(course: bytes) -> None:
    """The world goes its course: each two bytes are an act, and where."""
    world = World()
    for act, where in zip(course[::2], course[1::2], strict=False):
        ACTS[act % len(ACTS)](world, where)
    world.come_to_rest()


COURSES = st.binary(min_size=40, max_size=240)


@BOUNDED
@given(COURSES)
def test_whatever_happens_nothing_is_lost_or_done_twice(course: bytes) -> None:
    lives(course)


# ---- and it finds what is wrong


def ack_before_the_reply(patch: pytest.MonkeyPatch) -> None:
    for rows in TABLE.values():
        for event, (then, orders) in list(rows.items()):
            patch.setitem(rows, event, (then, tuple(order for order in orders if order != "ack")))
    for state in (State.NEW, State.ASKING):
        then, orders = TABLE[state][Event.ACCEPTED]
        patch.setitem(TABLE[state], Event.ACCEPTED, (then, ("ack", *orders)))


def ack_before_the_confirm(patch: pytest.MonkeyPatch) -> None:
    then, orders = TABLE[State.WORKING][Event.LARGE_REPLY]
    patch.setitem(TABLE[State.WORKING], Event.LARGE_REPLY, (then, ("ack", *orders)))
    patch.setitem(TABLE[State.CONFIRMING], Event.CONFIRMED, (State.OVER, ("forget",)))


def retry_of_what_must_not_run_twice(patch: pytest.MonkeyPatch) -> None:
    read = Asked.read

    def read_kindly(body: bytes, functions: Any) -> Asked:
        return read(body, {name: replace(served, idempotent=True) for name, served in functions.items()})

    patch.setattr(Asked, "read", read_kindly)


def orphans_do_not_move_to_where_they_come_again(patch: pytest.MonkeyPatch) -> None:
    patch.delitem(TABLE[State.ORPHAN], Event.REDELIVERED)


def orphans_that_did_not_run_are_kept_as_if_they_had(patch: pytest.MonkeyPatch) -> None:
    patch.setitem(TABLE[State.ORPHAN], Event.NOT_RUN, (State.OVER, ("forget", "keep")))


def acks_of_what_was_stopped_are_forgotten(patch: pytest.MonkeyPatch) -> None:
    patch.setitem(TABLE[State.STOPPING], Event.NO_REPLY, (State.OVER, ("forget",)))


def acks_of_what_came_again_are_doubled(patch: pytest.MonkeyPatch) -> None:
    then, orders = TABLE[State.WORKING][Event.REPLY]
    patch.setitem(TABLE[State.WORKING], Event.REPLY, (then, (*orders, "ack")))


@pytest.mark.parametrize(
    ("bug", "sentence"),
    [
        (ack_before_the_reply, "nobody was answered"),
        (ack_before_the_confirm, "nobody was answered"),
        (retry_of_what_must_not_run_twice, "ran twice"),
        (orphans_do_not_move_to_where_they_come_again, "forgotten"),
        (orphans_that_did_not_run_are_kept_as_if_they_had, "nobody was answered"),
        (acks_of_what_was_stopped_are_forgotten, "forgotten"),
        (acks_of_what_came_again_are_doubled, "acked twice"),
    ],
)
def test_a_planted_bug_is_found(
    bug: Callable[[pytest.MonkeyPatch], None], sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bug(monkeypatch)
    search = settings(examples(1000), phases=[Phase.generate], report_multiple_bugs=False)
    with pytest.raises(AssertionError, match=sentence):
        search(given(COURSES)(lives))()
