"""The engine is driven by whoever has input and output: an event loop, a thread, or the threads that call, in turn.

Each driver here has an echo for a server: what is published comes back as its result, unless the method is `lost`.
"""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from queue import Empty, SimpleQueue
from typing import Any, cast

import pytest
from support.engines import QUEUE

from rpcsvc.client.engine import Engine
from rpcsvc.client.messages import Call, Message
from rpcsvc.errors import RpcTimeout
from rpcsvc.settings.client import ClientOptions
from rpcsvc.wire import jsonrpc
from rpcsvc.wire.sizes import BodyLimit

SHORT = 0.05
"""Seconds of a time-out that is waited for."""


class Driver:
    """What is common to the drivers: an engine, and a port whose events come by `post`."""

    def __init__(self) -> None:
        self.numbers = itertools.count(1)
        options = ClientOptions(queue=QUEUE, pack=False)
        self.engine = Engine(self, time.monotonic, limit=BodyLimit(), number=self.number, routes=[options])
        self.wake = float("inf")

    def number(self) -> str:
        return str(next(self.numbers))

    def post(self, event: Callable[[], None]) -> None:
        """Have the engine told of something, as soon as it has returned."""
        raise NotImplementedError

    def make(self, method: str, argument: Any, timeout: float, outcome: Any) -> Call:
        params = cast(bytes, jsonrpc.encode_params([argument], {}))
        return Call(self.number(), method, params, True, timeout, time.monotonic(), outcome, QUEUE)

    def publish(self, message: Message, body: bytes, seconds: float) -> bool:
        request = jsonrpc.parse(body)
        assert isinstance(request, jsonrpc.Request)
        if request.method != "lost":
            response = jsonrpc.encode_result(request.id, request.args[0])
            self.post(lambda: self.engine.delivered(message.message_id, response))
        return True

    def resolve(self, call: Call, result: Any) -> None:
        call.outcome.set_result(result)

    def fail(self, call: Call, error: BaseException) -> None:
        call.outcome.set_exception(error)

    def open(self) -> None:
        self.post(lambda: self.engine.opened("amq.gen-1"))

    def observe(self, queue: str) -> None:
        self.post(lambda: self.engine.observed(queue, 0, 1))

    def settle(self, queue: str) -> None:
        raise AssertionError("the queue is shown")

    def tell(self, given_up: Mapping[str, Mapping[str, float]]) -> None:
        pass

    def gather(self) -> None:
        raise AssertionError("nothing is packed")

    def wake_at(self, moment: float) -> None:
        self.wake = moment


# ---- an event loop ----------------------------------------------------------------------------------------------


class LoopDriver(Driver):
    """Everything is a callback of the running loop."""

    timer: asyncio.TimerHandle | None = None

    def post(self, event: Callable[[], None]) -> None:
        asyncio.get_running_loop().call_soon(event)

    def wake_at(self, moment: float) -> None:
        if self.timer is not None:
            self.timer.cancel()
        left = max(0.0, moment - time.monotonic()) + 0.001
        self.timer = asyncio.get_running_loop().call_later(left, self.engine.tick)

    async def call(self, method: str, argument: Any, timeout: float = 10.0) -> Any:
        outcome: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.engine.submitted(self.make(method, argument, timeout, outcome))
        return await outcome


def test_an_event_loop_drives_it() -> None:
    async def main() -> None:
        driver = LoopDriver()
        assert await asyncio.gather(*(driver.call("f", n) for n in range(100))) == list(range(100))
        with pytest.raises(RpcTimeout):
            await driver.call("lost", 1, timeout=SHORT)

    asyncio.run(main())


# ---- a thread ---------------------------------------------------------------------------------------------------


class ThreadDriver(Driver):
    """A thread takes events out of a queue, and wakes when there is something to do."""

    def __init__(self) -> None:
        super().__init__()
        self.events: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self.thread = threading.Thread(target=self.live)
        self.thread.start()

    def post(self, event: Callable[[], None]) -> None:
        self.events.put(event)

    def live(self) -> None:
        while True:
            try:
                event = self.events.get(timeout=min(max(0.0, self.wake - time.monotonic()), 60.0))
            except Empty:
                self.wake = float("inf")
                self.engine.tick()
                continue
            if event is None:
                return
            event()

    def call(self, method: str, argument: Any, timeout: float = 10.0) -> Any:
        outcome: Future[Any] = Future()
        call = self.make(method, argument, timeout, outcome)
        self.post(lambda: self.engine.submitted(call))
        return outcome.result()


def test_a_thread_drives_it() -> None:
    driver = ThreadDriver()
    try:
        with ThreadPoolExecutor(4) as callers:
            assert list(callers.map(lambda n: driver.call("f", n), range(100))) == list(range(100))
        with pytest.raises(RpcTimeout):
            driver.call("lost", 1, timeout=SHORT)
    finally:
        driver.events.put(None)
        driver.thread.join()


# ---- the threads that call --------------------------------------------------------------------------------------


class CallersDriver(Driver):
    """There is no other thread: who waits does input and output meanwhile, one at a time, for all."""

    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.Condition()
        self.network: deque[Callable[[], None]] = deque()

    def post(self, event: Callable[[], None]) -> None:
        self.network.append(event)

    def call(self, method: str, argument: Any, timeout: float = 10.0) -> Any:
        outcome: Future[Any] = Future()
        with self.lock:
            self.engine.submitted(self.make(method, argument, timeout, outcome))
            while not outcome.done():
                self.work()
                self.lock.notify_all()
        return outcome.result()

    def work(self) -> None:
        """Deal with what has come; else let others, until there is something to do."""
        if self.network:
            self.network.popleft()()
        elif (left := self.wake - time.monotonic()) > 0:
            self.lock.wait(left)
        else:
            self.wake = float("inf")
            self.engine.tick()


def test_a_lone_caller_drives_it_itself() -> None:
    driver = CallersDriver()
    assert [driver.call("f", number) for number in range(100)] == list(range(100))
    with pytest.raises(RpcTimeout):
        driver.call("lost", 1, timeout=SHORT)


def test_callers_in_several_threads_drive_it_in_turn_under_a_lock() -> None:
    driver = CallersDriver()
    with ThreadPoolExecutor(4) as callers:
        assert list(callers.map(lambda n: driver.call("f", n), range(200))) == list(range(200))
    assert driver.engine.pending == 0
