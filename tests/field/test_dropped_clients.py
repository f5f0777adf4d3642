"""Clients that nobody closed: they go, and say so, as files and sockets do; but not while a future of theirs waits."""

from __future__ import annotations

import asyncio
import gc
import threading
import warnings
from collections.abc import Iterator
from typing import Any

import psutil
import pytest
from support.processes import ServerProcess, wait_until
from support.programs import run_program

from rpcsvc import AsyncRpcClient, RpcClient
from rpcsvc.broker import PrivateBroker
from rpcsvc.settings import BrokerUrl


class Left:
    """How many threads and connections this process has beside those it had before."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._before = (0, 0)
        self._before = self.now

    @property
    def now(self) -> tuple[int, int]:
        threads = sum(thread.name.startswith("rpcsvc") for thread in threading.enumerate())
        connections = psutil.Process().net_connections("tcp")
        open_ones = sum(
            each.raddr and each.raddr.port == self._port and each.status == "ESTABLISHED" for each in connections
        )
        return threads - self._before[0], open_ones - self._before[1]


@pytest.fixture
def left(broker: PrivateBroker) -> Left:
    gc.collect()
    return Left(BrokerUrl.parse(broker.url).port)


@pytest.fixture
def warned() -> Iterator[list[str]]:
    """What was warned of."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        told: list[Any] = caught
        yield told


def told_of(warned: list[Any]) -> list[str]:
    return [
        str(each.message) for each in warned if each.category is ResourceWarning and "rpc" in str(each.message).lower()
    ]


def test_clients_that_are_dropped_go_with_a_warning_each(
    broker: PrivateBroker, server: ServerProcess, left: Left, warned: list[Any]
) -> None:
    for number in range(10):
        client = RpcClient(broker.url, queue=server.queue)
        assert client.call("echo", number) == number
        assert client.submit("echo", number).result() == number
        assert list(client.map("echo", [number])) == [number]
    assert left.now[0] >= 1
    del client

    wait_until(lambda: left.now == (0, 0))
    assert len(told_of(warned)) == 10
    assert all(text.startswith("unclosed <RpcClient connected") for text in told_of(warned))
    assert not any(broker.url in text for text in told_of(warned)), "no password is shown"


def test_clients_that_are_closed_are_not_told_of(
    broker: PrivateBroker, server: ServerProcess, left: Left, warned: list[Any]
) -> None:
    with RpcClient(broker.url, queue=server.queue) as client:
        client.call("echo", 1)
    del client
    with pytest.raises(ValueError, match="queue"):
        RpcClient(broker.url, queue="")
    gc.collect()
    assert (left.now, told_of(warned)) == ((0, 0), [])


def test_a_future_in_hand_keeps_its_client_until_it_is_done(
    broker: PrivateBroker, server: ServerProcess, left: Left, warned: list[Any]
) -> None:
    future = RpcClient(broker.url, queue=server.queue).submit("nap", 0.5)
    gc.collect()
    assert left.now == (1, 1)
    assert told_of(warned) == []

    assert future.result(timeout=10) == 0.5
    wait_until(lambda: left.now == (0, 0))
    assert len(told_of(warned)) == 1
    assert future.result() == 0.5


def test_a_call_that_nobody_holds_the_future_of_is_made_all_the_same(
    broker: PrivateBroker, server: ServerProcess, left: Left, warned: list[Any], tmp_path: Any
) -> None:
    RpcClient(broker.url, queue=server.queue).submit("write_then_sleep", str(tmp_path / "ran"), "x", 0.2)

    wait_until(lambda: left.now == (0, 0))
    assert (tmp_path / "ran").read_text() == "x\n"


@pytest.mark.parametrize("way", ["cancelled", "timed out", "failed"])
def test_however_its_last_call_ends_it_goes(
    broker: PrivateBroker, server: ServerProcess, left: Left, warned: list[Any], way: str
) -> None:
    client = RpcClient(broker.url, queue=server.queue)
    future = (
        client.submit("fib", -1)
        if way == "failed"
        else client.submit("nap", 5, timeout=0.2 if way != "cancelled" else 20)
    )
    del client
    if way == "cancelled":
        future.cancel()
    wait_until(future.done)
    wait_until(lambda: left.now == (0, 0))


