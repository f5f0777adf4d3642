"""Queues that somebody else declared: a server takes them as they are, says what they are, and calls are made on them.

RabbitMQ's tutorials for 4.x declare a durable quorum queue, Erlang's one that is not durable, operators declare limits.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pika
import pytest
from support.processes import ServerProcess, wait_until

from rpcsvc import ConfigurationError, RpcClient, RpcServer
from rpcsvc.broker import PrivateBroker

QUORUM = {"x-queue-type": "quorum"}
KINDS: dict[str, tuple[dict[str, Any], str]] = {
    "quorum": ({"durable": True, "arguments": QUORUM}, "found: quorum"),
    "quorum with a delivery limit": (
        {"durable": True, "arguments": {**QUORUM, "x-delivery-limit": 3, "x-message-ttl": 60_000}},
        "found: quorum",
    ),
    "plain": ({"durable": True}, "found: classic"),
    "auto-delete": ({"durable": True, "auto_delete": True}, "found: auto_delete true"),
    "a TTL": ({"durable": True, "arguments": {"x-message-ttl": 60_000}}, "found: x-message-ttl 60000"),
    "a limit": ({"durable": True, "arguments": {"x-max-length": 10_000}}, "found: x-max-length 10000"),
    "letters": (
        {"durable": True, "arguments": {"x-dead-letter-exchange": "amq.fanout"}},
        "found: x-dead-letter-exchange amq.fanout",
    ),
    "priorities": ({"durable": True, "arguments": {"x-max-priority": 5}}, "found: x-max-priority 5"),
    "one active consumer": (
        {"durable": True, "arguments": {"x-single-active-consumer": True}},
        "found: x-single-active-consumer true",
    ),
}


@pytest.fixture
def channel(broker: PrivateBroker) -> Iterator[Any]:
    with pika.BlockingConnection(pika.URLParameters(broker.url)) as connection:
        yield connection.channel()


# How a difference is read from RabbitMQ's sentence is tried in memory too, with each.
@pytest.mark.parametrize(
    "kind",
    [pytest.param(kind, marks=() if kind in ("quorum", "plain", "a limit") else pytest.mark.long) for kind in KINDS],
)
def test_a_queue_that_is_there_is_served_as_it_is_and_the_ready_line_says_what_it_is(
    broker: PrivateBroker, channel: Any, queue: str, kind: str
) -> None:
    declaration, said = KINDS[kind]
    channel.queue_declare(queue, **declaration)
    with (
        ServerProcess(broker.url, "--workers", "2", "--queue", queue) as server,
        RpcClient(broker.url, queue=queue, timeout=20) as client,
    ):
        assert f"on '{queue}' ({said}) at" in server.output
        futures = [client.submit("echo", number) for number in range(100)]
        assert [future.result() for future in futures] == [*range(100)]
    channel.queue_declare(queue, **declaration)  # it is as it was
    channel.queue_delete(queue)


def test_a_queue_that_is_not_durable_is_served(broker: PrivateBroker, channel: Any, queue: str) -> None:
    channel.queue_declare(queue, durable=False)
    with (
        ServerProcess(broker.url, "--workers", "1", "--queue", queue) as server,
        RpcClient(broker.url, queue=queue, timeout=20) as client,
    ):
        assert "(found: durable false)" in server.output
        assert client.call("fib", 30) == 832040
    channel.queue_delete(queue)


@pytest.mark.parametrize("queue_type", ["classic", "quorum"])
def test_a_queue_that_is_missing_is_declared_durable_as_the_type_that_was_asked_for(
    broker: PrivateBroker, channel: Any, queue: str, queue_type: str
) -> None:
    with (
        ServerProcess(broker.url, "--workers", "2", "--queue", queue, "--queue-type", queue_type) as server,
        RpcClient(broker.url, queue=queue, timeout=20) as client,
    ):
        assert f"on '{queue}' (declared: {queue_type}) at" in server.output
        assert client.call("fib", 30) == 832040
        channel.queue_declare(queue, durable=True, arguments={"x-queue-type": queue_type})
        with ServerProcess(broker.url, "--workers", "1", "--queue", queue, "--queue-type", queue_type) as second:
            assert f"(found: {queue_type})" in second.output
    channel.queue_delete(queue)


@pytest.mark.parametrize("queue_type", ["stream", "", "Classic", None])
def test_a_queue_type_that_there_is_not_is_refused_with_those_there_are(queue_type: Any) -> None:
    with pytest.raises(ConfigurationError, match="must be 'classic' or 'quorum'"):
        RpcServer(queue_type=queue_type)


def test_a_stream_is_no_queue_for_calls_and_that_is_said(broker: PrivateBroker, channel: Any, queue: str) -> None:
    """Each of its consumers gets each message: every worker would make every call."""
    channel.queue_declare(queue, durable=True, arguments={"x-queue-type": "stream"})
    with ServerProcess(broker.url, "--workers", "2", "--queue", queue, ready=False) as server:
        assert server.wait(30) == 6
        assert "is a stream" in server.output
        assert "--queue" in server.output
    channel.queue_delete(queue)


def test_a_queue_that_is_exclusive_to_somebody_else_ends_the_server_with_a_sentence(
    broker: PrivateBroker, channel: Any, queue: str
) -> None:
    channel.queue_declare(queue, exclusive=True)
    with ServerProcess(broker.url, "--workers", "1", "--queue", queue, ready=False) as server:
        assert server.wait(30) == 6
        assert "belongs to another connection" in server.output


def test_a_quorum_queue_gives_each_worker_what_its_prefetch_says(
    broker: PrivateBroker, channel: Any, queue: str, tmp_path: Path
) -> None:
    """The limit is each consumer's own, also where the queue knows no other."""
    channel.queue_declare(queue, durable=True, arguments=QUORUM)
    with (
        ServerProcess(broker.url, "--workers", "2", "--queue", queue, "--prefetch", "3"),
        RpcClient(broker.url, queue=queue, timeout=60, pack=False) as client,
    ):
        gate, trace = tmp_path / "gate", tmp_path / "trace"
        calls = [client.submit("pass_gate", str(trace), str(number), str(gate)) for number in range(10)]

        def waiting() -> int:
            return int(channel.queue_declare(queue, passive=True).method.message_count)

        wait_until(lambda: trace.exists() and len(trace.read_text().split()) == 2)
        wait_until(lambda: waiting() == 10 - 2 * 3)
        gate.touch()
        assert sorted(int(call.result()) for call in calls) == [*range(10)]
    channel.queue_delete(queue)


@pytest.mark.parametrize("types", [("classic", "quorum"), pytest.param(("quorum", "quorum"), marks=pytest.mark.long)])
def test_pools_that_declare_a_queue_in_the_same_moment_serve_the_same_one(
    broker: PrivateBroker, channel: Any, queue: str, types: tuple[str, str]
) -> None:
    servers = [
        ServerProcess(broker.url, "--workers", "1", "--queue", queue, "--queue-type", queue_type, ready=False)
        for queue_type in types * 2
    ]
    try:
        with RpcClient(broker.url, queue=queue, timeout=30, wait_for_server=30) as client:
            assert client.call("fib", 30) == 832040
        for server in servers:
            assert server.process.poll() is None, server.output
    finally:
        for server in servers:
            server.stop()
        channel.queue_delete(queue)
