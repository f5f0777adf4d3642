"""Any history of messages and faults, in memory and in virtual time: each ends once, in time, and truly.

Channels go, confirms are late or never come, the broker refuses, is blocked, or is away. The broker of this model
notes what it has; what a sender is told must agree with that.
"""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.examples import examples
from support.outboxes import OutboxWorld

from rpcsvc.client.outbox import Outbox
from rpcsvc.client.outgoing import Outgoing, State
from rpcsvc.errors import CastRejected, CastUnknown, ClientClosed, ConnectionFailed, MessageRefused, NoServer


class History:
    """A broker with one queue behind an outbox.

    It takes what is written after a while, in its order; what it has to say of that comes later, in any order.
    """

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.world = OutboxWorld()
        self.posted: list[Outgoing] = []
        self.has: list[tuple[str, bool]] = []  # message_id, and whether it was marked
        self.on_the_way: list[tuple[Outgoing, bool]] = []
        self.to_say: list[tuple[str, Outgoing]] = []
        self.is_up = self.has_queue = True
        self.is_full = False
        self._seen = 0

    def step(self, kind: str, *said: Any) -> None:
        getattr(self, kind)(*said)
        self._meet()

    def post(self, count: int, timeout: float) -> None:
        for _ in range(count):
            needs = self.random.choice([None, None, "levels"])
            self.posted.append(self.world.post(timeout=timeout, needs=needs))

    def wait(self, seconds: float) -> None:
        self.world.pass_time(seconds)

    def say(self) -> None:
        """The broker takes what is on the way, and says what it has to say, as far as it comes to either."""
        until = self.random.randrange(len(self.on_the_way) + 1)
        here, self.on_the_way = self.on_the_way[:until], self.on_the_way[until:]
        for message, marked in here:
            if not self.has_queue:
                self.to_say.append(("returned", message))
            elif self.is_full:
                self.to_say.append(("refused", message))
            else:
                self.has.append((message.message_id, marked))
                self.to_say.append(("confirmed", message))
        self.random.shuffle(self.to_say)
        keep = self.random.randrange(len(self.to_say) + 1)
        said, self.to_say = self.to_say[keep:], self.to_say[:keep]
        for what, message in said:
            match what:
                case "confirmed":
                    self.world.outbox.confirmed(message)
                case "returned":
                    self.world.outbox.returned(message)
                case _:
                    self.world.outbox.refused(message, MessageRefused("full"))

    def lose(self) -> None:
        """The channel goes; what is on the way may have been taken."""
        taken = self.on_the_way[: self.random.randrange(len(self.on_the_way) + 1)]
        if self.has_queue and not self.is_full:
            self.has += [(message.message_id, marked) for message, marked in taken]
        self.on_the_way, self.to_say = [], []
        self.world.outbox.lost()

    def away(self, is_away: bool) -> None:
        self.is_up = not is_away
        if is_away:
            self.lose()

    def block(self, is_blocked: bool) -> None:
        (self.world.outbox.blocked if is_blocked else self.world.outbox.free)()

    def queue(self, has_queue: bool, is_full: bool) -> None:
        self.has_queue, self.is_full = has_queue, is_full

    def give_up(self, number: int) -> None:
        if number < len(self.posted):
            self.world.outbox.given_up(self.posted[number])

    def _meet(self) -> None:
        """What the outbox wants is done."""
        world, opens, prepares = self.world, -1, -1
        while (opens, prepares) != (world.opens, len(world.prepares)):
            if self._seen < world.opens:
                self._seen = world.opens
                if self.is_up:
                    world.outbox.opened()
                else:
                    world.outbox.unreachable(ConnectionFailed("nobody listens"))
            opens, prepares = world.opens, len(world.prepares)
            if self.is_up and world.prepares:
                world.prepares.clear()
                prepares = 0
                world.outbox.prepared("levels")
        self.on_the_way += zip(world.written, world.marks, strict=True)
        world.written.clear(), world.marks.clear()

    def check(self) -> None:
        self.step("wait", 1000.0)
        self.step("say")
        ends = dict(self.world.ends)
        assert len(self.world.outbox) == 0
        for message in self.posted:
            assert message.state is State.DONE
            copies = [marked for message_id, marked in self.has if message_id == message.message_id]
            assert not any(not marked for marked in copies[1:]), "a double that is not marked"
            if message not in ends:
                continue  # it was given up
            match ends[message]:
                case None:
                    assert copies, "it is said to be safe, and nobody has it"
                case CastUnknown():
                    pass
                case CastRejected() | ClientClosed() | ConnectionFailed():
                    assert not copies, f"it is said not to be there: {ends[message]!r}"
                case error:
                    assert isinstance(error, NoServer)


STEPS = st.one_of(
    st.tuples(st.just("post"), st.integers(1, 10), st.floats(0.1, 20.0)),
    st.tuples(st.just("wait"), st.floats(0.0, 3.0)),
    st.tuples(st.sampled_from(["say", "say", "lose"])),
    st.tuples(st.sampled_from(["away", "block"]), st.booleans()),
    st.tuples(st.just("queue"), st.booleans(), st.booleans()),
    st.tuples(st.just("give_up"), st.integers(0, 30)),
)


@examples(300)
@given(seed=st.integers(0, 2**32), steps=st.lists(STEPS, max_size=30))
def test_every_message_ends_once_in_time_and_truly(seed: int, steps: list[Any]) -> None:
    history = History(seed)
    for step in steps:
        history.step(*step)
    history.check()


# ---- the model finds bugs that are planted into the outbox --------------------------------------------------------

LOSSES: list[Any] = [("post", 10, 30.0), ("lose",), ("say",), ("post", 5, 30.0), ("say",)] * 4
FULL: list[Any] = [*LOSSES, ("queue", True, True), *LOSSES]


def is_caught(steps: list[Any]) -> bool:
    for seed in range(20):
        history = History(seed)
        try:
            for step in steps:
                history.step(*step)
            history.check()
        except AssertionError:
            return True
    return False


@pytest.mark.parametrize("steps", [LOSSES, FULL], ids=["losses", "full"])
def test_without_a_bug_nothing_is_caught(steps: list[Any]) -> None:
    assert not is_caught(steps)


def test_messages_that_are_sent_again_without_a_mark_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Outbox, "_hold_again", Outbox._hold)
    assert is_caught(LOSSES)


def test_messages_that_are_taken_for_safe_when_their_channel_goes_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Outbox, "_hold_again", Outbox._succeed)
    assert is_caught(LOSSES)


def test_a_refusal_that_is_believed_of_what_was_sent_before_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Outbox, "_fail", Outbox._end)
    assert is_caught(FULL)


def test_a_confirm_that_is_believed_for_the_wrong_message_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    confirmed = Outbox.confirmed

    def anybody(self: Outbox, message: Outgoing) -> None:
        confirmed(self, next(reversed(self._live), message))

    monkeypatch.setattr(Outbox, "confirmed", anybody)
    assert is_caught(LOSSES)
