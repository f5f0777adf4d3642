"""`max_in_flight`: callers wait for room, no longer than their time-out, and no place is lost."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from support.processes import wait_until

from rpcsvc import ClientClosed, ConfigurationError, FunctionRaised, InvalidParams, RpcClient, RpcTimeout, WorkerLost
from rpcsvc.broker import PrivateBroker
from rpcsvc.testing import scaled

pytestmark = pytest.mark.usefixtures("server")


@contextmanager
def client_with_room_for(broker: PrivateBroker, calls: int) -> Iterator[RpcClient]:
    with RpcClient(broker.url, timeout=20, max_in_flight=calls) as client:
        client.call("rpc.ping")
        yield client


def in_threads(count: int, work: Any) -> list[threading.Thread]:
    threads = [threading.Thread(target=work, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    return threads


def test_a_submit_beyond_the_limit_waits_until_there_is_room(broker: PrivateBroker) -> None:
    with client_with_room_for(broker, 3) as client:
        started = time.monotonic()
        first = [client.submit("sleep", 0.4) for _ in range(3)]
        assert time.monotonic() - started < scaled(0.3)
        following = client.submit("echo", "there was room")

        assert time.monotonic() - started >= 0.4
        assert any(future.done() for future in first)
        assert following.result() == "there was room"


def test_no_more_calls_wait_than_the_limit_says_however_many_threads_submit(broker: PrivateBroker) -> None:
    most = 0
    with client_with_room_for(broker, 10) as client:

        def work(thread: int) -> None:
            nonlocal most
            futures = []
            for number in range(100):
                futures.append(client.submit("echo", [thread, number]))
                most = max(most, client.pending)
            assert [future.result() for future in futures] == [[thread, number] for number in range(100)]
            done.append(thread)

        done: list[int] = []
        for thread in in_threads(20, work):
            thread.join()

    assert sorted(done) == list(range(20))
    assert 5 < most <= 10


def test_call_waits_for_room_as_submit_does(broker: PrivateBroker) -> None:
    results: list[Any] = []
    with client_with_room_for(broker, 2) as client:
        for thread in in_threads(30, lambda number: results.append(client.call("echo", number))):
            thread.join()
    assert sorted(results) == list(range(30))


@pytest.mark.parametrize("way", ["call", "submit"])
def test_who_finds_no_room_in_time_is_told_so_by_the_time_out(broker: PrivateBroker, way: str) -> None:
    with client_with_room_for(broker, 1) as client:
        busy = client.submit("sleep", 1.0)
        started = time.monotonic()
        waiting: Callable[[], Any] = {
            "call": lambda: client.call("fib", 30, timeout=0.2),
            "submit": lambda: client.submit("fib", 30, timeout=0.2).result(timeout=0),
        }[way]
        with pytest.raises(RpcTimeout) as caught:
            waiting()
        assert 0.2 <= time.monotonic() - started < scaled(0.45)
        assert (caught.value.method, caught.value.timeout) == ("fib", 0.2)
        assert busy.result() == 1.0
        assert client.call("fib", 30) == 832040


def test_a_done_callback_may_submit_however_full_it_is(broker: PrivateBroker) -> None:
    """It runs in the thread that makes room; if that waited for room, nobody would."""
    with client_with_room_for(broker, 1) as client:
        chain: list[Any] = []
        done = threading.Event()

        def then(future: Any) -> None:
            chain.append(future.result())
            if len(chain) < 50:
                for _ in range(2):  # one more than there is room for
                    following = client.submit("echo", len(chain))
                following.add_done_callback(then)
            else:
                done.set()

        client.submit("echo", 0).add_done_callback(then)
        assert done.wait(10)
        assert chain == list(range(50))
        wait_until(lambda: client.pending == 0)


def test_every_end_of_a_call_gives_its_place_back(broker: PrivateBroker) -> None:
    with client_with_room_for(broker, 2) as client:
        for _ in range(3):
            ends: list[type[Exception]] = []
            for method, args, timeout in (
                ("fib", (-1,), 5.0),
                ("fib", ("x",), 5.0),
                ("exit_hard", (7,), 5.0),
                ("sleep", (0.3,), 0.1),
            ):
                error = client.submit(method, *args, timeout=timeout).exception()
                assert error is not None
                ends.append(type(error))  # type: ignore[arg-type]
            assert ends == [FunctionRaised, InvalidParams, WorkerLost, RpcTimeout]
            assert client.submit("sleep", 0.2).cancel()
        started = time.monotonic()
        futures = [client.submit("echo", number) for number in range(2)]
        assert time.monotonic() - started < scaled(0.2), "both places are free"
        assert [future.result() for future in futures] == [0, 1]


def test_an_argument_that_cannot_travel_takes_no_place(broker: PrivateBroker) -> None:
    with client_with_room_for(broker, 1) as client:
        for _ in range(3):
            with pytest.raises(ValueError, match="lock"):
                client.submit("echo", threading.Lock())
        assert client.call("echo", 1, timeout=2) == 1


def test_closing_sends_everybody_away_who_waits_for_room(broker: PrivateBroker) -> None:
    ends: list[BaseException | None] = []
    client = RpcClient(broker.url, timeout=20, max_in_flight=1)
    with client:
        running = client.submit("sleep", 1.0)

        def work(number: int) -> None:
            try:
                if number % 2:
                    ends.append(client.submit("echo", number).exception(timeout=5))
                else:
                    client.call("echo", number)
            except ClientClosed as error:
                ends.append(error)

        threads = in_threads(20, work)
        time.sleep(0.2)
    for thread in threads:
        thread.join(5)

    assert [type(end) for end in ends] == [ClientClosed] * 20
    assert isinstance(running.exception(timeout=0), ClientClosed)


def test_a_map_goes_on_where_there_is_room_for_one_message(broker: PrivateBroker) -> None:
    with client_with_room_for(broker, 1) as client:
        assert list(client.map("echo", range(2000))) == list(range(2000))


@pytest.mark.parametrize("limit", [0, -1, 1.5, True, "10"], ids=repr)
def test_a_limit_that_is_none_is_refused(broker: PrivateBroker, limit: Any) -> None:
    with pytest.raises(ConfigurationError, match="max_in_flight"):
        RpcClient(broker.url, max_in_flight=limit)
