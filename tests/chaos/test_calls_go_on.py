"""The server's connection goes in the middle of calls: they go on, and each is computed once and answered once."""

from __future__ import annotations

import signal
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.begun import Gate
from support.ctl import RabbitCtl
from support.processes import ServerProcess, wait_until
from ticks import in_one_tick

from rpcsvc import RpcClient
from rpcsvc.broker import PrivateBroker
from rpcsvc.testing import Direction, FaultProxy


@pytest.fixture
def queue() -> str:
    return f"chaos-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "notes"


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    return Gate(tmp_path)


@pytest.fixture
def network(broker: PrivateBroker) -> Iterator[FaultProxy]:
    """Between the server and the broker."""
    with FaultProxy("127.0.0.1", broker.port) as proxy:
        yield proxy


@pytest.fixture
def client(broker: PrivateBroker, queue: str) -> Iterator[RpcClient]:
    with RpcClient(broker.url, queue=queue, timeout=30, wait_for_server=20) as client:
        yield client
        assert client.pending == 0


def notes(path: Path) -> list[str]:
    return path.read_text().split() if path.exists() else []


@pytest.mark.parametrize("once", [False, True])
def test_a_call_that_runs_while_the_connection_is_reset_runs_once_and_is_answered(
    broker: PrivateBroker, network: FaultProxy, queue: str, client: RpcClient, gate: Gate, *, once: bool
) -> None:
    with ServerProcess(network.url(broker.url), "--workers", "2", "--queue", queue):
        running = gate.submit(client, "a", once=once)
        wait_until(lambda: gate.begun)
        for _ in range(3):
            network.reset_all()
            wait_until(lambda: network.connections == 1)
        gate.open()
        assert running.result() == "a"
    assert gate.begun == ["a"]


@pytest.mark.parametrize("once", [False, True])
def test_a_call_that_ended_while_there_was_no_connection_is_answered_from_what_it_came_to(
    broker: PrivateBroker, network: FaultProxy, queue: str, client: RpcClient, gate: Gate, *, once: bool
) -> None:
    with ServerProcess(network.url(broker.url), "--workers", "2", "--queue", queue):
        running = gate.submit(client, "a", once=once)
        wait_until(lambda: gate.begun)
        network.refuse()
        gate.open()
        with pytest.raises(TimeoutError):
            running.result(0.3)  # the function looks for its gate each 20 ms
        network.heal()
        assert running.result() == "a"
    assert gate.begun == ["a"]


@pytest.mark.parametrize("away", [0.0, 1.5])
def test_a_call_that_waited_in_the_server_runs_once_too_even_if_it_must_not_run_twice(
    broker: PrivateBroker, network: FaultProxy, queue: str, path: Path, away: float
) -> None:
    with (
        ServerProcess(network.url(broker.url), "--workers", "1", "--prefetch", "8", "--queue", queue),
        # Unpacked, so that all are with the server at once: what is on its way to it when the connection goes may have
        # been with another one.
        RpcClient(broker.url, queue=queue, timeout=30, pack=False) as client,
    ):
        futures = [client.submit("write_once_then_sleep", str(path), str(n), 0.5 if n == 0 else 0.01) for n in range(8)]
        wait_until(lambda: notes(path))
        network.refuse()
        time.sleep(away)
        network.heal()
        assert [future.result() for future in futures] == [str(n) for n in range(8)]
    assert sorted(notes(path)) == [str(n) for n in range(8)]


def test_what_waited_in_a_server_without_a_connection_is_left_to_the_one_that_takes_it_over(
    broker: PrivateBroker, network: FaultProxy, queue: str, gate: Gate
) -> None:
    options = ("--workers", "1", "--prefetch", "8", "--queue", queue)
    with (
        ServerProcess(network.url(broker.url), *options) as first,
        RpcClient(broker.url, queue=queue, timeout=30, pack=False) as client,  # all are with the first at once
    ):
        futures = [gate.submit(client, str(n)) for n in range(8)]
        wait_until(lambda: gate.begun == ["0"])
        with ServerProcess(broker.url, *options):
            network.refuse()
            wait_until(lambda: gate.begun == ["0", "0"])
            gate.open()
            assert [future.result() for future in futures] == [str(n) for n in range(8)]
            with pytest.raises(
                AssertionError
            ):  # nothing more begins in the first server, which is through with what ran
                wait_until(lambda: len(gate.begun) > 9, within=0.3)
            network.heal()
            assert client.call("echo", 1) == 1
        assert "ready:" in first.output
    assert sorted(gate.begun) == sorted(["0", *map(str, range(8))])


def test_calls_that_travel_together_are_all_answered_when_the_connection_goes_over_a_slow_one(
    broker: PrivateBroker, network: FaultProxy, queue: str, client: RpcClient
) -> None:
    with ServerProcess(network.url(broker.url), "--workers", "2", "--queue", queue):
        for _ in range(3):
            for future in in_one_tick(client, lambda: [client.submit("nap", 0) for _ in range(300)]):
                future.result()
        futures = in_one_tick(client, lambda: [client.submit("nap", 1.5 if n == 30 else 0) for n in range(100)])
        time.sleep(0.2)
        network.reset_all()
        assert [future.result() for future in futures] == [1.5 if n == 30 else 0 for n in range(100)]


def test_a_call_given_up_while_there_is_no_connection_is_not_computed_again(
    broker: PrivateBroker, network: FaultProxy, queue: str, client: RpcClient, gate: Gate
) -> None:
    with ServerProcess(network.url(broker.url), "--workers", "1", "--prefetch", "2", "--queue", queue):
        running = gate.submit(client, "a")
        wait_until(lambda: gate.begun)
        network.reset_all()
        with pytest.raises(TimeoutError):
            running.result(0.5)
        running.cancel()
        assert client.call("echo", 1, timeout=5) == 1
    assert gate.begun == ["a"]


def test_a_call_longer_than_the_brokers_patience_with_acks_is_computed_once(
    broker: PrivateBroker, queue: str, gate: Gate
) -> None:
    """RabbitMQ closes a channel that holds a delivery for longer than consumer_timeout, and delivers it again.

    From 4.3 on it does neither with classic queues.
    """
    with (
        RabbitCtl(broker).consumer_timeout(1, looks_every=0.5),
        ServerProcess(broker.url, "--workers", "2", "--queue", queue) as server,
        RpcClient(broker.url, queue=queue, timeout=30, wait_for_server=10) as client,
    ):
        calls = [gate.submit(client, text, once=True) for text in "ab"]
        if RabbitCtl(broker).version < (4, 3):
            wait_until(lambda: server.output.count("reconnecting") >= 2)
        else:
            with pytest.raises(TimeoutError):
                calls[0].result(4.0)
            assert "reconnecting" not in server.output
        gate.open()
        assert [call.result() for call in calls] == ["a", "b"]
    assert sorted(gate.begun) == ["a", "b"]


def test_a_call_that_is_delivered_while_the_drain_begins_is_answered_and_the_drain_ends(
    broker: PrivateBroker, network: FaultProxy, queue: str, client: RpcClient
) -> None:
    with ServerProcess(network.url(broker.url), "--workers", "1", "--queue", queue) as server:
        assert client.call("fib", 30) == 832040
        network.delay(0.5, Direction.UP)  # the broker hears late that the consumer is to end
        server.signal(signal.SIGTERM)
        wait_until(lambda: "draining" in server.output)
        assert client.call("fib", 20) == 6765
        assert server.wait(10) == 0
