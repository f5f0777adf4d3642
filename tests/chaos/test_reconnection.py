"""Connections go away in the middle of calls: each call still ends once, right, typed and in time."""

from __future__ import annotations

import signal
import threading
import time
from pathlib import Path

import pytest
from support.begun import begun
from support.processes import ServerProcess, wait_until

from rpcsvc import ConnectionFailed, ConnectionLost, OutcomeUnknown, RpcClient, RpcTimeout
from rpcsvc.broker import PrivateBroker
from rpcsvc.testing import Direction, FaultProxy, scaled


def starts(path: Path) -> list[str]:
    return path.read_text().split() if path.exists() else []


def test_calls_under_way_when_the_clients_connection_is_reset_are_sent_again(
    broker: PrivateBroker, network: FaultProxy, server: ServerProcess, queue: str
) -> None:
    with RpcClient(network.url(broker.url), queue=queue, timeout=20) as client:
        futures = [client.submit("echo", [number, "x" * 1000]) for number in range(500)]
        slow = [client.submit("sleep", 1.0) for _ in range(2)]
        time.sleep(0.1)
        first_queue = client.callback_queue
        network.reset_all()
        more = [client.submit("echo", number) for number in range(500)]

        assert [future.result() for future in futures] == [[number, "x" * 1000] for number in range(500)]
        assert [future.result() for future in more] == list(range(500))
        assert [future.result() for future in slow] == [1.0, 1.0]
        assert client.callback_queue != first_queue
        assert client.pending == 0


def test_a_call_that_must_not_run_twice_is_not_run_again_and_its_caller_is_told(
    broker: PrivateBroker, network: FaultProxy, server: ServerProcess, queue: str, tmp_path: Path
) -> None:
    trace = tmp_path / "trace"
    with RpcClient(network.url(broker.url), queue=queue, timeout=20) as client:
        running = client.submit("write_once_then_sleep", str(trace), "once", 0.5)
        wait_until(lambda: starts(trace) == ["once"])
        network.reset_all()
        with pytest.raises(OutcomeUnknown, match="may have run"):
            running.result()
        assert client.call("write_once_then_sleep", str(trace), "next", 0.0) == "next"
    assert starts(trace) == ["once", "next"]


def test_a_delivery_that_a_dead_server_held_is_run_again_only_if_that_does_no_harm(
    broker: PrivateBroker, queue: str, tmp_path: Path
) -> None:
    once, twice = tmp_path / "once", tmp_path / "twice"
    options = ("--workers", "2", "--queue", queue)
    with RpcClient(broker.url, queue=queue, wait_for_server=15, timeout=20) as client:
        with ServerProcess(broker.url, *options) as first:
            must_not = client.submit("write_once_then_sleep", str(once), "a", 1.0)
            may = client.submit("write_then_sleep", str(twice), "b", 1.0)
            wait_until(lambda: starts(once) == ["a"] and starts(twice) == ["b"])
            first.signal(signal.SIGKILL)
            first.wait()
        with ServerProcess(broker.url, *options):
            assert may.result() == "b"
            with pytest.raises(OutcomeUnknown):
                must_not.result()
    assert starts(once) == ["a"]
    assert starts(twice) == ["b", "b"]


def test_a_server_whose_connection_is_reset_comes_back_and_no_call_is_lost(
    broker: PrivateBroker, network: FaultProxy, queue: str
) -> None:
    with (
        ServerProcess(network.url(broker.url), "--workers", "2", "--queue", queue),
        RpcClient(broker.url, queue=queue, timeout=20, wait_for_server=10) as client,
    ):
        futures = []
        for round_ in range(3):
            futures += [client.submit("echo", [round_, number]) for number in range(300)]
            time.sleep(0.05)
            network.reset_all()
            time.sleep(0.5)
        assert [future.result() for future in futures] == [[round_, n] for round_ in range(3) for n in range(300)]


@pytest.mark.parametrize("direction", list(Direction))
def test_a_connection_cut_in_the_middle_of_a_message_is_replaced(
    broker: PrivateBroker, network: FaultProxy, server: ServerProcess, queue: str, direction: Direction
) -> None:
    data = bytes(range(256)) * 4000
    with RpcClient(network.url(broker.url), queue=queue, timeout=20) as client:
        assert client.call("echo", data) == data
        network.cut_after(len(data) // 2, direction)
        assert client.call("echo", data) == data
        assert client.call("fib", 30) == 832040


def test_while_nothing_comes_through_calls_end_at_their_deadline_and_go_on_after(
    broker: PrivateBroker, network: FaultProxy, server: ServerProcess, queue: str
) -> None:
    with RpcClient(network.url(broker.url), queue=queue) as client:
        assert client.call("fib", 30) == 832040
        network.stall()
        started = time.monotonic()
        with pytest.raises(RpcTimeout):
            client.call("fib", 30, timeout=0.5)
        assert time.monotonic() - started < scaled(0.75)
        network.heal()
        assert client.call("fib", 30, timeout=5) == 832040


def test_a_broker_that_is_killed_and_started_again_interrupts_nobody_for_long(
    broken_broker: PrivateBroker, queue: str
) -> None:
    with (
        ServerProcess(broken_broker.url, "--workers", "2", "--queue", queue),
        RpcClient(broken_broker.url, queue=queue, timeout=40, connect_timeout=30, wait_for_server=30) as client,
    ):
        assert client.call("fib", 30) == 832040
        broken_broker.kill()
        waiting = [client.submit("fib", number) for number in range(50)]
        broken_broker.start()
        cured = time.monotonic()
        assert [future.result() for future in waiting][:6] == [0, 1, 1, 2, 3, 5]
        assert time.monotonic() - cured < scaled(5)


def test_a_client_may_be_made_before_its_broker_is_up(broker: PrivateBroker, network: FaultProxy, queue: str) -> None:
    network.refuse()
    healer = threading.Timer(0.5, network.heal)
    healer.start()
    try:
        with RpcClient(network.url(broker.url), queue=queue, connect_timeout=30) as client:
            assert client.callback_queue is not None
    finally:
        healer.join()


def test_without_a_broker_a_client_gives_up_after_its_connect_timeout() -> None:
    started = time.monotonic()
    with pytest.raises(ConnectionFailed):
        RpcClient("amqp://127.0.0.1:1/", connect_timeout=0.5)
    assert 0.4 < time.monotonic() - started < scaled(1.5)


def test_calls_that_were_sent_end_with_connection_lost_when_the_broker_stays_away(
    broker: PrivateBroker, network: FaultProxy, server: ServerProcess, queue: str, tmp_path: Path
) -> None:
    with RpcClient(network.url(broker.url), queue=queue, timeout=20, connect_timeout=0.5) as client:
        client.call("fib", 30)
        running = begun(client, tmp_path, 5)
        network.refuse()
        with pytest.raises(ConnectionLost, match="not to be had again"):
            running.result(timeout=5)
        with pytest.raises((ConnectionFailed, ConnectionLost)):
            client.call("fib", 30)
        network.heal()
        assert client.call("fib", 30) == 832040
