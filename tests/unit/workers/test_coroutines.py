"""Coroutine functions on an event loop beside the thread that waits for them: their outcome, and what stops them."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from rpcsvc.errors import CallCancelled
from rpcsvc.testing import wait_until
from rpcsvc.workers.inside.coroutines import Loop, Task
from rpcsvc.workers.inside.stops import Stopped, soft_limit


@pytest.fixture(scope="module")
def loop() -> Loop:
    return Loop()


class Waiting:
    """A coroutine that waits until it is stopped."""

    def __init__(self, loop: Loop, *, gives: str | None = None) -> None:
        self.task = Task(loop)
        self.begun = threading.Event()
        self.outcome: Any = None
        self._gives = gives
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        assert self.begun.wait(10)

    async def _wait(self) -> str:
        try:
            self.begun.set()
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            await asyncio.sleep(0.01)
            if self._gives is None:
                raise
        return self._gives or ""

    def _run(self) -> None:
        try:
            self.outcome = self.task.run(self._wait)
        except BaseException as error:
            self.outcome = error

    def end(self) -> Any:
        self._thread.join()
        return self.outcome


def test_its_result_is_that_of_the_call(loop: Loop) -> None:
    async def add(one: int, other: int) -> int:
        await asyncio.sleep(0)
        return one + other

    task = Task(loop)
    assert task.run(lambda: add(1, 2)) == 3
    assert not task.stop(Stopped)


@pytest.mark.parametrize("kind", [ValueError, TimeoutError, SystemExit, asyncio.CancelledError, StopAsyncIteration])
def test_what_it_raises_is_raised_and_the_loop_goes_on(loop: Loop, kind: type[BaseException]) -> None:
    error = kind()

    async def fail() -> None:
        raise error

    for _ in range(3):
        with pytest.raises(kind) as caught:
            Task(loop).run(fail)
        assert caught.value is error


def test_one_that_is_stopped_ends_with_the_reason_once_it_has_tidied_up(loop: Loop) -> None:
    waiting = Waiting(loop)
    assert waiting.task.stop(Stopped)
    assert not waiting.task.stop(soft_limit(1.0))
    assert isinstance(waiting.end(), CallCancelled)


def test_one_that_returns_something_when_it_is_stopped_has_returned_that(loop: Loop) -> None:
    waiting = Waiting(loop, gives="what there is")
    assert waiting.task.stop(soft_limit(1.0))
    assert waiting.end() == "what there is"


def test_one_that_is_stopped_before_its_first_step_does_not_begin(loop: Loop) -> None:
    steps: list[int] = []

    async def step() -> None:
        steps.append(1)

    task = Task(loop)
    busy = threading.Event()
    loop.soon(lambda: busy.wait(10))
    ended: list[BaseException] = []

    def run() -> None:
        try:
            task.run(step)
        except BaseException as error:
            ended.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    wait_until(lambda: task._call is not None)
    assert task.stop(Stopped)
    busy.set()
    thread.join()
    assert isinstance(ended[0], Stopped) or steps == [1]


def test_a_task_that_exits_behind_a_call_does_not_end_the_loop(loop: Loop) -> None:
    left: list[asyncio.Task[None]] = []

    async def leave() -> None:
        raise SystemExit(3)

    async def begin() -> str:
        left.append(asyncio.create_task(leave()))
        return "begun"

    assert Task(loop).run(begin) == "begun"
    wait_until(lambda: left[0].done())
    assert Task(loop).run(begin) == "begun"
