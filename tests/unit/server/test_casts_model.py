"""Any course of events with casts, in memory and in no time: a broker, two servers, their sessions and workers.

What holds whatever happens: a delivery is acked at most once, and only when its cast was done, or the broker has what
stands for it; what must not run twice does not; and when all is quiet again each cast was done or is a letter.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from support.cast import DONE, CastConsumer, CastServer, CastSession, failed
from support.examples import examples
from support.served import EXIT

from rpcsvc.amqp.confirms import Confirms
from rpcsvc.amqp.confirms import Outcome as Confirmed
from rpcsvc.amqp.messages import Delivery
from rpcsvc.server import casts
from rpcsvc.server.asked import Asked
from rpcsvc.server.casts import Cast, Parcel
from rpcsvc.server.engine import TABLE
from rpcsvc.server.message import Event, State
from rpcsvc.wire.names import AGAIN
from rpcsvc.workers.work import Expired, Lost, Outcome, Work

SERVERS = 2
METHODS = ("once", "f", "often")


@dataclass(frozen=True, eq=False)
class Stored:
    """A message that the broker has."""

    cast_id: str
    headers: Mapping[str, Any] = field(default_factory=dict)
    redelivered: bool = False


@dataclass(eq=False)
class Wired:
    """What a session has published, until it is confirmed."""

    tag: int
    cast_id: str
    parcel: Parcel
    headers: Mapping[str, Any]
    is_stored: bool = False


class ModelSession(CastSession):
    """A session whose broker keeps count; its messages are numbered and confirmed as those of a channel are."""

    model: World

    def open(self, model: World) -> ModelSession:
        self.model, self.wire, self._confirms = model, list[Wired](), Confirms()
        self._published, self._publish = 0, self._confirms.told(self._write)
        return self

    def _write(self, wired: Wired) -> None:
        self._published += 1
        wired.tag = self._published
        self.wire.append(wired)

    def send(self, cast: Cast, parcel: Parcel, *, marked: bool = False) -> None:
        assert not self.is_lost, "published on a lost session"
        headers = {**parcel.headers[0], AGAIN: True} if marked and parcel.seconds is not None else parcel.headers[0]
        cast_id = cast.delivery.message_id or ""

        def settled(known: Confirmed) -> None:
            if known is None:
                self.engine.confirmed(cast)
            elif cast.state == State.COPYING:
                self.send(cast, parcel, marked=True)

        self._publish(settled, Wired(0, cast_id, parcel, headers))

    def settle(self, wired: Wired, *, taken: bool) -> None:
        """The broker's word on one of them."""
        self.wire.remove(wired)
        (self._confirms.confirmed if taken else self._confirms.refused)(wired.tag, multiple=False)

    def ack(self, consumer: Any, delivery: Delivery) -> bool:
        assert not self.is_lost, "an ack on a lost session"
        self.model.acked(self, delivery)
        return True


