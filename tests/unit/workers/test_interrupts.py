"""Whether a signal came while a function runs: nothing else may be torn apart by an exception."""

from __future__ import annotations

import sys
from types import FrameType
from typing import Any

import pytest

from rpcsvc.functions.registration import Registry
from rpcsvc.wire.jsonrpc import decode_response, encode_batch, encode_params, encode_request
from rpcsvc.wire.names import MAP
from rpcsvc.workers.inside.dispatch import Rules, dispatch
from rpcsvc.workers.inside.exceptions import StopCall
from rpcsvc.workers.inside.interrupts import Interrupts, call_function, in_function
from rpcsvc.workers.inside.limits import enforce
from rpcsvc.workers.inside.own import Belongings
from rpcsvc.workers.scoreboard import Scoreboard

SEEN: list[bool] = []


def look() -> None:
    """What a signal handler would see here."""
    SEEN.append(in_function(sys._getframe(1)))


def function(value: Any = None) -> list[bool]:
    look()
    sorted([1], key=lambda _: look())  # type: ignore[arg-type,return-value]  # below C code
    return SEEN


class Checked(type):
    """A class whose instance check looks too: it is called for a function, and is none."""

    def __instancecheck__(cls, instance: object) -> bool:
        look()
        return True


class Argument(metaclass=Checked):
    pass


def checked(value: Argument) -> list[bool]:
    return SEEN


@pytest.fixture(autouse=True)
def _forget() -> None:
    SEEN.clear()


def ask(registry: Registry, method: str, /, *args: Any, **kwargs: Any) -> Any:
    return decode_response(dispatch(registry, encode_request("7", method, encode_params(args, kwargs))) or b"")


@pytest.fixture
def registry() -> Registry:
    registry = Registry()
    registry.function(function)
    registry.function(checked)
    return registry


def test_a_function_is_recognised_from_any_depth_of_its_own(registry: Registry) -> None:
    assert ask(registry, "function") == [True, True]
    ask(registry, MAP, method="function", rows=[[1], [2]])
    assert SEEN == [True] * 6


def test_so_is_a_function_that_has_limits(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("signal.signal", lambda *_: None)
    monkeypatch.setattr("signal.setitimer", lambda *_: None)
    numbers, fd = Scoreboard.create(1)
    __import__("os").close(fd)
    row = numbers.row(0)
    rules = Rules(time_limit=9, soft_time_limit=5, memory_limit=2**30)
    limited = enforce(registry, rules, row, Interrupts(row, Belongings()))
    assert ask(limited, "function") == [True, True]


def test_code_that_checks_arguments_is_no_function(registry: Registry) -> None:
    assert ask(registry, "checked", "not exactly an Argument") == [False]
    ask(registry, MAP, method="checked", rows=[["x"]])
    assert SEEN == [False, False]


def test_outside_of_a_call_nothing_is_a_function() -> None:
    assert not in_function(sys._getframe())
    assert not in_function(None)


def test_the_bare_call_of_something_without_frames_is_like_a_function() -> None:
    seen: list[FrameType] = []

    def profile(frame: FrameType, event: str, _: Any) -> None:
        if event == "c_call" and frame.f_code is call_function.__code__:
            seen.append(frame)

    sys.setprofile(profile)
    try:
        call_function(abs, (1,), {})
    finally:
        sys.setprofile(None)
    assert [in_function(frame) for frame in seen] == [True]


def stop(*_: Any) -> None:
    SEEN.append(True)
    raise StopCall("cancelled")


class Stops(type):
    def __instancecheck__(cls, instance: object) -> bool:
        return bool(stop())


class StopsInTheCheck(metaclass=Stops):
    pass


def unreached(value: StopsInTheCheck) -> None: ...


ONE = encode_request("7", "stop", encode_params([], {}))


@pytest.mark.parametrize(
    "body",
    [
        ONE,
        encode_batch([ONE, ONE]),
        encode_request("7", MAP, encode_params([], {"method": "stop", "rows": [[1], [2]]})),
        encode_request("7", MAP, encode_params([], {"method": "unreached", "rows": [[1], [2]]})),
    ],
    ids=["one call", "a batch", "many calls", "the check of many"],
)
def test_a_cancelled_message_is_left_where_it_is(body: bytes) -> None:
    registry = Registry()
    registry.function(stop)
    registry.function(unreached)
    with pytest.raises(StopCall):
        dispatch(registry, body)
    assert SEEN == [True]
