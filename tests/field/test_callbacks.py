"""What may be done in a done callback, and in a finalizer: work, or raise at once, and the client goes on."""

from __future__ import annotations

import concurrent.futures
import gc
import logging
import sys
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from support.processes import ServerProcess, wait_until

from rpcsvc import ClientClosed, OutOfPlace, RpcClient
from rpcsvc.broker import PrivateBroker

WAITING: dict[str, Callable[[RpcClient], Any]] = {
    "call": lambda client: client.call("fib", 10),
    "proxy": lambda client: client.proxy.fib(10),
    "result": lambda client: client.submit("fib", 10).result(),
    "result in time": lambda client: client.submit("fib", 10).result(timeout=5),
    "exception": lambda client: client.submit("fib", 10).exception(),
    "map": lambda client: list(client.map("fib", range(10))),
    "unordered map": lambda client: list(client.map("fib", range(10), ordered=False)),
    "wait": lambda client: concurrent.futures.wait([client.submit("fib", 10)]),
    "as_completed": lambda client: list(concurrent.futures.as_completed([client.submit("fib", 10)])),
    "another client": lambda client: RpcClient(str(client._urls.reveal())),
}


def after(client: RpcClient, then: Callable[[], Any], timeout: float = 10) -> Any:
    """What `then` returns, or raises, in a done callback: of a short call, or of one that times out."""
    ended: concurrent.futures.Future[Any] = concurrent.futures.Future()

    def callback(_: object) -> None:
        try:
            ended.set_result(then())
        except BaseException as error:
            ended.set_exception(error)

    client.submit("nap", 0.05, timeout=timeout).add_done_callback(callback)
    return ended.result(timeout=10)


@pytest.mark.parametrize("way", WAITING)
def test_what_would_wait_in_a_done_callback_raises_at_once_and_the_client_goes_on(client: RpcClient, way: str) -> None:
    with pytest.raises(OutOfPlace, match="client's own thread"):
        after(client, lambda: WAITING[way](client))

    assert client.call("fib", 30, timeout=5) == 832040
    with pytest.raises(TimeoutError):  # its clock goes too
        client.call("nap", 5, timeout=0.1)


@pytest.mark.parametrize("way", WAITING)
def test_another_client_is_not_waited_for_either(client: RpcClient, broker: PrivateBroker, way: str) -> None:
    """Two that wait for each other's threads would never go on."""
    with RpcClient(broker.url, queue=client._options.queue) as other:
        with pytest.raises(OutOfPlace):
            after(client, lambda: WAITING[way](other))
        assert other.call("fib", 30) == 832040


def test_what_does_not_wait_works_in_a_done_callback(client: RpcClient) -> None:
    done = client.submit("fib", 20)
    assert done.result() == 6765
    pending = client.submit("nap", 0.2)

    def then() -> Any:
        assert concurrent.futures.wait([done]).done == {done}
        assert list(concurrent.futures.as_completed([done])) == [done]
        with pytest.raises(TimeoutError):
            pending.result(timeout=0)
        assert client.submit("nap", 5).cancel()
        with client.map("fib", range(10)):
            pass
        return done.result(), client.pending >= 1, client.submit("fib", 10)

    result, has_pending, following = after(client, then)
    assert (result, has_pending, following.result()) == (6765, True, 55)
    assert pending.result() == 0.2
    assert concurrent.futures.wait([done, pending], timeout=5).not_done == set(), "no lock of theirs is left held"


def test_a_map_that_would_wait_loses_nothing(client: RpcClient) -> None:
    results = client.map("nap", [0.5] * 3)

    with pytest.raises(OutOfPlace):
        after(client, lambda: next(results), timeout=0.05)  # the workers are with the map
    assert list(results) == [0.5] * 3


