"""`current_call()`: what a function computes, told on demand; and nothing outside of functions."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from rpcsvc import CurrentCall, Registry, current_call
from rpcsvc.wire.jsonrpc import encode_params, encode_request
from rpcsvc.wire.many.request import params
from rpcsvc.wire.names import MAP
from rpcsvc.workers.inside.casts import do
from rpcsvc.workers.inside.context import begin, keep_apart, running
from rpcsvc.workers.inside.dispatch import Rules, dispatch
from rpcsvc.workers.job import Context


@pytest.fixture
def told() -> list[CurrentCall | None]:
    return []


@pytest.fixture
def registry(told: list[CurrentCall | None]) -> Registry:
    registry = Registry()

    @registry.function
    def f(n: int = 0) -> None:
        told.append(current_call())
        if n < 0:
            raise ValueError

    return registry


@pytest.fixture
def ending() -> Iterator[Callable[[float | None], None]]:
    before = running.ends
    yield lambda at: setattr(running, "ends", lambda: at)
    running.ends = before


def ids(told: list[CurrentCall | None]) -> list[Any]:
    return [each and (each.method, each.id) for each in told]


def call(n: int, call_id: str = "7") -> bytes:
    return encode_request(call_id, "f", encode_params((n,), {}))


def test_outside_of_functions_there_is_none() -> None:
    assert current_call() is None


@pytest.mark.parametrize("n", [1, -1])
def test_a_call_is_told_while_its_function_runs(registry: Registry, told: list[CurrentCall | None], n: int) -> None:
    dispatch(registry, call(n))
    assert told == [CurrentCall(kind="call", method="f", id="7")]
    assert told[0] is not None
    assert (told[0].deadline, told[0].remaining, told[0].headers) == (None, None, {})
    assert current_call() is None


def test_each_call_of_a_batch_is_told_by_its_own_id(registry: Registry, told: list[CurrentCall | None]) -> None:
    dispatch(registry, b"[" + call(1, "a") + b"," + call(2, "b") + b"]")
    assert ids(told) == [("f", "a"), ("f", "b")]


def test_each_call_that_only_travels_with_others_is_told_by_its_own_id(
    registry: Registry, told: list[CurrentCall | None]
) -> None:
    dispatch(registry, encode_request("7", MAP, params("f", [b"[1]", b"[-2]", b"[3]"], ["a", "b", "c"])))
    assert ids(told) == [("f", "a"), ("f", "b"), ("f", "c")]
    assert current_call() is None


def test_the_calls_of_a_map_have_the_id_of_their_message(registry: Registry, told: list[CurrentCall | None]) -> None:
    dispatch(registry, encode_request("7", MAP, encode_params((), {"method": "f", "rows": [[1], [2]]})))
    assert ids(told) == [("f", "7"), ("f", "7")]


def test_the_threads_of_a_function_are_told_the_same(told: list[CurrentCall | None]) -> None:
    registry = Registry()

    @registry.function
    def f(_: int) -> None:
        thread = threading.Thread(target=lambda: told.append(current_call()))
        thread.start()
        thread.join()

    dispatch(registry, call(1))
    assert ids(told) == [("f", "7")]


def test_a_deadline_is_told_as_a_time_of_day_and_as_what_remains(
    registry: Registry, told: list[CurrentCall | None], ending: Callable[[float | None], None]
) -> None:
    before = time.time()
    ending(time.monotonic() + 100)
    dispatch(registry, call(1))
    (it,) = told
    assert it is not None
    assert it.deadline is not None
    assert it.remaining is not None
    assert before + 99 < it.deadline < time.time() + 101
    assert 50 < it.remaining <= 100
    ending(time.monotonic() - 1)
    dispatch(registry, call(1))
    assert told[1] is not None
    assert told[1].remaining == 0


@pytest.mark.parametrize("kind", ["call", "cast"])
def test_what_a_server_tells_besides_is_told_for_one_message(
    registry: Registry, told: list[CurrentCall | None], kind: Any
) -> None:
    context = Context(kind=kind, message_id="m-1", attempt=2, headers={"who": "me"})
    body = call(1) if kind == "call" else b'{"jsonrpc":"2.0","method":"f","params":[1]}'
    assert do(registry, body, context, Rules(), progress=[0], clock=lambda: 0.0) is not None
    assert told[0] is not None
    assert (told[0].kind, told[0].attempt, told[0].headers) == (kind, 2, {"who": "me"})
    assert (running.context, running.asked) == (None, None)


def test_threads_that_are_kept_apart_see_their_own_and_others_none(
    registry: Registry, told: list[CurrentCall | None]
) -> None:
    before = running.__class__
    barrier = threading.Barrier(2, timeout=10)
    registry.add(lambda: (barrier.wait(), told.append(current_call()), barrier.wait()), name="together", check=False)

    def run(call_id: str, ends: float | None) -> None:
        begin(ends)
        dispatch(registry, encode_request(call_id, "together", b"[]"))
        told.append(current_call())

    try:
        keep_apart()
        threads = [threading.Thread(target=run, args=args) for args in (("a", None), ("b", time.monotonic() + 60))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert current_call() is None
    finally:
        running.__class__ = before
    assert {each and each.id for each in told[:2]} == {"a", "b"}
    assert {each.id: each.remaining is None for each in told[:2] if each} == {"a": True, "b": False}
    assert told[2:] == [None, None]
