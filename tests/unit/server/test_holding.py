"""How many casts a server holds beside those that its workers run."""

from __future__ import annotations

import pytest

from rpcsvc.server.holding import LEVELS, Holding
from rpcsvc.workers.work import Served

PLAIN = {"count": Served(True)}
MIXED = {"count": Served(True), "pay": Served(False)}


def holding(quick: int, workers: int = 2) -> Holding:
    held = Holding(workers)
    held.came("count", PLAIN)
    held.learn(quick)
    return held


@pytest.mark.parametrize(
    ("quick", "level"), [(0, 0), (3, 0), (4, 4), (15, 4), (16, 16), (63, 16), (64, 64), (9999, 64)]
)
def test_as_much_is_held_as_workers_do_in_a_moment(quick: int, level: int) -> None:
    assert holding(quick, workers=3).more == 3 * level


def test_nothing_more_is_held_before_it_is_known_that_casts_are_quick() -> None:
    assert Holding(4).more == 0


@pytest.mark.parametrize("level", LEVELS[1:])
def test_a_little_slower_casts_do_not_change_it_and_much_slower_ones_do(level: int) -> None:
    held = holding(level)

    held.learn(level - 1)
    assert held.more == 2 * level
    held.learn(level // 2)
    assert held.more == 2 * level
    held.learn(level // 2 - 1)
    assert held.more < 2 * level


def test_nothing_more_is_held_while_casts_are_slow() -> None:
    held = holding(64)

    held.learn(0)

    assert held.more == 0


@pytest.mark.parametrize("method", ["pay", "nobody knows it", None])
def test_where_a_cast_must_not_run_twice_no_more_is_held_than_runs(method: str | None) -> None:
    held = holding(64)

    held.came(method, MIXED)
    assert held.more == 0
    held.learn(64)
    assert held.more == 0


def test_long_after_one_that_must_not_run_twice_more_is_held_again() -> None:
    held = holding(64)
    held.came("pay", MIXED)

    for _ in range(255):
        held.came("count", MIXED)
        held.learn(64)
        assert held.more == 0
    held.came("count", MIXED)
    held.learn(64)

    assert held.more == 128


def test_where_every_function_may_run_twice_nobody_has_to_say_which_it_is() -> None:
    held = holding(64)

    held.came(None, PLAIN)

    assert repr(held) == "<Holding: 128 more than 2 workers run>"


def test_a_reload_changes_which_functions_must_not_run_twice() -> None:
    held = holding(64)

    held.came("count", {"count": Served(False)})

    assert held.more == 0


def test_what_is_known_not_to_run_twice_without_a_name_is_not_held_either() -> None:
    held = holding(64)

    held.be_careful()
    held.learn(64)

    assert held.more == 0
