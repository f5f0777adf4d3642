"""What the log of a server says: each call that failed on one line, and an outage in a few."""

from __future__ import annotations

import re
import signal
from pathlib import Path

import pytest
from support.begun import begun
from support.processes import ServerProcess, wait_until

from rpcsvc import FunctionRaised, ResultNotEncodable, RpcClient, TimeLimitExceeded, WorkerLost
from rpcsvc.broker import PrivateBroker
from rpcsvc.testing import FaultProxy, scaled

LINE = re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} (DEBUG|INFO|WARNING|ERROR) rpcsvc: ")


@pytest.fixture
def one(broker: PrivateBroker, queue: str) -> ServerProcess:
    with ServerProcess(broker.url, "--workers", "1", "--queue", queue) as server:
        yield server


def _line(server: ServerProcess, text: str) -> str:
    wait_until(lambda: text in server.output)
    (line,) = [line for line in server.output.splitlines() if text in line]
    assert LINE.match(line), line
    return line


def test_a_call_whose_worker_ended_is_named_with_its_worker_and_its_time(
    broker: PrivateBroker, one: ServerProcess
) -> None:
    with RpcClient(broker.url, queue=one.queue, timeout=30) as client:
        pid = client.call("pid")
        with pytest.raises(WorkerLost):
            client.call("exit_hard", 3)
        with pytest.raises(TimeLimitExceeded):
            client.call("hold_on", "a loop")
    line = _line(one, "of exit_hard failed")
    assert re.search(
        r"call \d+ of exit_hard failed: .*exit code 3 .*\(worker process \d+ ended .*, after [\d.e-]+ s\)", line
    )
    assert str(pid) in line
    over_time = _line(one, "of hold_on failed")
    assert "longer than its time limit of 0.5 s" in over_time
    assert float(re.search(r"after ([\d.]+) s\)$", over_time)[1]) >= 0.5  # type: ignore[index]


def test_a_function_that_raises_is_named_with_the_time_it_took(broker: PrivateBroker, one: ServerProcess) -> None:
    with RpcClient(broker.url, queue=one.queue, timeout=30) as client:
        # Given together with slow ones: the time is its own, not theirs.
        calls = [client.submit("nap", 0.4), client.submit("raise_error", "not this one"), client.submit("nap", 0.01)]
        with pytest.raises(FunctionRaised):
            calls[1].result(30)
    line = _line(one, "of raise_error failed")
    assert "worker 1: " in line
    took = re.search(r"not this one \(after ([\d.e-]+) s\)$", line)
    assert took is not None, line
    assert float(took[1]) < scaled(0.4)


def test_a_result_that_cannot_be_sent_is_named(broker: PrivateBroker, queue: str) -> None:
    with (
        ServerProcess(broker.url, "--workers", "1", "--queue", queue, "--max-result", "10000") as server,
        RpcClient(broker.url, queue=queue, timeout=30, pack=False) as client,
    ):
        with pytest.raises(ResultNotEncodable):
            client.call("large", 20_000)
        line = _line(server, "of large failed")
        assert re.search(r"call \d+ of large failed: the result takes \d+ bytes; .* 10000 \(after [\d.e-]+ s\)$", line)
        with pytest.raises(ResultNotEncodable):
            client.call("return_a_lock")
        assert "cannot be carried" in _line(server, "of return_a_lock failed")


def test_a_cancelled_call_is_named(broker: PrivateBroker, one: ServerProcess, tmp_path: Path) -> None:
    with RpcClient(broker.url, queue=one.queue, timeout=30) as client:
        future = begun(client, tmp_path, 20)
        future.cancel()
        assert "nobody waits for it any more" in _line(one, "of write_then_sleep was cancelled")


def test_an_outage_is_said_when_it_begins_and_when_it_ends_and_pika_says_nothing_where_only_ours_was_asked_for(
    broker: PrivateBroker, queue: str
) -> None:
    with (
        FaultProxy("127.0.0.1", broker.port) as network,
        ServerProcess(network.url(broker.url), "--workers", "1", "--queue", queue) as server,
    ):
        network.refuse()
        wait_until(lambda: "no connection yet" in server.output)
        refused = network.refused
        wait_until(lambda: network.refused > refused + 3)  # it tries all the while, and says nothing
        network.heal()
        line = _line(server, "connected after")
        assert re.search(r"connected after [\d.]+ s$", line)
        assert server.output.count("no connection yet") <= 3
        assert server.output.count("reconnecting:") == 1
        assert "pika" not in server.output


def test_a_server_counts_calls_not_messages(broker: PrivateBroker, queue: str) -> None:
    with ServerProcess(broker.url, "--workers", "1", "--prefetch", "4", "--queue", queue) as server:
        with RpcClient(broker.url, queue=queue, timeout=30) as client:
            assert sum(client.map("fib", range(20), chunksize=10)) == 10945
            assert client.call("fib", 30) == 832040
            assert [future.result(30) for future in [client.submit("fib", 10) for _ in range(100)]] == [55] * 100
        server.signal(signal.SIGTERM)
        assert server.wait() == 0
        # Calls that are taken out of their message because one before them is slow are computed, and counted, there.
        assert "answered=121," in server.output


def test_a_server_counts_the_calls_whose_message_was_mended(broker: PrivateBroker, queue: str, tmp_path: Path) -> None:
    with ServerProcess(broker.url, "--workers", "1", "--queue", queue) as server:
        with RpcClient(broker.url, queue=queue, timeout=30) as client:
            paths = [str(tmp_path / "trace")] * 10
            results = list(client.map("trace", paths, range(10), [3] * 10, chunksize=10, return_exceptions=True))
            assert [number for number, result in enumerate(results) if isinstance(result, WorkerLost)] == [3]
        server.signal(signal.SIGTERM)
        assert server.wait() == 0
        assert "answered=9, lost=1," in server.output
