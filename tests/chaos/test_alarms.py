"""The broker is short of memory or disk, and takes no messages meanwhile. No call hangs, and none runs too late."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from support.begun import Gate
from support.ctl import RabbitCtl
from support.processes import ServerProcess, wait_until

from rpcsvc import RpcClient, RpcTimeout
from rpcsvc.broker import PrivateBroker
from rpcsvc.testing import scaled

Alarm = Callable[[RabbitCtl], AbstractContextManager[None]]
LATE = scaled(1.0)
"""Seconds after its deadline by which a call has ended; on a machine that has time for it, a quarter of that."""


def outcome_in_time(client: RpcClient, timeout: float) -> None:
    started = time.monotonic()
    with pytest.raises(RpcTimeout):
        client.call("echo", 1, timeout=timeout)
    assert time.monotonic() - started < timeout + LATE


@pytest.mark.parametrize(
    "alarm",
    # RabbitMQ tells clients of both in the same words but one, and nothing of ours reads that.
    [RabbitCtl.memory_alarm, pytest.param(RabbitCtl.disk_alarm, marks=pytest.mark.long)],
)
def test_during_an_alarm_calls_end_at_their_deadline_and_after_it_they_go_on(
    broker: PrivateBroker, queue: str, alarm: Alarm, tmp_path: Path
) -> None:
    trace = tmp_path / "trace"
    with (
        ServerProcess(broker.url, "--workers", "2", "--queue", queue) as server,
        RpcClient(broker.url + "?heartbeat=2", queue=queue, timeout=20) as client,
    ):
        assert client.call("fib", 30) == 832040
        callback_queue = client.callback_queue
        late: list[Future[Any]] = []

        def call_until_nothing_comes() -> None:
            with contextlib.suppress(RpcTimeout):
                while True:
                    client.call("echo", 1, timeout=0.4)
            outcome_in_time(client, 0.2)  # it tells the broker that we publish, and the broker tells us of the alarm
            # There was a server less than a second ago, so nothing but the alarm keeps these back.
            late.extend(client.submit("write_then_sleep", str(trace), f"{n}", 0.0, timeout=1.0) for n in range(20))

        calling = threading.Thread(target=call_until_nothing_comes)
        calling.start()
        with alarm(RabbitCtl(broker)):
            calling.join()
            patient = client.submit("echo", "patient", timeout=40)
            assert len(late) == 20
            for call in late:
                assert isinstance(call.exception(timeout=1.0 + 2 * LATE), RpcTimeout)
            outcome_in_time(client, 0.5)
            time.sleep(5)  # more than two heartbeats: the broker's silence is not taken for its end, nor ours
        cured = time.monotonic()
        assert patient.result() == "patient"
        assert client.call("fib", 30) == 832040
        assert time.monotonic() - cured < scaled(5)
        assert client.callback_queue == callback_queue, "the connection has lived through it"
        assert not trace.exists(), "none of the calls was run after its deadline"
        assert client.pending == 0
        assert "reconnecting" not in server.output


def test_ten_times_ten_thousand_calls_that_nobody_takes_end_and_leave_nothing_behind(
    broker: PrivateBroker, queue: str
) -> None:
    with (
        ServerProcess(broker.url, "--workers", "1", "--queue", queue),
        RpcClient(broker.url, queue=queue, timeout=20, max_in_flight=20_000) as client,
    ):
        assert client.call("fib", 30) == 832040
        with RabbitCtl(broker).memory_alarm():
            outcome_in_time(client, 0.5)
            for _ in range(10):
                calls = [client.submit("echo", number, timeout=0.5) for number in range(10_000)]
                assert all(isinstance(call.exception(timeout=10), RpcTimeout) for call in calls)
        assert client.call("fib", 30) == 832040
        assert client.pending == 0
        assert client.dropped_replies.late < 20, "hardly any of them was run after all"


def test_clients_come_and_go_during_an_alarm_in_bounded_time(broker: PrivateBroker, queue: str) -> None:
    with ServerProcess(broker.url, "--workers", "1", "--queue", queue) as server:
        with RabbitCtl(broker).memory_alarm():
            for _ in range(2):
                started = time.monotonic()
                with RpcClient(broker.url, queue=queue) as client:
                    outcome_in_time(client, 0.5)
                    client.submit("echo", 1)
                assert time.monotonic() - started < scaled(5)
        with RpcClient(broker.url, queue=queue) as client:
            assert client.call("fib", 30, timeout=5) == 832040
        assert server.process.poll() is None


def test_a_servers_answers_wait_for_the_end_of_an_alarm(broker: PrivateBroker, queue: str, tmp_path: Path) -> None:
    with (
        ServerProcess(broker.url, "--workers", "2", "--queue", queue) as server,
        RpcClient(broker.url, queue=queue, timeout=40) as client,
    ):
        gate = Gate(tmp_path)
        calls = [gate.submit(client, text) for text in "abcdef"]
        wait_until(lambda: len(gate.begun) == 2)
        with RabbitCtl(broker).memory_alarm():
            gate.open()
            wait_until(lambda: "takes no messages" in server.output)
            with pytest.raises(TimeoutError):
                calls[0].result(1.0)
        cured = time.monotonic()
        assert [call.result() for call in calls] == list("abcdef")
        assert time.monotonic() - cured < scaled(5)
        assert server.output.count("takes messages again") == 1
