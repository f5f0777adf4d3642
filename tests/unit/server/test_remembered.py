"""A table whose entries pass, and which never holds more than it may."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from support.examples import examples

from rpcsvc.server.remembered import Remembered

BOUNDED = examples(40)


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def table(clock: Clock | None = None, *, most: int = 3, most_bytes: int = 0) -> Remembered[str, int]:
    return Remembered(clock or Clock(), most=most, most_bytes=most_bytes)


def test_what_is_put_is_taken_once() -> None:
    remembered = table()
    remembered.put("a", 1, 10)
    assert (remembered.take("a"), remembered.take("a"), remembered.take("b")) == (1, None, None)


def test_what_is_looked_up_stays() -> None:
    clock = Clock()
    remembered = table(clock)
    remembered.put("a", 1, 10)
    assert (remembered.get("a"), remembered.get("a"), remembered.get("b")) == (1, 1, None)
    clock.now = 10
    assert remembered.get("a") is None


def test_an_entry_is_there_for_its_seconds_and_no_longer() -> None:
    clock = Clock()
    remembered = table(clock)
    remembered.put("short", 1, 5)
    remembered.put("long", 2, 10)
    clock.now = 4.9
    remembered.sweep()
    assert len(remembered) == 2
    clock.now = 5.0
    assert remembered.take("short") is None
    assert remembered.take("long") == 2


def test_what_has_had_its_time_is_swept_out() -> None:
    clock = Clock()
    remembered = table(clock)
    remembered.put("short", 1, 5)
    remembered.put("long", 2, 10)
    clock.now = 7
    remembered.sweep()
    assert len(remembered) == 1
    assert "1 of 3" in repr(remembered)


def test_the_oldest_makes_room_and_who_is_put_again_is_young() -> None:
    remembered = table()
    for key in "abcade":
        remembered.put(key, ord(key), 10)
    assert [remembered.take(key) for key in "abcde"] == [ord("a"), None, None, ord("d"), ord("e")]


def test_bytes_are_bounded_too_and_what_is_larger_than_everything_is_not_kept() -> None:
    remembered = table(most=10, most_bytes=100)
    remembered.put("a", 1, 10, size=60)
    remembered.put("b", 2, 10, size=50)
    remembered.put("c", 3, 10, size=101)
    assert [remembered.take(key) for key in "abc"] == [None, 2, None]
    remembered.put("d", 4, 10, size=100)
    assert remembered.take("d") == 4


def test_a_larger_entry_under_the_same_key_takes_the_smaller_ones_place() -> None:
    remembered = table(most_bytes=100)
    remembered.put("a", 1, 10, size=60)
    remembered.put("a", 2, 10, size=101)
    assert remembered.take("a") is None, "what came of the key is not known any more"


def test_clearing_leaves_nothing() -> None:
    remembered = table(most_bytes=10)
    remembered.put("a", 1, 10, size=10)
    remembered.clear()
    assert len(remembered) == 0
    remembered.put("b", 2, 10, size=10)
    assert remembered.take("b") == 2


@BOUNDED
@given(st.lists(st.tuples(st.sampled_from("abcdefgh"), st.integers(0, 60), st.floats(0, 5)), max_size=50))
def test_the_bounds_hold_whatever_comes(entries: list[tuple[str, int, float]]) -> None:
    clock = Clock()
    remembered = table(clock, most=4, most_bytes=100)
    sizes = {}
    for key, size, seconds in entries:
        remembered.put(key, size, 3.0, size)
        sizes[key] = size
        clock.now += seconds
        assert len(remembered) <= 4
    found = [value for key in "abcdefgh" if (value := remembered.take(key)) is not None]
    assert sum(found) <= 100
    assert len(remembered) == 0
