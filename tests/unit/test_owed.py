"""The checker of casts and events sees what it is there for."""

from __future__ import annotations

from dataclasses import replace

import pytest
from harness.checker import Rules, check
from harness.figures import Figures, broken
from harness.history import Buried, Event, Finished, Given, Started, decode, encode
from harness.owed import Owed, check_owed

CAST = Given(10.0, "cast-1", "tiny", True, 10.0)
ONCE = replace(CAST, function="once", idempotent=False)
BEGAN, DONE = Started(10.1, "cast-1", 7), Finished(10.2, "cast-1", 7)
AGAIN, DONE_AGAIN = Started(11.1, "cast-1", 8), Finished(11.2, "cast-1", 8)
LETTER = Buried(20.0, "cast-1", "OutcomeUnknown")


def owed(*events: Event) -> Owed:
    found = check_owed(events)
    assert {heading: len(examples) for heading, examples in found.examples.items()} == {
        heading: min(5, getattr(found, heading)) for heading in found.examples
    }
    return found


def test_what_is_done_once_is_right() -> None:
    assert owed(CAST, BEGAN, DONE) == Owed(given=1)


@pytest.mark.parametrize("events", [(), (BEGAN,), (BEGAN, replace(DONE, raised=True)), (LETTER,)])
def test_what_is_not_done_is_owed(events: tuple[Event, ...]) -> None:
    assert owed(CAST, *events).undone == 1


def test_what_must_not_run_twice_may_be_a_dead_letter_that_says_so() -> None:
    found = owed(ONCE, BEGAN, LETTER)
    assert (found.undone, found.buried["OutcomeUnknown"]) == (0, 1)
    assert owed(ONCE, BEGAN, replace(LETTER, error="OSError")).undone == 1


def test_twice_is_counted_and_blamed_where_it_must_not_be() -> None:
    assert owed(CAST, BEGAN, DONE, AGAIN, DONE_AGAIN).twice == 1
    found = owed(ONCE, BEGAN, DONE, AGAIN, DONE_AGAIN)
    assert (found.twice, found.once_twice) == (0, 1)


def test_what_failed_and_was_tried_again_was_not_done_twice() -> None:
    assert owed(CAST, BEGAN, replace(DONE, raised=True), AGAIN, DONE_AGAIN) == Owed(given=1)


def test_what_begins_before_its_time_is_early() -> None:
    assert owed(replace(CAST, due=10.15), BEGAN, DONE).early == 1
    assert owed(replace(CAST, due=10.05), BEGAN, DONE).early == 0


def test_what_the_broker_did_not_confirm_is_not_owed() -> None:
    assert owed(BEGAN, DONE, AGAIN, DONE_AGAIN) == Owed()


@pytest.mark.parametrize("event", [CAST, LETTER, replace(DONE, raised=True)])
def test_a_line_is_read_as_it_was_written(event: Event) -> None:
    assert decode(encode(event)) == event


def test_the_verdict_has_the_counts_and_figures_hold_them() -> None:
    second = replace(ONCE, call="cast-2")
    verdict = check((CAST, second, replace(BEGAN, call="cast-2"), replace(AGAIN, call="cast-2"), LETTER), Rules())
    assert (verdict.given, verdict.undone, verdict.often, verdict.buried) == (2, 2, 1, 1)
    found = broken(verdict, Figures(least_given=3))
    assert {"undone 2 > 0", "often 1 > 0", "buried 1 > 0", "only 2 casts and events, fewer than 3"} <= set(found)
    assert verdict.examples["often"]
