"""A function forks, and its child comes back: nothing else of the message is computed, and nobody is answered."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import NoneType
from typing import Any

import pytest

from rpcsvc.errors import InvalidParams
from rpcsvc.functions.registration import Registry
from rpcsvc.wire.jsonrpc import encode_batch, encode_params, encode_request
from rpcsvc.wire.names import MAP
from rpcsvc.workers.inside import exceptions as raising
from rpcsvc.workers.inside.dispatch import dispatch
from rpcsvc.workers.inside.exceptions import Stray

CALLED: list[str] = []
ERROR = SystemExit(3)


def fork() -> None:
    """What the child sees of a fork."""
    CALLED.append("called")
    raising.strayed = True


def come_back(value: Any = None) -> int:
    fork()
    return 1


def leave_by_an_exception(value: Any = None) -> None:
    fork()
    raise ERROR


class Checked(type):
    def __instancecheck__(cls, _: object) -> bool:
        fork()
        raise ERROR


class Fitting(type):
    def __instancecheck__(cls, _: object) -> bool:
        fork()
        return True


class Unfit(type):
    def __instancecheck__(cls, _: object) -> bool:
        fork()
        return False


class A(metaclass=Checked):
    pass


class B(metaclass=Fitting):
    pass


class C(metaclass=Unfit):
    pass


def leave_by_the_check(value: A) -> None:
    raise AssertionError("not to be called")


def come_back_from_the_check(value: B) -> None:
    raise AssertionError("not to be called")


def not_fit(value: C) -> None:
    raise AssertionError("not to be called")


@pytest.fixture(autouse=True)
def _one_process() -> Iterator[None]:
    CALLED.clear()
    yield
    raising.strayed = False


def one(method: str) -> bytes:
    return encode_request("7", method, encode_params(["x"], {}))


BODIES: dict[str, Callable[[str], bytes]] = {
    "one call": one,
    "a bare call": lambda _: b"5",
    "a batch": lambda method: encode_batch([one(method)] * 3),
    "many calls": lambda method: encode_request(
        "7", MAP, encode_params([], {"method": method, "rows": [[1], [2], [3]]})
    ),
}


@pytest.mark.parametrize("what", BODIES)
@pytest.mark.parametrize(
    ("function", "error"),
    [
        (come_back, NoneType),
        (leave_by_an_exception, SystemExit),
        (leave_by_the_check, SystemExit),
        (come_back_from_the_check, NoneType),
        (not_fit, InvalidParams),
    ],
)
def test_a_child_that_comes_back_stops_where_it_does(what: str, function: Callable[..., Any], error: type) -> None:
    registry = Registry(default=function.__name__)
    registry.add(function)
    with pytest.raises(Stray) as caught:
        dispatch(registry, BODIES[what](function.__name__))
    assert type(caught.value.error) is error
    assert CALLED == ["called"]
