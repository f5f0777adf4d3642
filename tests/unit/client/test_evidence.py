"""What a client makes of replies, looks and messages that come back, on a clock that the test turns."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest

from rpcsvc.client.evidence import BLIND_FOR, CONFIRMED, CONTINUOUS, RECONNECTING, REMEMBERED, UNKNOWN_WORKERS, Evidence


class Clock:
    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds

    def turn(self, seconds: float) -> None:
        self.seconds += seconds


class World:
    """Evidence of a queue, its clock, and how often somebody appeared."""

    def __init__(self, *, patience: float = 10.0, wait_for_server: float = 0.0) -> None:
        self.clock = Clock()
        self.appeared = 0
        self.evidence = Evidence(
            self.clock, patience=patience, wait_for_server=wait_for_server, appeared=self._appeared
        )
        self.evidence.connected()

    def _appeared(self) -> None:
        self.appeared += 1

    def seconds_until_over(self, look: Callable[[], None], *, within: float = 100.0) -> float:
        """How long a call that is made now waits, while looks find always the same."""
        started = self.clock()
        while self.clock() - started < within:
            look()
            if self.evidence.is_over(started):
                return self.clock() - started
            self.clock.turn(self.evidence.ask_in())
        raise AssertionError(f"not over within {within} s")

    def nobody(self) -> None:
        """A look finds messages, and nobody who takes them."""
        self.evidence.observed(3, 0)

    def nothing(self) -> None:
        """A look finds no message and no consumer."""
        self.evidence.observed(0, 0)


# ---- may a call be sent? ----------------------------------------------------------------------------------------


def test_nothing_is_sent_before_a_server_was_seen() -> None:
    assert not World().evidence.lets_send()


@pytest.mark.parametrize("seen", [lambda evidence: evidence.answered(), lambda evidence: evidence.observed(0, 2)])
def test_a_reply_or_a_consumer_lets_calls_be_sent_for_a_second(seen: Callable[[Evidence], None]) -> None:
    world = World()
    seen(world.evidence)
    assert world.evidence.lets_send()
    world.clock.turn(0.9)
    assert world.evidence.lets_send()
    assert not world.evidence.lets_send(0.5)
    world.clock.turn(0.2)
    assert not world.evidence.lets_send()
    assert world.evidence.absence is None


@pytest.mark.parametrize(
    "event",
    [
        lambda evidence: evidence.connected(),
        lambda evidence: evidence.lost(),
        lambda evidence: evidence.missing(),
        lambda evidence: evidence.observed(1, 0),
    ],
    ids=["a new connection", "a deleted queue", "no queue", "no consumer"],
)
def test_what_was_seen_before_does_not_let_calls_be_sent(event: Callable[[Evidence], None]) -> None:
    world = World()
    world.evidence.answered()
    event(world.evidence)
    assert not world.evidence.lets_send()


def test_the_number_of_workers_is_that_of_the_last_look_that_saw_some() -> None:
    evidence = World().evidence
    assert (evidence.consumers, evidence.has_counted) == (1, False)
    evidence.observed(0, 5)
    evidence.observed(3, 0)
    assert (evidence.consumers, evidence.has_counted) == (5, True)
    evidence.connected()
    assert (evidence.consumers, evidence.has_counted) == (5, False)


# ---- is there nobody? -------------------------------------------------------------------------------------------


def test_no_call_is_over_while_nothing_is_known_or_somebody_is_there() -> None:
    world = World()
    assert not world.evidence.is_over(0.0)
    world.evidence.answered()
    assert not world.evidence.is_over(0.0)


def test_a_client_that_saw_no_server_knows_at_once_that_there_is_none() -> None:
    for look in (World.nobody, lambda world: world.evidence.missing()):
        world = World()
        assert world.seconds_until_over(lambda: look(world)) == pytest.approx(RECONNECTING, abs=0.06)  # noqa: B023


def test_a_queue_without_messages_and_consumers_is_looked_at_again_half_a_second_later() -> None:
    """A quorum queue without a leader is reported so."""
    world = World()
    assert CONFIRMED <= world.seconds_until_over(world.nothing) < CONFIRMED + 0.2

    world = World()
    world.nothing()
    world.clock.turn(0.3)
    world.evidence.observed(0, 2)
    assert world.evidence.lets_send()
    assert not world.evidence.is_over(0.0)


def test_one_look_that_says_more_makes_up_for_one_that_says_nothing() -> None:
    world = World()
    world.nothing()
    world.clock.turn(0.2)
    world.nobody()
    assert world.evidence.is_over(0.0)


def test_a_call_waits_for_a_server_as_long_as_it_was_told_to() -> None:
    world = World(wait_for_server=4.0)
    assert world.seconds_until_over(world.nobody) == pytest.approx(4.0, abs=0.3)
    assert world.seconds_until_over(world.nobody) == pytest.approx(4.0, abs=0.3), "so does each"


@pytest.mark.parametrize("look", [World.nobody, World.nothing], ids=["messages", "no messages"])
@pytest.mark.parametrize(
    ("patience", "wait_for_server", "expected"), [(10.0, 0.0, 10.0), (3.0, 0.0, 3.0), (3.0, 5.0, 5.0), (0.0, 0.0, 0.15)]
)
def test_servers_that_were_there_are_waited_for(
    patience: float, wait_for_server: float, expected: float, look: Callable[[World], None]
) -> None:
    world = World(patience=patience, wait_for_server=wait_for_server)
    world.evidence.answered()
    world.clock.turn(2.0)
    doubt = CONFIRMED if look is World.nothing else 0.0
    assert world.seconds_until_over(lambda: look(world)) == pytest.approx(max(expected, doubt), abs=0.3)


def test_servers_that_have_been_away_for_long_enough_are_not_waited_for_by_the_next_call() -> None:
    world = World()
    world.evidence.answered()
    world.seconds_until_over(world.nobody)
    world.clock.turn(CONTINUOUS - 1.0)
    assert world.seconds_until_over(world.nobody) < 0.3


def test_when_nobody_looked_for_a_while_there_may_have_been_a_server() -> None:
    world = World()
    world.evidence.answered()
    world.seconds_until_over(world.nobody)
    world.clock.turn(CONTINUOUS + 1.0)
    assert world.seconds_until_over(world.nobody) == pytest.approx(10.0, abs=0.3)


def test_after_a_minute_servers_are_not_expected_back() -> None:
    for event in (lambda _: None, Evidence.connected, Evidence.lost):
        world = World()
        world.evidence.answered()
        event(world.evidence)
        world.clock.turn(REMEMBERED - 1.0)
        assert world.seconds_until_over(world.nobody) == pytest.approx(10.0, abs=0.3)

        world = World()
        world.evidence.observed(0, 1)
        event(world.evidence)
        world.clock.turn(REMEMBERED + 1.0)
        assert world.seconds_until_over(world.nobody) < 0.3


def test_a_server_that_comes_back_ends_the_absence() -> None:
    world = World()
    world.evidence.answered()
    world.nobody()
    world.clock.turn(9.0)
    world.evidence.observed(5, 1)
    assert world.evidence.absence is None
    world.clock.turn(2.0)
    assert world.seconds_until_over(world.nobody) == pytest.approx(10.0, abs=0.3)


def test_an_empty_queue_that_calls_went_to_has_a_server_that_finishes_them() -> None:
    world = World()
    world.evidence.answered()
    for _ in range(200):
        world.clock.turn(0.5)
        world.evidence.observed(0, 0, has_calls=True)
        assert world.evidence.absence is None
        assert not world.evidence.lets_send()
    world.evidence.observed(2, 0, has_calls=True)
    assert world.evidence.absence == "nobody consumes the queue"
    assert world.seconds_until_over(world.nobody) == pytest.approx(10.0, abs=0.3), "it was there until a moment ago"


def test_looks_come_quickly_at_first_and_then_four_times_a_second() -> None:
    world = World()
    world.nobody()
    assert world.evidence.ask_in() == 0.05
    world.clock.turn(1.0)
    assert world.evidence.ask_in() == 0.125
    world.clock.turn(60.0)
    assert world.evidence.ask_in() == 0.25


# ---- a queue that is gone ---------------------------------------------------------------------------------------


def test_a_queue_that_was_missing_is_known_to_have_been_until_somebody_has_seen_to_it() -> None:
    evidence = World().evidence
    evidence.missing()
    assert (evidence.absence, evidence.queue_was_gone) == ("the queue does not exist", True)
    evidence.observed(0, 1)
    assert (evidence.absence, evidence.queue_was_gone) == (None, True)
    evidence.connected()
    assert not evidence.queue_was_gone


# ---- where nobody may look --------------------------------------------------------------------------------------


def test_where_looks_are_refused_calls_are_sent_all_the_same(caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            world.evidence.refused("ACCESS_REFUSED")
            world.clock.turn(BLIND_FOR - 1.0)
            assert world.evidence.is_blind
            assert world.evidence.lets_send()
            assert not world.evidence.is_over(0.0)
    assert [record.levelname for record in caplog.records] == ["WARNING"], "once"
    assert "ACCESS_REFUSED" in caplog.text


def test_a_refusal_without_a_reason_is_nothing_to_warn_of(caplog: pytest.LogCaptureFixture) -> None:
    World().evidence.refused()
    assert caplog.records == []


def test_a_refused_look_is_tried_again_after_some_minutes_and_on_a_new_connection() -> None:
    world = World()
    world.evidence.refused()
    world.clock.turn(BLIND_FOR + 1.0)
    assert not world.evidence.is_blind
    assert not world.evidence.lets_send()

    world.evidence.refused()
    world.evidence.connected()
    assert not world.evidence.is_blind
    assert not world.evidence.lets_send()


def test_where_looks_are_refused_the_number_of_workers_is_assumed_unless_it_was_seen() -> None:
    evidence = World().evidence
    evidence.refused()
    assert (evidence.consumers, evidence.has_counted) == (UNKNOWN_WORKERS, True)
    evidence.observed(0, 3)
    evidence.refused()
    assert evidence.consumers == 3


def test_where_looks_are_refused_a_message_that_comes_back_says_that_there_is_no_queue() -> None:
    world = World()
    world.evidence.refused()
    world.evidence.missing()
    assert not world.evidence.lets_send()
    assert world.evidence.times_missing == 1
    assert world.seconds_until_over(world.evidence.missing) == pytest.approx(RECONNECTING, abs=0.06)
    world.evidence.taken()
    assert world.evidence.absence is None
    assert world.evidence.lets_send()


# ---- who comes must be told -------------------------------------------------------------------------------------


def test_somebody_appears_first_and_after_each_absence_and_not_with_every_reply() -> None:
    world = World()
    for event, appeared in (
        (Evidence.answered, 1),
        (Evidence.answered, 1),
        (lambda evidence: evidence.observed(0, 2), 1),
        (lambda evidence: evidence.observed(1, 0), 1),
        (lambda evidence: evidence.observed(1, 2), 2),
        (Evidence.missing, 2),
        (Evidence.answered, 3),
        (Evidence.connected, 3),
        (Evidence.answered, 4),
        (Evidence.lost, 4),
        (Evidence.answered, 5),
    ):
        event(world.evidence)
        assert world.appeared == appeared


def test_where_nobody_may_look_a_reply_after_a_silence_may_be_that_of_another_server() -> None:
    world = World()
    world.evidence.refused()
    world.evidence.answered()
    world.clock.turn(0.5)
    world.evidence.answered()
    assert world.appeared == 1
    world.clock.turn(1.5)
    world.evidence.answered()
    assert world.appeared == 2


@pytest.mark.parametrize(
    ("event", "shown"),
    [
        (lambda _: None, "<Evidence: nothing is known>"),
        (Evidence.answered, "<Evidence: somebody is there>"),
        (Evidence.missing, "<Evidence: the queue does not exist>"),
        (Evidence.refused, "<Evidence: nothing is known, no look is allowed>"),
    ],
)
def test_it_shows_what_is_known(event: Callable[[Evidence], Any], shown: str) -> None:
    world = World()
    event(world.evidence)
    assert repr(world.evidence) == shown
