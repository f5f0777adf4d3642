"""A cluster's nodes, some of them away: client and server use the others. Proxies to one broker stand for nodes."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
from support.processes import ServerProcess, wait_until

from rpcsvc import AuthenticationFailed, ConnectionFailed, RpcClient
from rpcsvc.broker import PrivateBroker
from rpcsvc.broker.ports import random_free_port
from rpcsvc.testing import Direction, FaultProxy, scaled


@pytest.fixture
def first(broker: PrivateBroker) -> Iterator[FaultProxy]:
    with FaultProxy("127.0.0.1", broker.port) as proxy:
        yield proxy


@pytest.fixture
def second(broker: PrivateBroker) -> Iterator[FaultProxy]:
    with FaultProxy("127.0.0.1", broker.port) as proxy:
        yield proxy


def nobody(broker: PrivateBroker) -> str:
    """The URL of a node that is not there."""
    return broker.url.replace(f":{broker.port}/", f":{random_free_port()}/")


def test_the_first_node_is_taken_if_it_is_there(
    broker: PrivateBroker, first: FaultProxy, second: FaultProxy, server: ServerProcess, queue: str
) -> None:
    with RpcClient([first.url(broker.url), second.url(broker.url)], queue=queue) as client:
        assert client.call("fib", 30) == 832040
        assert (first.connections, second.connections) == (1, 0)


def test_nodes_that_refuse_or_say_nothing_are_passed_over_in_time(
    broker: PrivateBroker, first: FaultProxy, server: ServerProcess, queue: str
) -> None:
    first.stall()
    began = time.monotonic()
    urls = [nobody(broker), first.url(broker.url), broker.url]
    with RpcClient(urls, queue=queue, connect_timeout=6) as client:
        assert client.call("fib", 30) == 832040
        assert time.monotonic() - began < scaled(6), "the silent one has half of what the refusing one left"


def test_a_client_whose_node_goes_away_sends_its_calls_by_the_next(
    broker: PrivateBroker, first: FaultProxy, second: FaultProxy, server: ServerProcess, queue: str
) -> None:
    with RpcClient(f"{first.url(broker.url)},{second.url(broker.url)}", queue=queue, timeout=30) as client:
        slow = client.submit("sleep", 0.5)
        wait_until(lambda: client.pending == 1 and first.connections == 1)
        first.refuse()
        futures = [client.submit("echo", number) for number in range(100)]

        assert [future.result() for future in futures] == list(range(100))
        assert slow.result() == 0.5
        assert second.connections == 1

        # Nor is the way back closed.
        first.heal()
        second.refuse()
        assert client.call("fib", 30) == 832040
        assert first.connections == 1


def test_a_server_whose_node_goes_away_serves_through_the_next(
    broker: PrivateBroker, first: FaultProxy, second: FaultProxy, queue: str
) -> None:
    urls = f"{first.url(broker.url)},{second.url(broker.url)}"
    with (
        ServerProcess(urls, "--workers", "2", "--queue", queue) as server,
        RpcClient(broker.url, queue=queue, timeout=30, wait_for_server=20) as client,
    ):
        assert client.call("fib", 30) == 832040
        assert (first.connections, second.connections) == (1, 0)
        first.refuse()
        assert client.call("fib", 31) == 1346269
        assert second.connections == 1
        assert "***" in server.output


def test_a_server_begins_with_the_nodes_that_are_there(broker: PrivateBroker, queue: str) -> None:
    with (
        ServerProcess(f"{nobody(broker)},{broker.url}", "--workers", "1", "--queue", queue),
        RpcClient(broker.url, queue=queue) as client,
    ):
        assert client.call("fib", 30) == 832040


def test_when_no_node_is_there_the_error_names_them_all_and_no_password(broker: PrivateBroker) -> None:
    away = [nobody(broker), nobody(broker)]
    with pytest.raises(ConnectionFailed, match="none of the 2 brokers can be used") as caught:
        RpcClient(away, connect_timeout=0.5).close()

    for url in away:
        before, _, after = url.partition("@")
        assert after in str(caught.value)
        assert before.rpartition(":")[2] not in str(caught.value)


def test_a_node_that_refuses_us_speaks_for_all(broker: PrivateBroker) -> None:
    wrong = broker.url.replace("rpcsvc:", "rpcsvc:not-")
    with pytest.raises(AuthenticationFailed):
        RpcClient([wrong, broker.url]).close()


def test_a_broker_that_stops_while_it_checks_the_password_is_no_refusal(
    broker: PrivateBroker, first: FaultProxy, server: ServerProcess, queue: str
) -> None:
    """A refusal would end the search, and a server with it."""
    with socket.create_connection(("127.0.0.1", broker.port)) as asking:
        asking.sendall(b"AMQP\0\0\x09\x01")
        start = len(asking.recv(65536))
    first.cut_after(start + 4, Direction.DOWN)  # in the middle of what follows Connection.Start
    with RpcClient(first.url(broker.url), queue=queue) as client:
        assert client.call("fib", 30) == 832040


@pytest.mark.parametrize("count", [300, 550, 600, 700])
def test_wherever_the_first_connection_breaks_the_client_opens_another(
    broker: PrivateBroker, first: FaultProxy, server: ServerProcess, queue: str, count: int
) -> None:
    first.cut_after(count, Direction.DOWN)
    with RpcClient(first.url(broker.url), queue=queue) as client:
        assert client.call("fib", 30) == 832040


def test_the_command_takes_several_nodes(broker: PrivateBroker, server: ServerProcess, queue: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "rpcsvc", "call", "--queue", queue, "fib", "30"],
        env={**os.environ, "RPCSVC_URL": f"{nobody(broker)} {broker.url}"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "832040\n", "")
