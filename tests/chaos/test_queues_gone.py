"""Queues are deleted under way: what lay in them is sent again, what a server holds is answered."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest
from processes import ServerProcess, wait_until
from rabbitmqctl import close_all_connections, delete_queue, queues, rabbitmqctl

from rpcsvc import NoServer, OutcomeUnknown, RpcClient
from rpcsvc.broker import PrivateBroker


def starts(path: Path) -> list[str]:
    return path.read_text().split() if path.exists() else []


def test_a_client_whose_callback_queue_is_deleted_takes_another_and_sends_its_calls_again(
    broker: PrivateBroker, server: ServerProcess, queue: str
) -> None:
    with RpcClient(broker.url, queue=queue, timeout=20) as client:
        assert client.call("fib", 30) == 832040
        first = client.callback_queue
        assert first is not None
        slow = client.submit("sleep", 1.0)
        time.sleep(0.1)
        delete_queue(broker, first)
        assert slow.result() == 1.0
        assert client.callback_queue not in (None, first)


def test_a_call_that_must_not_run_twice_is_not_when_the_callback_queue_is_deleted(
    broker: PrivateBroker, server: ServerProcess, queue: str, tmp_path: Path
) -> None:
    trace = tmp_path / "trace"
    with RpcClient(broker.url, queue=queue, timeout=20) as client:
        running = client.submit("write_once_then_sleep", str(trace), "once", 1.0)
        wait_until(lambda: starts(trace) == ["once"])
        assert client.callback_queue is not None
        delete_queue(broker, client.callback_queue)
        with pytest.raises(OutcomeUnknown):
            running.result()
    assert starts(trace) == ["once"]


def test_a_channel_that_the_broker_closed_costs_its_client_no_call(
    broker: PrivateBroker, server: ServerProcess, queue: str
) -> None:
    with RpcClient(broker.url, queue=queue, timeout=20) as client:
        first = client.callback_queue
        slow = client.submit("sleep", 0.5)
        time.sleep(0.1)
        # The channel's own process dies in the broker, as by an error of its own.
        rabbitmqctl(
            broker,
            "eval",
            "[exit(proplists:get_value(pid, C), kill) || C <- rabbit_channel:info_all([pid, consumer_count, user]),"
            " proplists:get_value(consumer_count, C) =:= 1].",
        )
        assert slow.result() == 0.5
        assert client.callback_queue != first
        assert client.call("fib", 30) == 832040


def test_what_a_server_holds_when_its_queue_is_deleted_is_answered_and_what_lay_in_it_is_sent_again(
    broker: PrivateBroker, server: ServerProcess, queue: str, tmp_path: Path
) -> None:
    trace = tmp_path / "trace"
    with RpcClient(broker.url, queue=queue, timeout=20) as client:
        # Two workers, two calls each of a second: two run, two wait in the queue and go with it.
        calls = [client.submit("write_then_sleep", str(trace), name, 1.0) for name in "abcd"]
        wait_until(lambda: len(starts(trace)) == 2)
        delete_queue(broker, queue)
        deleted = time.monotonic()
        assert [call.result() for call in calls] == list("abcd")
        assert time.monotonic() - deleted < 10
        assert client.call("fib", 30) == 832040
    assert server.output.count("was deleted") == 1
    assert "reconnecting" not in server.output


def test_a_server_that_is_to_stop_finishes_the_calls_that_it_holds_of_a_deleted_queue(
    broker: PrivateBroker, queue: str
) -> None:
    with (
        ServerProcess(broker.url, "--workers", "2", "--queue", queue) as server,
        RpcClient(broker.url, queue=queue, timeout=20) as client,
    ):
        running = client.submit("sleep", 1.0)
        time.sleep(0.2)
        delete_queue(broker, queue)
        wait_until(lambda: queues(broker).get(queue) is not None)
        server.signal(signal.SIGTERM)
        assert running.result() == 1.0
        assert server.wait() == 0


def test_a_call_that_must_not_run_twice_is_answered_by_the_server_that_holds_it_or_its_outcome_is_unknown(
    broker: PrivateBroker, server: ServerProcess, queue: str, tmp_path: Path
) -> None:
    trace = tmp_path / "trace"
    with RpcClient(broker.url, queue=queue, timeout=20) as client:
        calls = [client.submit("write_once_then_sleep", str(trace), name, 1.0) for name in "abcd"]
        wait_until(lambda: len(starts(trace)) == 2)
        delete_queue(broker, queue)
        for name, call in zip("abcd", calls, strict=True):
            error = call.exception(timeout=10)
            assert isinstance(error, OutcomeUnknown) if error is not None else call.result() == name
    assert len(starts(trace)) == len(set(starts(trace)))


def test_calls_go_on_while_their_queue_is_deleted_again_and_again(
    broker: PrivateBroker, server: ServerProcess, queue: str
) -> None:
    with RpcClient(broker.url, queue=queue, timeout=20, wait_for_server=10) as client:
        futures = []
        for _ in range(4):
            futures += [client.submit("echo", number) for number in range(300)]
            delete_queue(broker, queue)
            deleted = time.monotonic()
            assert client.call("fib", 30) == 832040
            assert time.monotonic() - deleted < 5
        assert [future.result() for future in futures] == [*range(300)] * 4
        assert client.pending == 0
    # It is served as before: by each worker.
    assert rabbitmqctl(broker, "list_queues", "--no-table-headers", "name", "consumers").count(f"{queue}\t2") == 1


def test_a_queue_that_is_deleted_while_no_server_is_there_ends_the_calls_in_it(
    broker: PrivateBroker, queue: str
) -> None:
    with RpcClient(broker.url, queue=queue, timeout=20) as client:
        with ServerProcess(broker.url, "--workers", "1", "--queue", queue) as server:
            waiting = [client.submit("sleep", 10) for _ in range(3)]
            wait_until(lambda: queues(broker)[queue] == 3)
            server.signal(signal.SIGKILL)
            server.wait()
        delete_queue(broker, queue)
        for call in waiting:
            assert isinstance(call.exception(timeout=5), NoServer)


def test_a_patient_client_gets_its_calls_through_when_the_queue_comes_back(broker: PrivateBroker, queue: str) -> None:
    options = ("--workers", "1", "--queue", queue)
    with RpcClient(broker.url, queue=queue, timeout=30, wait_for_server=20) as client:
        with ServerProcess(broker.url, *options) as server:
            waiting = [client.submit("nap", 0.5 + number / 10) for number in range(3)]
            wait_until(lambda: queues(broker)[queue] == 3)
            server.signal(signal.SIGKILL)
            server.wait()
        delete_queue(broker, queue)
        with ServerProcess(broker.url, *options):
            assert [call.result() for call in waiting] == [0.5, 0.6, 0.7]


def test_connections_that_an_operator_closes_again_and_again_come_back_each_time(
    own_broker: PrivateBroker, queue: str
) -> None:
    with (
        ServerProcess(own_broker.url, "--workers", "2", "--queue", queue) as server,
        RpcClient(own_broker.url, queue=queue, timeout=30, wait_for_server=10) as client,
    ):
        futures = []
        for _ in range(4):
            futures += [client.submit("echo", number) for number in range(200)]
            close_all_connections(own_broker)
        closed = time.monotonic()
        assert client.call("fib", 30) == 832040
        assert time.monotonic() - closed < 5
        outcomes = [future.exception(timeout=30) for future in futures]
        assert [type(error).__name__ for error in outcomes if error is not None] == []
        assert server.process.poll() is None
