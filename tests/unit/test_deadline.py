"""Deadlines on a clock that the test moves, and what counts as a time-out."""

from __future__ import annotations

import math
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.examples import examples

from rpcsvc.deadline import MAX_TIMEOUT, Deadline, check_timeout, expiration_ms
from rpcsvc.errors import ConfigurationError

BOUNDED = examples(40)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_deadline_counts_down_and_stays_at_zero() -> None:
    clock = Clock()
    deadline = Deadline.after(2.0, clock)

    assert (deadline.remaining, deadline.expired) == (2.0, False)
    clock.now += 1.5
    assert (deadline.remaining, deadline.expired) == (0.5, False)
    clock.now += 0.5
    assert (deadline.remaining, deadline.expired) == (0.0, True)
    clock.now += 60.0
    assert (deadline.remaining, deadline.expired) == (0.0, True)


def test_without_a_clock_it_is_the_monotonic_one() -> None:
    before = time.monotonic()
    deadline = Deadline.after(60.0)

    assert before + 60.0 <= deadline.at <= time.monotonic() + 60.0


@pytest.mark.parametrize("timeout", [1e-9, 1, 30.0, MAX_TIMEOUT])
def test_a_number_of_seconds_comes_back_as_a_float(timeout: float) -> None:
    assert check_timeout(timeout) == timeout
    assert type(check_timeout(timeout)) is float


@pytest.mark.parametrize("timeout", [0, 0.0, -1, -0.1, math.nan, math.inf, -math.inf, MAX_TIMEOUT + 1, 10**400])
def test_a_timeout_that_cannot_be_kept_is_refused_with_the_bounds(timeout: float) -> None:
    with pytest.raises(ConfigurationError, match="above 0 and at most 4294967 seconds"):
        check_timeout(timeout)


@pytest.mark.parametrize("timeout", [0, -1, math.nan, -math.inf, MAX_TIMEOUT + 1, 10**400])
def test_where_there_may_be_none_the_refusal_says_how_none_is_written(timeout: float) -> None:
    assert check_timeout(math.inf, endless=True) == math.inf
    with pytest.raises(ConfigurationError, match=r"above 0 and at most 4294967 seconds, not .*; math\.inf is none"):
        check_timeout(timeout, endless=True)


@pytest.mark.parametrize("timeout", [-1, "soon"])
def test_a_refusal_names_the_option(timeout: float) -> None:
    with pytest.raises(ConfigurationError, match=r"^connect_timeout must be"):
        check_timeout(timeout, "connect_timeout")


@pytest.mark.parametrize("timeout", [True, "30", None, 1j])
def test_a_timeout_that_is_no_number_is_refused_with_its_type(timeout: object) -> None:
    with pytest.raises(ConfigurationError, match=f"not {type(timeout).__name__}"):
        check_timeout(timeout)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("seconds", "text"), [(30.0, "30000"), (0.2, "200"), (0.0001, "1"), (0.0, "1"), (1.0001, "1001"), (math.inf, None)]
)
def test_an_expiration_is_in_whole_milliseconds_rounded_up(seconds: float, text: str | None) -> None:
    assert expiration_ms(seconds) == text


@BOUNDED
@given(st.floats(min_value=0, max_value=MAX_TIMEOUT, exclude_min=True))
def test_every_timeout_makes_an_expiration_that_the_broker_takes(timeout: float) -> None:
    milliseconds = int(expiration_ms(check_timeout(timeout)) or 0)

    assert 1 <= milliseconds <= 2**32 - 1
    assert milliseconds >= timeout * 1000
