"""Calls without a time-out: they wait as long as it takes, and everything else about them holds."""

from __future__ import annotations

import asyncio
import math
import signal
import threading
from collections.abc import Iterator
from typing import Any

import pika
import pytest
from support.processes import ServerProcess, wait_until

from rpcsvc import AsyncRpcClient, ConfigurationError, FunctionRaised, NoServer, RpcClient, RpcTimeout
from rpcsvc.broker import PrivateBroker


@pytest.fixture(params=[None, math.inf], ids=["None", "inf"])
def endless(request: pytest.FixtureRequest, broker: PrivateBroker, server: ServerProcess) -> Iterator[RpcClient]:
    """A client whose calls have no time-out."""
    with RpcClient(broker.url, queue=server.queue, timeout=request.param, max_in_flight=50) as client:
        yield client
        wait_until(lambda: client.pending == 0)


def test_it_calls_submits_and_maps(endless: RpcClient) -> None:
    assert endless.call("fib", 30) == 832040
    assert endless.call("nap", 0.5) == 0.5
    futures = [endless.submit("echo", number) for number in range(500)]  # beyond the room too, and packed
    assert [future.result() for future in futures] == list(range(500))
    assert list(endless.map("echo", range(500))) == list(range(500))
    assert list(endless.map("nap", [0.3] * 5)) == [0.3] * 5
    with pytest.raises(FunctionRaised):
        endless.call("fib", -1)
    assert endless.call("echo", b"x" * 100_000) == b"x" * 100_000


def test_a_call_may_have_a_time_out_of_its_own_among_others(endless: RpcClient) -> None:
    running = endless.submit("nap", 1.0)
    with pytest.raises(RpcTimeout):
        endless.call("nap", 5, timeout=0.2)
    later = endless.submit("nap", 5, timeout=0.3)
    assert isinstance(later.exception(), RpcTimeout)
    assert running.result() == 1.0


def test_a_call_may_have_none_on_a_client_that_has_one(broker: PrivateBroker, server: ServerProcess) -> None:
    with RpcClient(broker.url, queue=server.queue, timeout=0.2) as client:
        assert client.call("nap", 0.6, timeout=math.inf) == 0.6
        assert list(client.map("nap", [0.6] * 2, timeout=math.inf)) == [0.6] * 2
        for given in (None, 0.2):
            with pytest.raises(RpcTimeout):
                client.call("nap", 5, timeout=given)


def test_it_can_be_cancelled_in_the_queue_and_while_it_runs(endless: RpcClient, server: ServerProcess) -> None:
    running = [endless.submit("nap", 60) for _ in range(2)]
    waiting = endless.submit("nap", 60)
    wait_until(lambda: endless.pending == 3)
    for future in (waiting, *running):
        assert future.cancel()
    assert endless.call("fib", 30, timeout=5) == 832040


def test_its_messages_have_no_expiration(endless: RpcClient, broker: PrivateBroker, queue: str) -> None:
    with (
        pika.BlockingConnection(pika.URLParameters(broker.url)) as connection,
        RpcClient(broker.url, queue=queue, timeout=endless._options.timeout) as client,
    ):
        channel = connection.channel()
        channel.queue_declare(queue, durable=True)
        seen: list[Any] = []
        channel.basic_consume(queue, lambda *message: seen.append(message[2]), auto_ack=True)
        future = client.submit("fib", 30)
        wait_until(lambda: connection.process_data_events(0.05) or seen)
        future.cancel()
    assert seen[0].expiration is None


def test_where_nobody_serves_it_ends_all_the_same(broker: PrivateBroker, queue: str) -> None:
    with RpcClient(broker.url, queue=queue, timeout=None) as client, pytest.raises(NoServer):
        client.call("fib", 30)


def test_it_can_wait_for_a_server_for_ever(broker: PrivateBroker, queue: str) -> None:
    with RpcClient(broker.url, queue=queue, timeout=None, wait_for_server=math.inf) as client:
        future = client.submit("fib", 30)
        with pytest.raises(TimeoutError):
            future.result(timeout=1.0)
        with ServerProcess(broker.url, "--workers", "1", "--queue", queue):
            assert future.result(timeout=20) == 832040


def test_closing_ends_it(broker: PrivateBroker, server: ServerProcess) -> None:
    client = RpcClient(broker.url, queue=server.queue, timeout=None, max_in_flight=1)
    ends: list[BaseException | None] = [None, None]
    running = client.submit("nap", 60)

    def second() -> None:
        ends[1] = client.submit("nap", 60).exception()

    thread = threading.Thread(target=second)
    thread.start()
    client.close()
    thread.join(10)
    ends[0] = running.exception(timeout=5)
    assert [type(end).__name__ for end in ends] == ["ClientClosed"] * 2


def test_when_its_server_dies_another_one_takes_it(broker: PrivateBroker, queue: str) -> None:
    with (
        ServerProcess(broker.url, "--workers", "1", "--queue", queue) as first,
        RpcClient(broker.url, queue=queue, timeout=None) as client,
    ):
        running = client.submit("nap", 1.0)
        wait_until(lambda: client.callback_queue)
        with ServerProcess(broker.url, "--workers", "1", "--queue", queue):
            first.signal(signal.SIGKILL)
            first.wait()
            assert running.result(timeout=20) == 1.0


@pytest.mark.parametrize("timeout", [None, math.inf])
def test_asyncio_likewise(broker: PrivateBroker, server: ServerProcess, timeout: float | None) -> None:
    async def main() -> None:
        async with AsyncRpcClient(broker.url, queue=server.queue, timeout=timeout) as client:
            assert await client.call("nap", 0.3) == 0.3
            assert await asyncio.gather(*(client.call("echo", n) for n in range(200))) == list(range(200))
            with pytest.raises(RpcTimeout):
                await client.call("nap", 5, timeout=0.1)

    asyncio.run(main())


@pytest.mark.parametrize("timeout", [0, -1, math.nan, -math.inf, "30", True])
def test_what_is_no_time_out_is_refused_and_none_is_named(broker: PrivateBroker, timeout: Any) -> None:
    with pytest.raises(ConfigurationError, match="timeout must be"):
        RpcClient(broker.url, timeout=timeout)
    with pytest.raises(ConfigurationError, match="connect_timeout must be"):
        RpcClient(broker.url, connect_timeout=timeout)
