"""The only pool is restarted, or stays away: what waits is computed, what nobody waits for any more is not."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest
from support.begun import Gate
from support.processes import ServerProcess, wait_until
from support.traces import Trace

from rpcsvc import NoServer, RpcClient, RpcTimeout
from rpcsvc.broker import PrivateBroker


@pytest.fixture
def trace(tmp_path: Path) -> Trace:
    return Trace(tmp_path)


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    return Gate(tmp_path)


def pool(broker: PrivateBroker, queue: str, workers: int = 2) -> ServerProcess:
    return ServerProcess(broker.url, "--workers", str(workers), "--queue", queue)


@pytest.mark.parametrize(
    ("away", "once"),
    [
        pytest.param(0.3, False, id="a moment, idempotent"),
        pytest.param(3.0, True, id="seconds, not idempotent"),
        pytest.param(0.3, True, id="a moment, not idempotent", marks=pytest.mark.long),
        pytest.param(3.0, False, id="seconds, idempotent", marks=pytest.mark.long),
    ],
)
def test_calls_that_wait_while_the_only_pool_is_restarted_end_right(
    broker: PrivateBroker, queue: str, gate: Gate, away: float, once: bool
) -> None:
    with RpcClient(broker.url, queue=queue, timeout=60) as client:
        with pool(broker, queue) as first:
            waiting = [gate.submit(client, f"call-{number}", once=once) for number in range(11)]
            wait_until(lambda: len(gate.begun) == 2)
            first.signal(signal.SIGTERM)
            gate.open()
            assert first.wait(30) == 0
        time.sleep(away)  # the fault itself, not a wait for something
        with pool(broker, queue):
            assert [call.result(timeout=30) for call in waiting] == [f"call-{number}" for number in range(11)]
    assert sorted(gate.begun) == sorted(f"call-{number}" for number in range(11)), "each once"


def test_new_calls_that_come_while_the_pool_is_restarted_wait_for_it(broker: PrivateBroker, queue: str) -> None:
    with RpcClient(broker.url, queue=queue, timeout=60) as client:
        with pool(broker, queue):
            assert client.call("fib", 30) == 832040
        waiting = [client.submit("echo", number) for number in range(11)]
        mapped = client.map("echo", range(20))
        with pytest.raises(TimeoutError):
            waiting[0].result(0.5)
        assert not any(call.done() for call in waiting)
        with pool(broker, queue):
            assert [call.result(timeout=30) for call in waiting] == list(range(11))
            assert list(mapped) == list(range(20))


@pytest.mark.parametrize("kind", ["no server", "time-out", "cancelled"])
def test_a_new_pool_computes_nothing_for_calls_that_ended_while_there_was_none(
    broker: PrivateBroker, queue: str, gate: Gate, kind: str
) -> None:
    """They lie in the queue still: servers are told of them as soon as one is seen, though nobody calls any more."""
    patience = 1.0 if kind == "no server" else 60.0
    with RpcClient(broker.url, queue=queue, timeout=60, patience=patience) as client:
        with pool(broker, queue, workers=1) as first:
            ended = [
                gate.submit(client, f"call-{number}", timeout=2.0 if kind == "time-out" else None)
                for number in range(6)
            ]
            wait_until(lambda: gate.begun == ["call-0"])
            first.signal(signal.SIGKILL)
            first.wait()
        if kind == "cancelled":
            time.sleep(0.5)
            assert all(call.cancel() for call in ended)
        else:
            expected = {"no server": NoServer, "time-out": RpcTimeout}[kind]
            assert [type(call.exception(timeout=30)) for call in ended] == [expected] * 6
        wait_until(lambda: client.pending == 0)
        with pool(broker, queue, workers=1):
            begun_at_first = wait_until(lambda: [time.monotonic()])[0]
            # One may begin before the word comes; it is stopped, and no other begins.
            wait_until(lambda: time.monotonic() - begun_at_first > 1.0)
            seen = len(gate.begun)
            assert seen <= 3
            with RpcClient(broker.url, queue=queue, timeout=20) as other:
                assert other.call("fib", 30) == 832040, "the worker is free"
            assert len(gate.begun) == seen


def test_calls_that_are_given_up_before_the_pool_is_restarted_are_not_computed_by_the_new_one(
    broker: PrivateBroker, queue: str, gate: Gate, tmp_path: Path
) -> None:
    """The old one had heard of them, and takes what it knows along."""
    closed = Gate(tmp_path, "closed")
    with RpcClient(broker.url, queue=queue, timeout=60) as client:
        with pool(broker, queue, workers=1) as first:
            kept = gate.submit(client, "call-0")
            given_up = [closed.submit(client, f"call-{number}") for number in range(1, 6)]
            wait_until(lambda: gate.begun == ["call-0"])
            assert all(call.cancel() for call in given_up)
            wait_until(lambda: client.pending == 1)
            first.signal(signal.SIGTERM)
            wait_until(lambda: "draining" in first.output or "stopping" in first.output)
            time.sleep(0.5)
            gate.open()
            assert first.wait(30) == 0
        assert kept.result(timeout=30) == "call-0"
        time.sleep(0.5)
        with pool(broker, queue, workers=1) as second:
            with RpcClient(broker.url, queue=queue, timeout=20) as other:
                assert other.call("fib", 30) == 832040
            print(second.output)
    assert gate.begun == ["call-0"]
    assert len(closed.begun) <= 2, "one may begin before the word comes, and is stopped"


def test_a_pool_that_stays_away_is_given_up_after_the_patience_and_the_next_call_does_not_wait_as_long(
    broker: PrivateBroker, queue: str
) -> None:
    with RpcClient(broker.url, queue=queue, timeout=60, patience=3.0) as client:
        with pool(broker, queue, workers=1):
            assert client.call("fib", 30) == 832040
        took = []
        for _ in range(2):
            started = time.monotonic()
            with pytest.raises(NoServer):
                client.call("fib", 30)
            took.append(time.monotonic() - started)
        assert took[0] >= 3.0 > took[1]