def test_a_map_in_hand_keeps_its_client(
    broker: PrivateBroker, server: ServerProcess, left: Left, warned: list[Any]
) -> None:
    results = RpcClient(broker.url, queue=server.queue).map("echo", range(1000))
    gc.collect()
    assert list(results) == list(range(1000))
    del results
    wait_until(lambda: left.now == (0, 0))


def test_one_that_is_part_of_a_circle_goes_with_it(
    broker: PrivateBroker, server: ServerProcess, left: Left, warned: list[Any]
) -> None:
    class Owner:
        def __init__(self) -> None:
            self.me = self
            self.client = RpcClient(broker.url, queue=server.queue)

    Owner()
    assert left.now == (1, 1)
    gc.collect()
    wait_until(lambda: left.now == (0, 0))
    assert len(told_of(warned)) == 1


def test_a_warning_that_is_an_error_does_not_keep_it(broker: PrivateBroker, server: ServerProcess) -> None:
    program = """
        import os, threading, time
        from rpcsvc import RpcClient
        RpcClient(queue=os.environ["QUEUE"]).call("echo", 1)
        end = time.monotonic() + 10
        while threading.active_count() > 1 and time.monotonic() < end:
            time.sleep(0.01)
        print(threading.active_count())
    """
    done = run_program(broker, server.queue, program, "-W", "error")
    assert (done.stdout, done.returncode) == ("1\n", 0)
    assert "ResourceWarning: unclosed <RpcClient" in done.stderr


def test_in_a_forked_child_those_of_the_parent_are_dropped_in_silence(
    broker: PrivateBroker, server: ServerProcess
) -> None:
    program = """
        import gc, os
        from rpcsvc import OutOfPlace, RpcClient
        client = RpcClient(queue=os.environ["QUEUE"])
        future = client.submit("nap", 0.5)
        child = os.fork()
        if child == 0:
            try:
                future.result()
            except OutOfPlace:
                del client, future
                gc.collect()
                os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        assert future.result() == 0.5
        client.close()
        print("done")
    """
    done = run_program(broker, server.queue, program, "-W", "error")
    assert (done.stdout, done.stderr, done.returncode) == ("done\n", "", 0)


# ---- asyncio


def test_an_asyncio_client_that_is_dropped_goes_with_a_warning(
    broker: PrivateBroker, server: ServerProcess, left: Left, warned: list[Any]
) -> None:
    async def main() -> None:
        for number in range(5):
            client = AsyncRpcClient(broker.url, queue=server.queue)
            assert await client.call("echo", number) == number
        del client
        await asyncio.to_thread(wait_until, lambda: left.now[1] == 0)
        assert len(told_of(warned)) == 5

    asyncio.run(main())


def test_an_asyncio_future_in_hand_keeps_its_client(
    broker: PrivateBroker, server: ServerProcess, left: Left, warned: list[Any]
) -> None:
    async def main() -> None:
        future = AsyncRpcClient(broker.url, queue=server.queue).submit("nap", 0.3)
        gc.collect()
        assert told_of(warned) == []
        assert await asyncio.wait_for(future, 10) == 0.3
        del future
        gc.collect()
        await asyncio.to_thread(wait_until, lambda: left.now[1] == 0)
        assert len(told_of(warned)) == 1

    asyncio.run(main())


def test_an_asyncio_client_that_outlives_its_loop_is_told_of_and_its_connection_goes(
    broker: PrivateBroker, server: ServerProcess, left: Left, warned: list[Any]
) -> None:
    client = AsyncRpcClient(broker.url, queue=server.queue)
    assert asyncio.run(client.call("echo", 1)) == 1
    del client
    gc.collect()
    assert len(told_of(warned)) == 1
    warned.clear()  # these know the client
    gc.collect()
    wait_until(lambda: left.now == (0, 0))


def test_an_asyncio_client_that_is_closed_or_was_never_used_is_not_told_of(
    broker: PrivateBroker, server: ServerProcess, left: Left, warned: list[Any]
) -> None:
    async def main() -> None:
        async with AsyncRpcClient(broker.url, queue=server.queue) as client:
            await client.call("echo", 1)
            await client.close()

    asyncio.run(main())
    AsyncRpcClient(broker.url, queue=server.queue)
    gc.collect()
    assert (left.now, told_of(warned)) == ((0, 0), [])
