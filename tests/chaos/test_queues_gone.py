"""Queues are deleted under way: what lay in them is sent again, what a server holds is answered."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest
from support.begun import Gate
from support.ctl import RabbitCtl
from support.processes import ServerProcess, wait_until

from rpcsvc import NoServer, OutcomeUnknown, RpcClient
from rpcsvc.broker import PrivateBroker
from rpcsvc.testing import scaled


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    return Gate(tmp_path)


def delete_callback_queue(broker: PrivateBroker, client: RpcClient) -> None:
    first = client.callback_queue
    assert first is not None
    RabbitCtl(broker).delete_queue(first)
    wait_until(lambda: client.callback_queue not in (None, first))


def test_a_client_whose_callback_queue_is_deleted_takes_another_and_sends_its_calls_again(
    broker: PrivateBroker, server: ServerProcess, queue: str, gate: Gate
) -> None:
    with RpcClient(broker.url, queue=queue, timeout=40) as client:
        running = gate.submit(client, "a")
        wait_until(lambda: gate.begun == ["a"])
        delete_callback_queue(broker, client)
        gate.open()
        assert running.result() == "a"


def test_a_call_that_must_not_run_twice_is_not_when_the_callback_queue_is_deleted(
    broker: PrivateBroker, server: ServerProcess, queue: str, gate: Gate
) -> None:
    with RpcClient(broker.url, queue=queue, timeout=40) as client:
        running = gate.submit(client, "once", once=True)
        wait_until(lambda: gate.begun == ["once"])
        delete_callback_queue(broker, client)
        with pytest.raises(OutcomeUnknown):
            running.result()
        gate.open()
        assert client.call("fib", 30) == 832040
    assert gate.begun == ["once"]


def test_a_channel_that_dies_in_the_broker_costs_its_client_no_call(
    broker: PrivateBroker, server: ServerProcess, queue: str, gate: Gate
) -> None:
    with RpcClient(broker.url, queue=queue, timeout=40) as client:
        first = client.callback_queue
        running = gate.submit(client, "a")
        wait_until(lambda: gate.begun == ["a"])
        RabbitCtl(broker).erlang(  # the client's channel has one consumer, the server's has two
            "[exit(proplists:get_value(pid, C), kill) || C <- rabbit_channel:info_all([pid, consumer_count]),"
            " proplists:get_value(consumer_count, C) =:= 1]"
        )
        wait_until(lambda: client.callback_queue not in (None, first))
        gate.open()
        assert running.result() == "a"
        assert client.call("fib", 30) == 832040


def test_what_a_server_holds_when_its_queue_is_deleted_is_answered_and_what_lay_in_it_is_sent_again(
    broker: PrivateBroker, server: ServerProcess, queue: str, gate: Gate
) -> None:
    with RpcClient(broker.url, queue=queue, timeout=40) as client:
        # Two workers: two of them run, two wait in the queue and go with it.
        calls = [gate.submit(client, text) for text in "abcd"]
        wait_until(lambda: len(gate.begun) == 2)
        RabbitCtl(broker).delete_queue(queue)
        gate.open()
        opened = time.monotonic()
        assert [call.result() for call in calls] == list("abcd")
        assert time.monotonic() - opened < scaled(10)
        assert client.call("fib", 30) == 832040
    assert server.output.count("was deleted") == 1
    assert "reconnecting" not in server.output


def test_a_server_that_is_to_stop_finishes_the_calls_that_it_holds_of_a_deleted_queue(
    broker: PrivateBroker, queue: str, gate: Gate
) -> None:
    with (
        ServerProcess(broker.url, "--workers", "2", "--queue", queue) as server,
        RpcClient(broker.url, queue=queue, timeout=40) as client,
    ):
        running = gate.submit(client, "a")
        wait_until(lambda: gate.begun == ["a"])
        RabbitCtl(broker).delete_queue(queue)
        wait_until(lambda: queue in RabbitCtl(broker).queues())
        server.signal(signal.SIGTERM)
        gate.open()
        assert running.result() == "a"
        assert server.wait() == 0


def test_a_call_that_must_not_run_twice_is_answered_by_the_server_that_holds_it_or_its_outcome_is_unknown(
    broker: PrivateBroker, server: ServerProcess, queue: str, gate: Gate
) -> None:
    with RpcClient(broker.url, queue=queue, timeout=40) as client:
        calls = [gate.submit(client, text, once=True) for text in "abcd"]
        wait_until(lambda: len(gate.begun) == 2)
        RabbitCtl(broker).delete_queue(queue)
        gate.open()
        for text, call in zip("abcd", calls, strict=True):
            error = call.exception(timeout=20)
            assert isinstance(error, OutcomeUnknown) if error is not None else call.result() == text
    assert len(gate.begun) == len(set(gate.begun))


def test_a_call_that_must_not_run_twice_goes_on_when_it_comes_again_to_the_server_that_runs_it(
    broker: PrivateBroker, server: ServerProcess, queue: str, gate: Gate
) -> None:
    with RpcClient(broker.url, queue=queue, timeout=40) as client:
        running = gate.submit(client, "a", once=True)
        wait_until(lambda: gate.begun == ["a"])
        RabbitCtl(broker).delete_queue(queue)
        # The second worker's consumer gets the call again; what is called after that comes after it.
        wait_until(lambda: "was deleted" in server.output)
        assert client.call("fib", 30) == 832040
        time.sleep(0.5)
        assert client.call("fib", 30) == 832040
        gate.open()
        assert running.result() == "a"
    assert gate.begun == ["a"]


def test_calls_go_on_while_their_queue_is_deleted_again_and_again(
    broker: PrivateBroker, server: ServerProcess, queue: str
) -> None:
    with RpcClient(broker.url, queue=queue, timeout=20, wait_for_server=10) as client:
        futures = []
        for _ in range(4):
            futures += [client.submit("echo", number) for number in range(300)]
            RabbitCtl(broker).delete_queue(queue)
            deleted = time.monotonic()
            assert client.call("fib", 30) == 832040
            assert time.monotonic() - deleted < scaled(10)
        assert [future.result() for future in futures] == [*range(300)] * 4
        assert client.pending == 0
    # It is served as before: by each worker.
    assert RabbitCtl(broker).queues("consumers")[queue] == 2


def test_a_queue_that_is_deleted_while_no_server_is_there_ends_the_calls_in_it(
    broker: PrivateBroker, queue: str, gate: Gate
) -> None:
    with RpcClient(broker.url, queue=queue, timeout=40, patience=1.0) as client:
        with ServerProcess(broker.url, "--workers", "1", "--queue", queue) as server:
            waiting = [gate.submit(client, text) for text in "abc"]
            wait_until(lambda: RabbitCtl(broker).queues()[queue] == 3)
            server.signal(signal.SIGKILL)
            server.wait()
        RabbitCtl(broker).delete_queue(queue)
        for call in waiting:
            assert isinstance(call.exception(timeout=5), NoServer)


def test_a_patient_client_gets_its_calls_through_when_the_queue_comes_back(
    broker: PrivateBroker, queue: str, gate: Gate
) -> None:
    options = ("--workers", "1", "--queue", queue)
    with RpcClient(broker.url, queue=queue, timeout=30, wait_for_server=20) as client:
        with ServerProcess(broker.url, *options) as server:
            waiting = [gate.submit(client, text) for text in "abc"]
            wait_until(lambda: RabbitCtl(broker).queues()[queue] == 3)
            server.signal(signal.SIGKILL)
            server.wait()
        RabbitCtl(broker).delete_queue(queue)
        gate.open()
        with ServerProcess(broker.url, *options):
            assert [call.result() for call in waiting] == list("abc")


def test_connections_that_an_operator_closes_again_and_again_come_back_each_time(
    broker: PrivateBroker, queue: str
) -> None:
    with (
        ServerProcess(broker.url, "--workers", "2", "--queue", queue) as server,
        RpcClient(broker.url, queue=queue, timeout=30, wait_for_server=10) as client,
    ):
        futures = []
        for _ in range(4):
            futures += [client.submit("echo", number) for number in range(200)]
            RabbitCtl(broker).close_all_connections()
        closed = time.monotonic()
        assert client.call("fib", 30) == 832040
        assert time.monotonic() - closed < scaled(5)
        outcomes = [future.exception(timeout=30) for future in futures]
        assert [type(error).__name__ for error in outcomes if error is not None] == []
        assert server.process.poll() is None


def test_where_exchanges_are_forbidden_calls_are_made_all_the_same(
    broker: PrivateBroker, queue: str, gate: Gate
) -> None:
    RabbitCtl(broker).add_user(queue, "modest")
    try:
        allowed = rf"^({queue}|amq\.gen-.*|amq\.default)$"
        RabbitCtl(broker).permit(queue, allowed, allowed, allowed)
        url = f"amqp://{queue}:modest@127.0.0.1:{broker.port}/"
        with (
            ServerProcess(url, "--workers", "2", "--queue", queue) as server,
            RpcClient(url, queue=queue, timeout=20) as client,
        ):
            assert client.call("fib", 30) == 832040
            running = gate.submit(client, "a")
            wait_until(lambda: gate.begun == ["a"])
            RabbitCtl(broker).delete_queue(queue)
            gate.open()
            assert running.result() == "a"
            assert client.call("fib", 30) == 832040
            assert "reconnecting" not in server.output
    finally:
        RabbitCtl(broker).delete_user(queue)
