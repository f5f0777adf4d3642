"""Nothing comes through any more, and nobody says so: both sides notice by the heartbeat, and begin anew."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from support.processes import ServerProcess, wait_until

from rpcsvc import ConnectionLost, OutcomeUnknown, RpcClient, RpcTimeout
from rpcsvc.broker import PrivateBroker
from rpcsvc.testing import Direction, FaultProxy, scaled

HEARTBEAT = 2
NOTICED = 3 * HEARTBEAT + 1
LATE = scaled(1.0)
"""Seconds after its deadline by which a call has ended; on a machine that has time for it, a quarter of that."""
DIRECTIONS = [
    pytest.param((Direction.UP,), id="up"),
    pytest.param((Direction.DOWN,), id="down"),
    # Who hears nothing, notices, whether it is heard or not.
    pytest.param(tuple(Direction), id="both", marks=pytest.mark.long),
]


@pytest.fixture(scope="module", autouse=True)
def quiet(broker: PrivateBroker) -> Iterator[tuple[RpcClient, str, float]]:
    """A client on a network that is well, which nobody uses while others are tried; its callback queue, since when."""
    with RpcClient(f"{broker.url}?heartbeat={HEARTBEAT}") as client:
        assert client.callback_queue is not None
        yield client, client.callback_queue, time.monotonic()


@pytest.fixture
def url(broker: PrivateBroker, network: FaultProxy) -> Iterator[str]:
    """The broker behind a network that can swallow everything."""
    yield network.url(broker.url) + f"?heartbeat={HEARTBEAT}"
    network.heal()


@pytest.mark.parametrize("directions", DIRECTIONS)
def test_a_client_notices_and_its_calls_are_sent_again_when_the_network_is_well(
    network: FaultProxy, url: str, server: ServerProcess, queue: str, tmp_path: Path, directions: tuple[Direction, ...]
) -> None:
    trace = tmp_path / "trace"
    with RpcClient(url, queue=queue, timeout=40, connect_timeout=30) as client:
        running = client.submit("sleep", 1.0)
        once = client.submit("write_once_then_sleep", str(trace), "once", 1.0)
        wait_until(trace.exists)
        first = client.callback_queue
        network.stall(*directions)
        swallowed = client.submit("echo", "swallowed", timeout=1.0)
        large = client.submit("echo", b"x" * 8_000_000, timeout=1.0)  # more than any socket's buffers hold
        started = time.monotonic()
        for call in (swallowed, large):
            assert isinstance(call.exception(timeout=5), RpcTimeout)
        assert time.monotonic() - started < 1.0 + LATE
        wait_until(lambda: client.callback_queue != first, within=NOTICED)
        network.heal()
        healed = time.monotonic()
        assert client.call("fib", 30) == 832040
        assert time.monotonic() - healed < scaled(5)
        assert running.result() == 1.0
        error = once.exception(timeout=20)
        # An answer that was on its way when the network came back is an answer.
        assert error is None or isinstance(error, OutcomeUnknown | ConnectionLost)
    assert trace.read_text().split() == ["once"]


@pytest.mark.parametrize("directions", DIRECTIONS)
def test_a_server_notices_and_serves_on_a_new_connection(
    broker: PrivateBroker, network: FaultProxy, url: str, queue: str, directions: tuple[Direction, ...]
) -> None:
    with (
        ServerProcess(url, "--workers", "2", "--queue", queue) as server,
        RpcClient(broker.url, queue=queue, timeout=40, wait_for_server=30) as client,
    ):
        assert client.call("fib", 30) == 832040
        network.stall(*directions)
        calls = [client.submit("echo", number) for number in range(50)]
        started = time.monotonic()
        with pytest.raises(RpcTimeout):
            client.call("echo", 1, timeout=1.0)
        assert time.monotonic() - started < 1.0 + LATE
        wait_until(lambda: "reconnecting" in server.output, within=NOTICED)
        network.heal()
        healed = time.monotonic()
        assert client.call("fib", 30) == 832040
        assert time.monotonic() - healed < scaled(6)
        assert [call.result() for call in calls] == list(range(50))


def test_a_connection_that_is_well_is_not_given_up_however_long_nothing_is_called(
    quiet: tuple[RpcClient, str, float],
) -> None:
    client, first, since = quiet
    time.sleep(max(0.0, since + 2.5 * HEARTBEAT + 1 - time.monotonic()))  # nothing is to happen
    assert client.callback_queue == first


def test_a_network_that_takes_nothing_does_not_fill_the_clients_memory(
    network: FaultProxy, url: str, server: ServerProcess, queue: str
) -> None:
    with RpcClient(url.replace("heartbeat=2", "heartbeat=600"), queue=queue) as client:
        assert client.call("fib", 30) == 832040
        network.stall()
        process = psutil.Process()
        data = b"x" * 1_000_000
        before = process.memory_info().rss
        for _ in range(8):  # 200 MB in all
            calls = [client.submit("echo", data, timeout=0.3) for _ in range(25)]
            assert all(isinstance(call.exception(timeout=5), RpcTimeout) for call in calls)
        del calls
        assert process.memory_info().rss - before < 100_000_000
        network.reset_all()
        network.heal()
        assert client.call("fib", 30) == 832040
