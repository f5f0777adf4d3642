"""The threads that call, on a client whose calls end when the test says so."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import pytest

from rpcsvc.bench.generator import error_name, generate
from rpcsvc.bench.load import Load
from rpcsvc.bench.tally import Tally, Window
from rpcsvc.errors import ClientClosed, ConnectionFailed, FunctionRaised, RpcTimeout, WorkerLost


class Scripted:
    """A client that hands each call's future to a function, and keeps count."""

    def __init__(self, begin: Callable[[Future[Any]], object]) -> None:
        self._begin = begin
        self.calls = 0
        self.under_way = 0
        self.most_under_way = 0

    def submit(self, method: str, /, *args: Any, timeout: float | None = None, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self.calls += 1
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        future.add_done_callback(self._ended)
        self._begin(future)
        return future

    def call(self, method: str, /, *args: Any, timeout: float | None = None, **kwargs: Any) -> Any:
        return self.submit(method, *args, timeout=timeout, **kwargs).result()

    def _ended(self, _: object) -> None:
        self.under_way -= 1


def _generated(load: Load, client: Scripted, stop: threading.Event | None = None) -> Tally:
    tally = Tally(Window.after(time.monotonic(), load.warm_up, load.duration))
    generate(client, load, 0, tally, stop or threading.Event())
    return tally


def _load(**what: Any) -> Load:
    return Load(**{"method": "fib", "arguments": "[[30],{}]", "warm_up": 0.0, "duration": 0.1, "timeout": 1.0, **what})


def _after(seconds: float) -> Callable[[Future[Any]], None]:
    return lambda future: threading.Timer(seconds, future.set_result, (1,)).start()


@pytest.mark.parametrize("in_flight", [1, 5])
def test_a_closed_loop_keeps_so_many_calls_under_way_and_all_are_counted(in_flight: int) -> None:
    client = Scripted(_after(0.01))

    tally = _generated(_load(in_flight=in_flight), client)

    assert client.most_under_way == in_flight
    assert tally.sent == tally.succeeded == client.calls
    assert tally.latencies.summary().least >= 9_000
    assert client.under_way == 0


def test_warm_up_is_load_that_does_not_count() -> None:
    client = Scripted(_after(0.005))
    tally = _generated(_load(warm_up=0.1), client)
    assert 0 < tally.sent < client.calls


def test_an_open_loop_sends_all_that_was_meant_to_start() -> None:
    client = Scripted(_after(0.001))

    tally = _generated(_load(rate=500.0, arrivals="constant"), client)

    assert tally.sent + tally.never_sent == 50
    assert tally.succeeded == tally.sent


def test_an_overload_is_bounded_and_says_what_was_never_sent() -> None:
    begun: list[Future[Any]] = []
    client = Scripted(begun.append)
    threading.Timer(0.15, lambda: [future.set_result(1) for future in begun]).start()

    tally = _generated(_load(rate=100_000.0, arrivals="constant", in_flight=7), client)

    assert client.most_under_way == 7
    assert tally.sent == tally.succeeded == 7
    assert tally.sent + tally.never_sent == 10_000


def test_a_stall_is_in_the_latencies_of_the_calls_that_should_have_started_meanwhile() -> None:
    """Coordinated omission: with only the sent calls timed, one call would be slow, and here it is every one."""
    begun: list[Future[Any]] = []
    client = Scripted(begun.append)

    def stall_then_answer_at_once() -> None:
        client._begin = lambda future: future.set_result(1)
        for future in begun:
            future.set_result(1)

    threading.Timer(0.12, stall_then_answer_at_once).start()  # the clock of the calls starts a little later

    tally = _generated(_load(rate=1000.0, arrivals="constant", in_flight=1, duration=0.2), client)

    assert tally.sent + tally.never_sent == 200
    assert tally.latencies.summary().at(50.0) > 500  # half of all calls were due before the stall was over
    assert tally.late > 60
    assert tally.largest_delay > 0.05


def test_a_window_begins_without_the_backlog_of_its_warm_up() -> None:
    begun: list[Future[Any]] = []
    client = Scripted(begun.append)

    def answer() -> None:
        client._begin = lambda future: future.set_result(1)
        for future in begun:
            future.set_result(1)

    threading.Timer(0.12, answer).start()

    tally = _generated(_load(rate=1000.0, arrivals="constant", in_flight=1, warm_up=0.1), client)

    assert tally.sent + tally.never_sent == 100
    assert client.calls == tally.sent + 1  # the one of the warm-up that stalled


def test_errors_are_counted_and_calls_go_on() -> None:
    errors = [RpcTimeout("fib", 1.0, "1"), WorkerLost("gone"), None]

    def begin(future: Future[Any]) -> None:
        error = errors[client.calls % 3]
        threading.Timer(0.002, future.set_exception if error else future.set_result, (error,)).start()

    client = Scripted(begin)

    tally = _generated(_load(in_flight=3), client)

    assert set(tally.errors) == {"RpcTimeout", "WorkerLost"}
    assert tally.succeeded + sum(tally.errors.values()) == tally.sent


@pytest.mark.parametrize("in_flight", [1, 4])
def test_calls_that_find_no_way_are_not_repeated_at_full_speed(in_flight: int) -> None:
    client = Scripted(lambda future: future.set_exception(ConnectionFailed("nobody")))

    tally = _generated(_load(in_flight=in_flight), client)

    assert tally.errors == {"ConnectionFailed": client.calls}
    assert client.calls <= 10 * in_flight


@pytest.mark.parametrize("in_flight", [1, 4])
def test_a_submit_that_raises_is_an_error_like_others(in_flight: int) -> None:
    def refuse(_: object) -> None:
        raise ConnectionFailed("nobody")

    tally = _generated(_load(in_flight=in_flight), Scripted(refuse))

    assert tally.errors["ConnectionFailed"] == tally.sent > 0


def test_a_stop_gives_up_what_is_under_way() -> None:
    stop = threading.Event()
    threading.Timer(0.05, stop.set).start()

    tally = _generated(_load(in_flight=3, duration=30.0), Scripted(lambda _: None), stop)

    assert (tally.sent, tally.unfinished, tally.succeeded) == (3, 3, 0)


def test_calls_that_end_because_of_the_stop_are_no_errors() -> None:
    stop = threading.Event()
    begun: list[Future[Any]] = []

    def close() -> None:
        stop.set()
        for future in begun:
            future.set_exception(ClientClosed("the client was closed"))

    threading.Timer(0.05, close).start()

    tally = _generated(_load(in_flight=3, duration=30.0), Scripted(begun.append), stop)

    assert (tally.sent, tally.unfinished, dict(tally.errors)) == (3, 3, {})


def test_an_error_of_a_function_is_counted_by_what_was_raised() -> None:
    raised = FunctionRaised("LookupError: oh", data={"type": "LookupError", "message": "oh"})
    assert error_name(raised) == "FunctionRaised: LookupError"
    assert error_name(FunctionRaised("oh")) == "FunctionRaised"
    assert error_name(WorkerLost("gone")) == "WorkerLost"
