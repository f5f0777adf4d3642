"""When casts and events are tried again: what is counted, how long is waited, and what is refused."""

from __future__ import annotations

import math
from abc import ABCMeta
from typing import Any

import pytest

from rpcsvc import Registry, Retry, RetryLater
from rpcsvc.errors import ConfigurationError, RegistrationError, later
from rpcsvc.functions.retry import LATER_ATTEMPTS, MAX_ATTEMPTS, after_later, after_loss, after_raise
from rpcsvc.wire.casts import MOST_DELAY, whole_delay


def test_each_attempt_waits_twice_as_long_as_the_one_before_up_to_a_bound() -> None:
    retry = Retry(attempts=8, up_to=30.0)
    assert [retry.delay(attempt) for attempt in range(1, 8)] == [1, 2, 4, 8, 16, 30, 30]
    assert [Retry(back_off=0).delay(attempt) for attempt in (1, 9)] == [0, 0]


def test_no_number_of_attempts_overflows() -> None:
    longest = Retry(attempts=MAX_ATTEMPTS, back_off=MOST_DELAY, up_to=MOST_DELAY)
    assert longest.delay(MAX_ATTEMPTS) == MOST_DELAY


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"attempts": 0}, "attempts is 1 to 1000, not 0"),
        ({"attempts": 1001}, "not 1001"),
        ({"attempts": True}, "not True"),
        ({"attempts": 2.0}, "not 2.0"),
        ({"back_off": -1}, "back_off is 0 to 1048575 seconds"),
        ({"back_off": "1"}, "not '1'"),
        ({"up_to": math.inf}, "up_to is 0 to 1048575 seconds"),
        ({"up_to": math.nan}, "not nan"),
        ({"up_to": True}, "not True"),
        ({"on": ValueError()}, "as \\(OSError,\\)"),
        ({"on": (ValueError, int)}, "an exception class or a tuple of such"),
        ({"on": [OSError]}, "an exception class or a tuple of such"),
    ],
)
def test_what_a_retry_cannot_be_is_said_where_it_is_made(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigurationError, match=sentence):
        Retry(**options)


class _LiesAboutItself(ABCMeta):
    def __instancecheck__(cls, instance: object) -> bool:
        raise SystemExit

    def __subclasscheck__(cls, subclass: type) -> bool:
        raise SystemExit


class Odd(Exception, metaclass=_LiesAboutItself):
    pass


@pytest.mark.parametrize(
    ("on", "error", "takes"),
    [
        (OSError, ConnectionResetError(), True),
        ((KeyError, OSError), ConnectionResetError(), True),
        (Exception, SystemExit(), False),
        (SystemExit, SystemExit(), True),
        ((), ValueError(), False),
        (Odd, Odd(), True),
        (Odd, ValueError(), False),
    ],
)
def test_exceptions_are_taken_as_an_except_clause_takes_them(on: Any, error: BaseException, takes: bool) -> None:
    assert Retry(on=on).takes(error) is takes


def test_a_lost_worker_is_three_attempts_unless_the_function_says_otherwise() -> None:
    assert [after_loss(None, attempt, idempotent=True) for attempt in (1, 2, 3, 4)] == [1, 2, None, None]
    assert [after_loss(Retry(2, 10), attempt, idempotent=True) for attempt in (1, 2)] == [10, None]
    assert after_loss(None, 1, idempotent=False) is None


def test_an_exception_ends_it_unless_the_function_says_otherwise() -> None:
    retry = Retry(2, on=OSError)
    assert after_raise(None, 1, OSError()) is None
    assert [after_raise(retry, attempt, OSError()) for attempt in (1, 2)] == [1, None]
    assert after_raise(retry, 1, ValueError()) is None


def test_a_function_that_asks_for_later_has_so_many_attempts_as_it_says_or_twenty() -> None:
    assert [after_later(None, attempt, 60) for attempt in (1, LATER_ATTEMPTS - 1, LATER_ATTEMPTS)] == [60, 60, None]
    assert [after_later(Retry(2, on=()), attempt, 60) for attempt in (1, 2)] == [60, None]


@pytest.mark.parametrize("seconds", [-1, math.nan, math.inf, MOST_DELAY + 1, True, "60", None])
def test_later_is_a_time_that_can_be_waited(seconds: Any) -> None:
    with pytest.raises(ConfigurationError, match=f"0 to {MOST_DELAY} seconds"):
        RetryLater(seconds)


def test_later_says_when() -> None:
    assert (RetryLater(90.5).seconds, str(RetryLater(90.5))) == (90.5, "again in 90.5 s")
    assert whole_delay(RetryLater(MOST_DELAY).seconds) == later.MOST_DELAY


# ---- at a function


def test_a_function_keeps_its_retry_also_in_another_registry() -> None:
    registry, other = Registry(), Registry()

    @registry.function(retry=Retry(7))
    def f() -> None: ...

    registry.add(f, name="g", retry=Retry(8))
    other.include(registry, prefix="a.")
    assert [function.retry for function in (*registry, *other)] == [Retry(7), Retry(8)] * 2


def test_what_must_not_run_twice_has_no_retry() -> None:
    with pytest.raises(RegistrationError, match="f: what must not run twice has no retry="):
        Registry().add(lambda: 1, name="f", idempotent=False, retry=Retry())


def test_a_number_is_no_retry() -> None:
    with pytest.raises(ConfigurationError, match="f: retry is a rpcsvc"):
        Registry().add(lambda: 1, name="f", retry=5)  # type: ignore[arg-type]
