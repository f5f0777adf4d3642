"""The broker ends consumers: because a call takes longer than it waits for acks, or because the queue was deleted.

Only the second is told to clients, who send their calls again then.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pika
import pika.exceptions
import pytest
from support.ctl import RabbitCtl
from support.processes import ServerProcess, wait_until

from rpcsvc import OutcomeUnknown, RpcClient
from rpcsvc.amqp.connection import version_numbers
from rpcsvc.broker import PrivateBroker

QUORUM = {"x-queue-type": "quorum"}


@pytest.fixture
def channel(broker: PrivateBroker) -> Iterator[Any]:
    with pika.BlockingConnection(pika.URLParameters(broker.url)) as connection:
        yield connection.channel()


def version(channel: Any) -> tuple[int, ...]:
    properties = channel.connection._impl.server_properties
    return version_numbers(properties["version"]) or ()


class Events:
    """What servers tell clients of a queue."""

    def __init__(self, channel: Any, queue: str) -> None:
        self._channel = channel
        self._ear = channel.queue_declare("", exclusive=True).method.queue
        channel.queue_bind(self._ear, "rpcsvc.events", queue)

    @property
    def count(self) -> int:
        return int(self._channel.queue_declare(self._ear, passive=True).method.message_count)


# ---- consumer_timeout


@pytest.mark.parametrize("workers", [1, 2])
def test_a_call_longer_than_the_brokers_patience_on_a_quorum_queue_is_computed_once_and_answered(
    broker: PrivateBroker, channel: Any, queue: str, tmp_path: Path, workers: int
) -> None:
    """RabbitMQ 4.3 ends the consumer and delivers the call again; it joins the one that runs. Others do not care."""
    channel.queue_declare(queue, durable=True, arguments={**QUORUM, "x-consumer-timeout": 1000})
    trace = tmp_path / "trace"
    with (
        ServerProcess(broker.url, "--workers", str(workers), "--queue", queue) as server,
        RpcClient(broker.url, queue=queue, timeout=40, wait_for_server=10) as client,
    ):
        events = Events(channel, queue)
        seconds = 8.0 if version(channel) >= (4, 3) else 2.0
        assert client.call("write_once_then_sleep", str(trace), "begun", seconds) == "begun"
        assert trace.read_text().split() == ["begun"]
        assert [client.call("fib", number) for number in range(10)] == [0, 1, 1, 2, 3, 5, 8, 13, 21, 34]
        assert client.dropped_replies.duplicate == 0
        assert events.count == 0, "clients were told that the queue was deleted"
        assert "was deleted" not in server.output
        assert "reconnecting" not in server.output
        # Everything was acked, and no consumer is left that nobody listens to.
        wait_until(lambda: RabbitCtl(broker).queues()[queue] == 0)
        if version(channel) >= (4, 3):
            assert channel.queue_declare(queue, passive=True).method.consumer_count == workers
    channel.queue_delete(queue)


def test_beside_a_call_that_takes_too_long_the_others_go_on(
    broker: PrivateBroker, channel: Any, queue: str, tmp_path: Path
) -> None:
    channel.queue_declare(queue, durable=True, arguments={**QUORUM, "x-consumer-timeout": 1000})
    gate, trace = tmp_path / "gate", tmp_path / "trace"
    with (
        ServerProcess(broker.url, "--workers", "2", "--queue", queue),
        RpcClient(broker.url, queue=queue, timeout=40) as client,
    ):
        slow = client.submit("pass_gate_once", str(trace), "begun", str(gate))
        end = time.monotonic() + (6.0 if version(channel) >= (4, 3) else 2.0)
        number = 0
        while time.monotonic() < end:
            assert client.call("echo", number) == number
            number += 1
        gate.touch()
        assert slow.result() == "begun"
        assert trace.read_text().split() == ["begun"]
    channel.queue_delete(queue)


# ---- a deleted queue


@pytest.mark.parametrize("queue_type", ["classic", "quorum"])
def test_a_deleted_queue_is_declared_again_on_the_same_connection_and_what_ran_is_answered(
    broker: PrivateBroker, channel: Any, queue: str, tmp_path: Path, queue_type: str
) -> None:
    gate, trace = tmp_path / "gate", tmp_path / "trace"
    with (
        ServerProcess(broker.url, "--workers", "2", "--queue", queue, "--queue-type", queue_type) as server,
        RpcClient(broker.url, queue=queue, timeout=40, wait_for_server=20) as client,
    ):
        events = Events(channel, queue)
        calls = [client.submit("pass_gate", str(trace), text, str(gate)) for text in "abcd"]
        wait_until(lambda: trace.exists() and len(trace.read_text().split()) == 2)
        channel.queue_delete(queue)
        wait_until(lambda: events.count == 1)
        gate.touch()
        assert [call.result() for call in calls] == list("abcd")
        assert client.call("fib", 30) == 832040
        assert server.output.count(f"declaring it again as {queue_type}") == 1
        assert "reconnecting" not in server.output
        assert events.count == 1
    channel.queue_declare(queue, durable=True, arguments={"x-queue-type": queue_type})
    channel.queue_delete(queue)


def test_calls_go_on_while_their_quorum_queue_is_deleted_again_and_again(
    broker: PrivateBroker, channel: Any, queue: str
) -> None:
    with (
        ServerProcess(broker.url, "--workers", "2", "--queue", queue, "--queue-type", "quorum") as server,
        ServerProcess(broker.url, "--workers", "2", "--queue", queue, "--queue-type", "quorum") as second,
        RpcClient(broker.url, queue=queue, timeout=30, wait_for_server=20) as client,
    ):
        futures = []
        for _ in range(8):
            futures += [client.submit("echo", number) for number in range(100)]
            channel.queue_delete(queue)
            assert client.call("fib", 30) == 832040
            if version(channel) < (4,):
                # RabbitMQ 3 itself consumes a queue again that is declared anew before a consumer's channel has heard
                # of its end, says nothing, and drops what comes: no deletion may come while one server has yet to
                # declare the queue after the one before.
                wait_until(lambda: is_consumed(broker, queue, 4))
        assert [future.result() for future in futures] == [*range(100)] * 8
        for each in (server, second):
            assert "reconnecting" not in each.output
        wait_until(lambda: is_consumed(broker, queue, 4))
    channel.queue_delete(queue)


def test_a_call_that_must_not_run_twice_is_answered_or_its_outcome_is_unknown_when_a_quorum_queue_is_deleted(
    broker: PrivateBroker, channel: Any, queue: str, tmp_path: Path
) -> None:
    gate, trace = tmp_path / "gate", tmp_path / "trace"
    with (
        ServerProcess(broker.url, "--workers", "2", "--queue", queue, "--queue-type", "quorum"),
        RpcClient(broker.url, queue=queue, timeout=40, wait_for_server=20, pack=False) as client,
    ):
        calls = [client.submit("pass_gate_once", str(trace), text, str(gate)) for text in "abcd"]
        wait_until(lambda: trace.exists() and len(trace.read_text().split()) == 2)
        begun = trace.read_text().split()
        channel.queue_delete(queue)
        wait_until(lambda: channel.connection.is_open and is_consumed(broker, queue, 2))
        gate.touch()
        for text, call in zip("abcd", calls, strict=True):
            error = call.exception(timeout=30)
            assert isinstance(error, OutcomeUnknown) if text not in begun else call.result() == text
    assert sorted(trace.read_text().split()) == sorted(begun)
    channel.queue_delete(queue)


def is_consumed(broker: PrivateBroker, queue: str, consumers: int) -> bool:
    with pika.BlockingConnection(pika.URLParameters(broker.url)) as connection:
        try:
            return bool(connection.channel().queue_declare(queue, passive=True).method.consumer_count == consumers)
        except pika.exceptions.ChannelClosedByBroker:
            return False


def test_a_queue_that_was_found_is_declared_as_the_server_was_told_after_it_was_deleted_with_a_warning(
    broker: PrivateBroker, channel: Any, queue: str
) -> None:
    channel.queue_declare(queue, durable=True, arguments={"x-max-length": 1000})
    with (
        ServerProcess(broker.url, "--workers", "1", "--queue", queue) as server,
        RpcClient(broker.url, queue=queue, timeout=30, wait_for_server=20) as client,
    ):
        assert client.call("fib", 30) == 832040
        channel.queue_delete(queue)
        wait_until(lambda: "was deleted" in server.output)
        assert client.call("fib", 30) == 832040
        (line,) = [line for line in server.output.splitlines() if "was deleted" in line]
        assert (
            "declaring it again as classic (found: x-max-length 1000; what arguments it had besides is not known)"
            in line
        )
    channel.queue_declare(queue, durable=True)
    channel.queue_delete(queue)
