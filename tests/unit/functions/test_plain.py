from __future__ import annotations

import math
import time

import pytest

from rpcsvc.functions.builtin.plain import MAX_SECONDS, echo, sleep


def test_echo_gives_back_the_very_value() -> None:
    value = {"a": [1, (2.5, None)]}
    assert echo(value) is value


def test_sleep_waits_and_returns_the_seconds() -> None:
    start = time.monotonic()
    assert sleep(0.002) == 0.002
    assert time.monotonic() - start >= 0.002


def test_sleep_takes_an_int_and_returns_a_float() -> None:
    result = sleep(0)
    assert result == 0.0
    assert type(result) is float


@pytest.mark.parametrize(
    "seconds",
    [-0.001, -1, MAX_SECONDS + 0.001, 3601, math.inf, -math.inf, math.nan, 10**5000, True],
    ids=["-0.001", "-1", "3600.001", "3601", "inf", "-inf", "nan", "long", "True"],
)
def test_seconds_out_of_range_are_refused_without_a_wait(seconds: float) -> None:
    start = time.monotonic()
    with pytest.raises(ValueError, match=r"^seconds must be a number from 0 to 3600, not "):
        sleep(seconds)
    assert time.monotonic() - start < 1