class World:
    """A broker, and the sessions and workers around the engines of two servers."""

    def __init__(self, *, counts: bool = True) -> None:
        self.counts_deliveries = counts
        self.methods: dict[str, str] = {}
        self.done: set[str] = set()
        self.letters: list[str] = []
        self.queue: list[Stored] = []
        self.waiting: list[tuple[float, Stored]] = []
        self.unacked: dict[tuple[CastSession, int], Stored] = {}
        self.ever_acked: set[tuple[CastSession, int]] = set()
        self.runs: Counter[str] = Counter()
        self.now = 100.0
        self.servers = [CastServer() for _ in range(SERVERS)]
        self.sessions: list[ModelSession | None] = [None] * SERVERS
        self.running: list[dict[Work, str]] = [{} for _ in range(SERVERS)]
        for index in range(SERVERS):
            self.session_opens(index)

    # ---- sessions

    def session_opens(self, index: int) -> None:
        index %= SERVERS
        server = self.servers[index]
        if self.sessions[index] is None:
            session = ModelSession(server.engine).open(self)
            self.sessions[index], server.casting, server.cast_consumer = session, session, CastConsumer()

    def session_is_lost(self, index: int, *, tell: bool = True) -> None:
        index %= SERVERS
        session = self.sessions[index]
        if session is None:
            return
        self.sessions[index] = None
        if tell:
            session.lose()
        for key in [key for key in self.unacked if key[0] is session]:
            self._give_back(key)

    def _give_back(self, key: tuple[CastSession, int]) -> None:
        stored = self.unacked.pop(key)
        headers = dict(stored.headers)
        if self.counts_deliveries:
            headers["x-delivery-count"] = headers.get("x-delivery-count", 0) + 1
        self.queue.insert(0, replace(stored, redelivered=True, headers=headers))

    def server_is_killed(self, index: int) -> None:
        index %= SERVERS
        self.session_is_lost(index, tell=False)
        server = self.servers[index] = CastServer()
        server.now = self.now
        self.running[index].clear()
        self.session_opens(index)

    def server_drains(self, index: int) -> None:
        session = self.sessions[index % SERVERS]
        if session is not None:
            session.engine.drain(session)

    def consumer_is_ended(self, index: int) -> None:
        """RabbitMQ 4.3 does that over what is held for too long: it comes again, and the ack of the first is void."""
        if self.unacked:
            self._give_back(list(self.unacked)[index % len(self.unacked)])

    # ---- messages

    def cast(self, which: int) -> None:
        cast_id = str(len(self.methods))
        self.methods[cast_id] = METHODS[which % 3]
        self.queue.append(Stored(cast_id))

    def publisher_sends_again(self, which: int) -> None:
        """Its connection went before the confirm."""
        if self.methods:
            self.queue.append(Stored(list(self.methods)[which % len(self.methods)], {AGAIN: True}))

    def delivery(self, index: int) -> None:
        index %= SERVERS
        session, server = self.sessions[index], self.servers[index]
        if session is None or session.draining or not self.queue:
            return
        stored = self.queue.pop(0)
        self.unacked[session, server.next_tag] = stored
        server.come(
            self.methods[stored.cast_id],
            message_id=stored.cast_id,
            redelivered=stored.redelivered,
            headers=stored.headers,
        )

    def acked(self, session: CastSession, delivery: Delivery) -> None:
        key, cast_id = (session, delivery.delivery_tag), delivery.message_id or ""
        assert key not in self.ever_acked, "a delivery is acked twice"
        self.ever_acked.add(key)
        self.unacked.pop(key, None)
        assert cast_id in self.done or self.has(cast_id), "acked, and nothing stands for it"

    def has(self, cast_id: str) -> bool:
        """Whether the broker has a message of it."""
        stored = [*self.queue, *self.unacked.values(), *(each for _, each in self.waiting)]
        return cast_id in self.letters or any(each.cast_id == cast_id for each in stored)

    def _wired(self, index: int) -> tuple[ModelSession, list[Wired]] | None:
        session = self.sessions[index % SERVERS]
        return None if session is None or not session.wire else (session, session.wire)

    def broker_stores(self, index: int) -> None:
        """Messages go to different queues, so a later one may be there before an earlier one."""
        if (found := self._wired(index)) is not None:
            _, wire = found
            wired = wire[index // SERVERS % len(wire)]
            if not wired.is_stored:
                wired.is_stored = True
                self._store(wired)

    def _store(self, wired: Wired) -> None:
        seconds = wired.parcel.seconds
        if seconds is None:
            self.letters.append(wired.cast_id)
        elif seconds == 0:
            self.queue.append(Stored(wired.cast_id, wired.headers))
        else:
            self.waiting.append((self.now + seconds, Stored(wired.cast_id, wired.headers)))

    def broker_confirms(self, index: int) -> None:
        if (found := self._wired(index)) is not None:
            session, wire = found
            stored = [wired for wired in wire if wired.is_stored]
            if stored:
                session.settle(stored[index // SERVERS % len(stored)], taken=True)

    def broker_refuses(self, index: int) -> None:
        """It may be there all the same: a queue that fails does not know."""
        if (found := self._wired(index)) is not None:
            session, wire = found
            session.settle(wire[index // SERVERS % len(wire)], taken=False)

    # ---- workers

    def worker_takes_one(self, index: int) -> None:
        index %= SERVERS
        work = next((work for work in self.servers[index].workers.open if work not in self.running[index]), None)
        if work is None:
            return
        if not work.may_start:
            work.end(Expired())
            return
        assert isinstance(work.done.args[0], Cast)  # type: ignore[attr-defined]
        cast_id = self.running[index][work] = work.done.args[0].delivery.message_id  # type: ignore[attr-defined]
        self.runs[cast_id] += 1
        assert self.methods[cast_id] != "once" or self.runs[cast_id] == 1, "what must not run twice ran twice"

    def _end(self, index: int, outcome: Outcome) -> None:
        running = self.running[index % SERVERS]
        while running:
            work = next(iter(running))
            cast_id = running.pop(work)
            if not work.is_over:
                if outcome is DONE:
                    self.done.add(cast_id)
                if outcome is LATER:
                    self.runs[cast_id] -= 1  # nothing was done, as it says itself
                work.end(outcome)
                return

    def worker_has_done_it(self, index: int) -> None:
        self._end(index, DONE)

    def function_raises(self, index: int) -> None:
        self._end(index, RAISED)

    def function_asks_for_another_time(self, index: int) -> None:
        self._end(index, LATER)

    def one_asks_for_another_time(self, index: int) -> None:
        """From its delivery on, without a pause."""
        for act in (self.delivery, self.worker_takes_one, self.function_asks_for_another_time):
            act(index)

    def one_comes_back(self, index: int) -> None:
        """It asks for another time, and that comes."""
        for act in (self.one_asks_for_another_time, self.broker_stores, self.broker_confirms):
            act(index)
        self.time_passes(60)

    def worker_dies(self, index: int) -> None:
        self._end(index, Lost(EXIT, index % 4 < 2, 0))

    # ---- time

    def time_passes(self, tenths: int) -> None:
        self.now += tenths / 40
        for server in self.servers:
            server.wait(tenths / 40)
        due = [each for at, each in self.waiting if at <= self.now]
        self.waiting = [(at, each) for at, each in self.waiting if at > self.now]
        for stored in due:
            if "x-death" not in stored.headers:  # RabbitMQ takes it for one that goes round in a circle, and drops it
                self.queue.append(replace(stored, headers={**stored.headers, "x-death": [{"reason": "expired"}]}))

    def come_to_rest(self) -> None:
        """Everybody connects, everything is delivered, done and confirmed."""
        for index, session in enumerate(self.sessions):
            if session is not None and session.draining:
                self.session_is_lost(index)
            self.session_opens(index)
        acts = (self.delivery, self.worker_takes_one, self.worker_has_done_it)
        for _ in range(2 * (len(self.methods) + len(self.queue) + len(self.waiting) + len(self.unacked)) + 2):
            for index in range(SERVERS):
                for act in (*acts, self.broker_stores, self.broker_confirms):
                    act(index)
            self.time_passes(255)
        for cast_id, method in self.methods.items():
            assert cast_id in self.done or cast_id in self.letters, f"cast {cast_id} of {method} was lost"
        assert not self.queue
        assert not self.waiting
        assert not self.unacked, "a delivery is forgotten"
        for server in self.servers:
            assert not server.engine.register.messages


@pytest.fixture(scope="module", autouse=True)
def quiet() -> Iterator[None]:
    """Thousands of courses have nothing to tell."""
    log = logging.getLogger("rpcsvc.server.casts")
    log.setLevel(logging.CRITICAL)
    yield
    log.setLevel(logging.NOTSET)


RAISED, LATER = failed(), failed(1.0)
Act: TypeAlias = Callable[[World, int], None]
OFTEN: Sequence[Act] = (
    World.cast,
    World.delivery,
    World.delivery,
    World.worker_takes_one,
    World.worker_takes_one,
    World.worker_has_done_it,
    World.one_asks_for_another_time,
    World.one_comes_back,
    World.one_comes_back,
    World.time_passes,
    World.broker_stores,
    World.broker_stores,
    World.broker_confirms,
    World.session_opens,
)
SELDOM: Sequence[Act] = (
    World.broker_refuses,
    World.function_asks_for_another_time,
    World.function_raises,
    World.worker_dies,
    World.session_is_lost,
    World.server_is_killed,
    World.server_drains,
    World.consumer_is_ended,
    World.publisher_sends_again,
    World.time_passes,
    World.time_passes,
)
ACTS = (*OFTEN, *OFTEN, *SELDOM)
BOUNDED = examples(300)


def lives(course: bytes) -> None:
    """The world goes its course: each two bytes are an act, and where."""
    world = World(counts=course[0] % 2 == 0)
    for act, where in zip(course[1::2], course[2::2], strict=False):
        ACTS[act % len(ACTS)](world, where)
    world.come_to_rest()


COURSES = st.binary(min_size=40, max_size=240)


@BOUNDED
@given(COURSES)
def test_whatever_happens_each_cast_is_done_or_a_letter_and_none_too_often(course: bytes) -> None:
    lives(course)


# ---- and it finds what is wrong


def ack_before_the_confirm_of_the_copy(patch: pytest.MonkeyPatch) -> None:
    for state in (State.NEW, State.WORKING):
        for event in (Event.AGAIN, Event.DEAD):
            then, orders = TABLE[state][event]
            patch.setitem(TABLE[state], event, (then, ("ack", *orders)))
    patch.setitem(TABLE[State.COPYING], Event.CONFIRMED, (State.OVER, ("forget", "sent")))


def a_retry_keeps_x_death(patch: pytest.MonkeyPatch) -> None:
    def kept(headers: Mapping[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in headers.items() if name == "x-death"}

    patch.setattr(casts, "kept_headers", kept)


def a_confirm_is_believed_for_the_wrong_tag(patch: pytest.MonkeyPatch) -> None:
    confirmed = Confirms.confirmed

    def of_the_oldest(self: Confirms, tag: int, *, multiple: bool) -> None:
        confirmed(self, next(iter(self._waiting), tag), multiple=multiple)

    patch.setattr(Confirms, "confirmed", of_the_oldest)


def what_must_not_run_twice_runs_when_it_comes_again(patch: pytest.MonkeyPatch) -> None:
    read = Asked.read

    def kindly(body: bytes, functions: Any, **options: Any) -> Asked:
        return read(body, {name: replace(served, idempotent=True) for name, served in functions.items()}, **options)

    patch.setattr(Asked, "read", kindly)


def a_copy_is_taken_for_what_it_is_a_copy_of(patch: pytest.MonkeyPatch) -> None:
    came = casts.Casts._comes_again

    def comes_again(self: casts.Casts, cast: Cast) -> bool:
        assert cast.key is not None
        cast.key = (*cast.key[:2], "0")
        return came(self, cast)

    patch.setattr(casts.Casts, "_comes_again", comes_again)


def a_copy_that_was_not_confirmed_is_made_again(patch: pytest.MonkeyPatch) -> None:
    again = casts.Casts._again

    def keeping(self: casts.Casts, cast: Cast, seconds: float) -> None:
        response = cast.response
        cast.carrier.send, send = (
            lambda *args: (setattr(cast, "response", response), send(*args))[1],
            cast.carrier.send,
        )
        again(self, cast, seconds)
        cast.carrier.send = send

    patch.setattr(casts.Casts, "_again", keeping)


def acks_of_what_was_copied_are_forgotten(patch: pytest.MonkeyPatch) -> None:
    patch.setitem(TABLE[State.COPYING], Event.CONFIRMED, (State.OVER, ("forget", "sent")))


@pytest.mark.parametrize(
    ("bug", "sentence"),
    [
        (ack_before_the_confirm_of_the_copy, "nothing stands for it"),
        (a_retry_keeps_x_death, "was lost|nothing stands for it"),
        (a_confirm_is_believed_for_the_wrong_tag, "nothing stands for it"),
        (what_must_not_run_twice_runs_when_it_comes_again, "ran twice"),
        (a_copy_is_taken_for_what_it_is_a_copy_of, "nothing stands for it|was lost"),
        (a_copy_that_was_not_confirmed_is_made_again, "ran twice"),
        (acks_of_what_was_copied_are_forgotten, "forgotten"),
    ],
)
def test_a_planted_bug_is_found(
    bug: Callable[[pytest.MonkeyPatch], None], sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bug(monkeypatch)
    search = settings(examples(2000), phases=[Phase.generate], report_multiple_bugs=False)
    with pytest.raises(AssertionError, match=sentence):
        search(given(COURSES)(lives))()
