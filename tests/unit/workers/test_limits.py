"""Time limits as a registry and a server give them."""

from __future__ import annotations

import pytest

from rpcsvc.errors import ConfigurationError, FunctionRaised, TimeLimitExceeded
from rpcsvc.raising import SoftLimit, function_raised
from rpcsvc.registry import NO_LIMITS, Limits, Registry


def test_a_functions_own_limits_go_before_the_servers() -> None:
    server = Limits(soft=1, hard=10)
    assert Limits(soft=2, hard=20).or_else(server) == Limits(2, 20)
    assert Limits(hard=20).or_else(server) == Limits(1, 20)
    assert NO_LIMITS.or_else(server) == server
    assert not NO_LIMITS.or_else(NO_LIMITS)


def test_a_soft_limit_that_would_come_after_the_hard_one_is_left_out() -> None:
    assert Limits(hard=0.5).or_else(Limits(soft=1, hard=10)) == Limits(None, 0.5)


@pytest.mark.parametrize("limits", [{"soft": 0.0}, {"hard": -1.0}, {"soft": 2.0, "hard": 2.0}, {"hard": float("nan")}])
def test_limits_that_make_no_sense_are_refused_when_the_function_is_registered(limits: dict[str, float]) -> None:
    with pytest.raises(ConfigurationError):
        Registry().function(name="f", soft_time_limit=limits.get("soft"), time_limit=limits.get("hard"))(len)


def test_limits_are_included_with_their_function() -> None:
    one, other = Registry(), Registry()
    one.function(name="f", time_limit=3)(abs)
    other.include(one)
    entry = other.get("f")
    assert entry is not None
    assert entry.limits == Limits(hard=3)


def test_only_a_limit_of_this_worker_is_told_as_one() -> None:
    """A function may call another pool, and not catch what that answers."""
    own = function_raised("f", SoftLimit("too long", data={"soft": True}), send_traceback=False)
    anothers = function_raised("f", TimeLimitExceeded("too long"), send_traceback=False)
    assert type(own) is TimeLimitExceeded
    assert type(anothers) is FunctionRaised
