"""Nobody waits for nothing: a call that nobody can answer says so long before its time-out."""

from __future__ import annotations

import signal
import threading
import time
from pathlib import Path

import pika
import pytest
from support.begun import begun
from support.processes import ServerProcess

from rpcsvc import AccessRefused, AuthenticationFailed, ConnectionFailed, NoServer, RpcClient, RpcTimeout
from rpcsvc.broker import PrivateBroker
from rpcsvc.testing import scaled

SOON = scaled(0.5)
LOOKED_TWICE = 0.5
"""Seconds between two looks at a queue without messages and consumers, which may be one whose leader is away."""


@pytest.fixture
def idle_queue(broker: PrivateBroker, queue: str) -> object:
    """A queue as a server declares it, and nobody on it."""
    with pika.BlockingConnection(pika.URLParameters(broker.url)) as connection:
        channel = connection.channel()
        channel.queue_declare(queue, durable=True)
        yield channel
        channel.queue_delete(queue)


def test_a_call_without_a_queue_says_so_at_once(broker: PrivateBroker, queue: str) -> None:
    with RpcClient(broker.url, queue=queue) as client:
        for _ in range(2):
            started = time.monotonic()
            with pytest.raises(NoServer, match="does not exist") as caught:
                client.call("fib", 30)
            assert time.monotonic() - started < SOON
            assert caught.value.queue == queue


def test_a_call_to_a_queue_without_a_server_says_so_and_leaves_nothing_in_it(
    broker: PrivateBroker, queue: str, idle_queue: pika.channel.Channel
) -> None:
    with RpcClient(broker.url, queue=queue) as client:
        started = time.monotonic()
        with pytest.raises(NoServer, match="nobody consumes"):
            client.call("fib", 30)
        assert time.monotonic() - started < LOOKED_TWICE + SOON
    assert idle_queue.queue_declare(queue, passive=True).method.message_count == 0


def test_a_call_made_just_after_the_last_server_left_says_so(broker: PrivateBroker, queue: str) -> None:
    with RpcClient(broker.url, queue=queue, patience=0) as client:
        with ServerProcess(broker.url, "--workers", "1", "--queue", queue) as server:
            assert client.call("fib", 30) == 832040
            server.signal(signal.SIGKILL)
            server.wait()
        started = time.monotonic()
        with pytest.raises(NoServer):
            client.call("fib", 30)
        assert time.monotonic() - started < LOOKED_TWICE + SOON


@pytest.mark.parametrize("options", [{"patience": 1.5}, {"patience": 0.5, "wait_for_server": 1.5}], ids=repr)
def test_servers_that_were_there_are_waited_for_as_long_as_the_larger_option_says(
    broker: PrivateBroker, queue: str, options: dict[str, float]
) -> None:
    with RpcClient(broker.url, queue=queue, **options) as client:
        with ServerProcess(broker.url, "--workers", "1", "--queue", queue):
            assert client.call("fib", 30) == 832040
        started = time.monotonic()
        with pytest.raises(NoServer):
            client.call("fib", 30)
        assert 1.5 <= time.monotonic() - started < 1.5 + LOOKED_TWICE + SOON


def test_a_call_that_waits_for_a_server_that_was_there_ends_with_its_time_out_if_that_is_sooner(
    broker: PrivateBroker, queue: str
) -> None:
    with RpcClient(broker.url, queue=queue) as client:
        with ServerProcess(broker.url, "--workers", "1", "--queue", queue):
            assert client.call("fib", 30) == 832040
        with pytest.raises(RpcTimeout):
            client.call("fib", 30, timeout=0.5)


def test_a_running_call_whose_server_is_killed_does_not_wait_for_its_time_out(
    broker: PrivateBroker, queue: str, tmp_path: Path
) -> None:
    with (
        RpcClient(broker.url, queue=queue, patience=0.5) as client,
        ServerProcess(broker.url, "--workers", "1", "--queue", queue) as server,
    ):
        running = begun(client, tmp_path, 60, timeout=60)
        server.signal(signal.SIGKILL)
        server.wait()
        started = time.monotonic()
        assert isinstance(running.exception(timeout=scaled(5)), NoServer)
        assert time.monotonic() - started < scaled(2)


def test_a_patient_client_waits_for_the_server(broker: PrivateBroker, queue: str) -> None:
    with RpcClient(broker.url, queue=queue, wait_for_server=20) as client:
        future = client.submit("fib", 30)
        time.sleep(0.5)
        assert not future.done()
        with ServerProcess(broker.url, "--workers", "1", "--queue", queue):
            assert future.result(timeout=10) == 832040


def test_the_servers_end_of_patience_is_the_calls_time_out_if_that_is_sooner(broker: PrivateBroker, queue: str) -> None:
    with RpcClient(broker.url, queue=queue, wait_for_server=20) as client, pytest.raises(TimeoutError):
        client.call("fib", 30, timeout=0.3)


class TestConnecting:
    def test_no_broker_is_said_with_its_address_and_without_the_password(self) -> None:
        with pytest.raises(ConnectionFailed) as caught:
            RpcClient("amqp://me:s3cr3t@127.0.0.1:1/", connect_timeout=0.2)
        assert "127.0.0.1:1" in str(caught.value)
        assert "s3cr3t" not in str(caught.value) + repr(caught.value) + repr(caught.value.__cause__)

    def test_a_wrong_password_is_told_from_a_wrong_virtual_host(self, broker: PrivateBroker) -> None:
        with pytest.raises(AuthenticationFailed):
            RpcClient(broker.url.replace("rpcsvc:", "rpcsvc:no"))
        with pytest.raises(AccessRefused, match="'elsewhere'"):
            RpcClient(broker.url + "elsewhere")

    def test_a_failed_client_leaves_no_thread(self) -> None:
        before = threading.active_count()
        with pytest.raises(ConnectionFailed):
            RpcClient("amqp://127.0.0.1:1/", connect_timeout=0.2)
        assert threading.active_count() == before