def test_close_in_a_done_callback_closes(broker: PrivateBroker, server: ServerProcess) -> None:
    with RpcClient(broker.url, queue=server.queue) as client:
        running = client.submit("nap", 5)
        after(client, client.close)

        assert isinstance(running.exception(timeout=5), ClientClosed)
        with pytest.raises(ClientClosed):
            client.call("fib", 30)
    wait_until(lambda: not any(thread.name == "rpcsvc-client" for thread in threading.enumerate()))


# ---- finalizers


class Finalizes:
    """Does something when it is collected."""

    def __init__(self, then: Callable[[], Any]) -> None:
        self.then = then
        self.circle = self

    def __del__(self) -> None:
        self.then()


@pytest.fixture
def unraisable(monkeypatch: pytest.MonkeyPatch) -> list[BaseException | None]:
    """What finalizers raised."""
    raised: list[BaseException | None] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda args: raised.append(args.exc_value))
    return raised


@pytest.mark.parametrize("way", [*WAITING, "close"])
def test_a_finalizer_that_the_collector_runs_there_raises_or_works_and_the_client_goes_on(
    broker: PrivateBroker, server: ServerProcess, unraisable: list[BaseException | None], way: str
) -> None:
    gc.collect()
    gc.disable()
    try:
        with RpcClient(broker.url, queue=server.queue) as client, RpcClient(broker.url, queue=server.queue) as other:
            Finalizes(other.close if way == "close" else lambda: WAITING[way](client))
            after(client, gc.collect)

            assert [type(error) for error in unraisable] == [OutOfPlace] * (way != "close")
            assert client.call("fib", 30, timeout=5) == 832040
    finally:
        gc.enable()


def test_a_weak_references_callback_there_raises_too(client: RpcClient, unraisable: list[BaseException | None]) -> None:
    def then() -> None:
        thing = Finalizes(lambda: None)
        reference = weakref.ref(thing, lambda _: client.call("fib", 10))
        thing.circle = None  # type: ignore[assignment]
        del thing
        assert reference() is None

    after(client, then)
    assert [type(error) for error in unraisable] == [OutOfPlace]
    assert client.call("fib", 30, timeout=5) == 832040


def test_finalizers_on_any_thread_may_call_at_any_moment(client: RpcClient) -> None:
    """The collector runs them in the midst of whatever allocates, that of the client included."""
    futures: list[Any] = []
    before = gc.get_threshold()
    gc.set_threshold(5)
    try:
        for number in range(300):
            Finalizes(lambda: futures.append(client.submit("fib", 10)))
            Finalizes(lambda: futures.append(client.submit("nap", 5)) or futures[-1].cancel())
            assert client.call("echo", number, timeout=10) == number
    finally:
        gc.set_threshold(*before)
    gc.collect()
    assert len(futures) == 600
    assert {future.result(timeout=10) for future in futures if not future.cancelled()} == {55}


# ---- callbacks that fail, or take long


def test_whatever_a_callback_raises_is_logged_and_ends_nothing(
    client: RpcClient, caplog: pytest.LogCaptureFixture
) -> None:
    ends: list[str] = []

    def fail(error: BaseException) -> Callable[[object], None]:
        def callback(_: object) -> None:
            raise error

        return callback

    future = client.submit("nap", 0.1)
    for error in (ValueError("oh"), KeyboardInterrupt(), SystemExit(3)):
        future.add_done_callback(fail(error))
    future.add_done_callback(lambda _: ends.append("reached"))

    assert future.result() == 0.1
    wait_until(lambda: ends)
    assert [record.exc_info and record.exc_info[0] for record in caplog.records] == [
        ValueError,
        KeyboardInterrupt,
        SystemExit,
    ]
    assert client.call("fib", 30, timeout=5) == 832040


def test_callbacks_that_take_long_are_told(client: RpcClient, caplog: pytest.LogCaptureFixture) -> None:
    future = client.submit("nap", 0.1)
    future.add_done_callback(lambda _: time.sleep(1.1))

    with caplog.at_level(logging.WARNING):
        assert client.call("nap", 0.2) == 0.2
    assert any("own thread" in record.getMessage() for record in caplog.records)
