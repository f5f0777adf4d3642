"""Limits of time and memory as a registry and a server give them."""

from __future__ import annotations

from typing import Any

import pytest

from rpcsvc.errors import ConfigurationError, FunctionRaised, MemoryLimitExceeded, TimeLimitExceeded
from rpcsvc.functions.registration import Registry
from rpcsvc.settings.limits import NO_LIMITS, Limits
from rpcsvc.workers.inside.exceptions import NoMemory, SoftLimit, function_raised


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


@pytest.mark.parametrize("size", [0, -1, 1000, 2.0**30, "512M", True])
def test_a_memory_limit_that_is_no_size_or_that_nothing_could_keep_is_refused(size: Any) -> None:
    with pytest.raises(ConfigurationError, match="whole number of bytes"):
        Registry().function(name="f", memory_limit=size)(len)


def test_each_limit_is_the_functions_own_or_the_servers() -> None:
    server = Limits(hard=10, memory=2**30)
    assert Limits(memory=2**20).or_else(server) == Limits(None, 10, 2**20)
    assert Limits(soft=1).or_else(server) == Limits(1, 10, 2**30)
    assert Limits(memory=2**20)


def test_limits_are_included_with_their_function() -> None:
    one, other = Registry(), Registry()
    one.function(name="f", time_limit=3, memory_limit=2**20)(abs)
    other.include(one)
    entry = other.get("f")
    assert entry is not None
    assert entry.limits == Limits(hard=3, memory=2**20)


def test_only_a_limit_of_this_worker_is_told_as_one() -> None:
    """A function may call another pool, and not catch what that answers."""
    own = function_raised("f", SoftLimit("too long", data={"soft": True}), send_traceback=False)
    anothers = function_raised("f", TimeLimitExceeded("too long"), send_traceback=False)
    assert type(own) is TimeLimitExceeded
    assert type(anothers) is FunctionRaised


def test_memory_that_a_limit_refused_is_told_with_the_functions_name_and_the_sizes() -> None:
    data = {"limit": 2**20, "used": 1000}
    own = function_raised("f", NoMemory("asked for too much", data=data), send_traceback=True)
    anothers = function_raised("f", MemoryLimitExceeded("asked for too much", data=data), send_traceback=False)
    assert isinstance(own, MemoryLimitExceeded)
    assert (type(own), str(own), own.limit, own.used) == (MemoryLimitExceeded, "f: asked for too much", 2**20, 1000)
    assert type(anothers) is FunctionRaised
