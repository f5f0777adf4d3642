"""Which calls are told to servers, when and how often, on a clock that the test turns."""

from __future__ import annotations

import pytest

from rpcsvc.client.given_up import GRACE, LATELY, GivenUp


class Clock:
    seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_each_is_told_under_the_queue_that_it_was_sent_with(clock: Clock) -> None:
    given_up = GivenUp(clock)
    given_up.add("amq.gen-1", "7", 1005.0)
    given_up.add("amq.gen-2", "7", 1001.0)
    given_up.add("amq.gen-1", "8", 990.0)
    assert len(given_up) == 3
    assert given_up.take() == {"amq.gen-1": {"7": 5.0, "8": 0.0}, "amq.gen-2": {"7": 1.0}}
    assert len(given_up) == 0
    assert given_up.take() == {}


def test_a_server_that_comes_is_told_of_what_has_time_left(clock: Clock) -> None:
    given_up = GivenUp(clock)
    given_up.add("q", "told, with time left", 1005.0)
    given_up.add("q", "told, over", 1000.0)
    given_up.take()
    given_up.add("q", "heard by nobody", 1007.0)
    given_up.add("q", "heard by nobody, short", 1003.5)
    given_up.keep()
    assert len(given_up) == 0
    clock.seconds += 4.0
    given_up.recall()
    assert given_up.take() == {"q": {"told, with time left": 1.0, "heard by nobody": 3.0}}
    clock.seconds += 2.0
    given_up.recall()
    assert given_up.take() == {"q": {"heard by nobody": 1.0}}, "another server may have come"


def test_a_call_whose_time_is_up_is_kept_for_a_moment_where_nobody_heard_of_it(clock: Clock) -> None:
    given_up = GivenUp(clock)
    given_up.add("q", "7", 999.0)
    given_up.keep()
    clock.seconds += GRACE - 0.5
    given_up.recall()
    assert given_up.take() == {"q": {"7": 0.5}}


def test_it_keeps_until_the_time_of_the_last_is_up(clock: Clock) -> None:
    given_up = GivenUp(clock)
    assert not given_up.is_keeping
    given_up.add("q", "7", 1005.0)
    given_up.add("q", "8", 1009.0)
    assert given_up.is_keeping
    given_up.take()
    clock.seconds += 6.0
    assert given_up.is_keeping
    clock.seconds += 4.0
    assert not given_up.is_keeping
    assert repr(given_up) == "<GivenUp: 0 to tell, 0 kept>"


def test_it_is_fresh_until_it_would_have_shown_that_nobody_heard(clock: Clock) -> None:
    given_up = GivenUp(clock)
    given_up.add("q", "over", 1000.0)
    given_up.take()
    assert not given_up.is_fresh, "nothing is left to be told of it"
    given_up.add("q", "7", 1005.0)
    given_up.take()
    assert given_up.is_fresh
    clock.seconds += LATELY
    assert not given_up.is_fresh
    assert given_up.is_keeping


def test_what_is_forgotten_is_not_told_and_what_was_kept_stays(clock: Clock) -> None:
    given_up = GivenUp(clock)
    given_up.add("q", "7", 1005.0)
    given_up.keep()
    given_up.add("q", "8", 1005.0)
    given_up.forget()
    assert given_up.take() == {}
    given_up.recall()
    assert given_up.take() == {"q": {"7": 5.0}}


def test_it_holds_no_more_than_it_may(clock: Clock) -> None:
    given_up = GivenUp(clock, most=5, most_kept=3)
    for number in range(9):
        given_up.add("q", str(number), 1001.0 + number)
    assert len(given_up) == 5
    given_up.take()
    assert repr(given_up) == "<GivenUp: 0 to tell, 3 kept>"
    given_up.recall()
    assert [*given_up.take()["q"]] == ["2", "3", "4"], "the oldest go first"

    clock.seconds = 1003.5
    given_up.add("q", "late", 1010.0)
    given_up.keep()
    assert repr(given_up) == "<GivenUp: 0 to tell, 3 kept>", "those whose time is up make room"
