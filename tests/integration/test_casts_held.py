"""Casts that a server holds beside those that run: many while they are quick, none while they are not."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pika
import pytest
from support.processes import ServerProcess, is_running, wait_until

from rpcsvc import RpcClient
from rpcsvc.broker import PrivateBroker

QUICK = 3000
"""Casts in which it is learnt that they are quick."""


@pytest.fixture
def serve(broker: PrivateBroker, queue: str) -> Callable[..., ServerProcess]:
    def serve(*options: str) -> ServerProcess:
        workers = ("--workers", "2", "--cast-workers", "2")
        return ServerProcess(broker.url, *workers, "--queue", queue, *options, registry="casting:registry")

    return serve


@pytest.fixture
def client(broker: PrivateBroker, queue: str) -> RpcClient:
    return RpcClient(broker.url, queue=queue)


def consumers(broker: PrivateBroker, queue: str) -> int:
    connection = pika.BlockingConnection(pika.URLParameters(broker.url))
    try:
        return int(connection.channel().queue_declare(f"{queue}.casts", passive=True).method.consumer_count)
    finally:
        connection.close()


def ready(broker: PrivateBroker, queue: str) -> int:
    connection = pika.BlockingConnection(pika.URLParameters(broker.url))
    try:
        return int(connection.channel().queue_declare(queue, passive=True).method.message_count)
    finally:
        connection.close()


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


@pytest.mark.parametrize("kind", ["quorum", "classic"])
def test_more_are_held_while_casts_are_quick_and_no_more_once_they_are_slow(
    kind: str, serve: Callable[..., ServerProcess], client: RpcClient, broker: PrivateBroker, queue: str, tmp_path: Path
) -> None:
    trace = tmp_path / "trace"
    with client:
        with serve("--cast-queue-type", kind):
            assert consumers(broker, queue) == 1
            client.cast_many("note", [str(trace)] * QUICK, map(str, range(QUICK)))
            wait_until(lambda: len(lines(trace)) == QUICK, within=60)
            wait_until(lambda: consumers(broker, queue) == 2)

            client.cast_many("nap", [0.05] * 60)
            wait_until(lambda: consumers(broker, queue) == 1, within=30)
        assert sorted(map(int, lines(trace))) == list(range(QUICK))
        assert ready(broker, f"{queue}.dead") == 0


def test_what_was_done_is_acked_when_the_server_stops(
    serve: Callable[..., ServerProcess], client: RpcClient, broker: PrivateBroker, queue: str, tmp_path: Path
) -> None:
    trace = tmp_path / "trace"
    with serve(), client:
        client.cast_many("note", [str(trace)] * QUICK, map(str, range(QUICK)))
        wait_until(lambda: len(lines(trace)) > QUICK // 2, within=60)
    done = len(lines(trace))
    assert done == len(set(lines(trace)))
    wait_until(lambda: ready(broker, f"{queue}.casts") == QUICK - done, within=20)


def test_what_was_held_when_a_server_is_killed_is_done_by_another_one(
    serve: Callable[..., ServerProcess], client: RpcClient, tmp_path: Path
) -> None:
    trace = tmp_path / "trace"
    with client:
        with serve() as server:
            client.cast_many("note", [str(trace)] * QUICK, map(str, range(QUICK)))
            wait_until(lambda: len(lines(trace)) > QUICK // 2, within=60)
            family = server.family()
            server.signal(signal.SIGKILL)
            server.wait()
            wait_until(lambda: not any(map(is_running, family)))
        with serve():
            wait_until(lambda: len(set(lines(trace))) == QUICK, within=60)


def test_no_more_are_held_than_run_where_they_must_not_run_twice(
    serve: Callable[..., ServerProcess], client: RpcClient, broker: PrivateBroker, queue: str, tmp_path: Path
) -> None:
    trace = tmp_path / "trace"
    with serve(), client:
        client.cast_many("note_once", [str(trace)] * 600, map(str, range(600)))
        wait_until(lambda: len(lines(trace)) == 600, within=60)
        assert consumers(broker, queue) == 1
