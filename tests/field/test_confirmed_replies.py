"""Replies that wait to be confirmed by the broker, and requests: when the connection goes, the server drains, nobody
waits any more."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.processes import ServerProcess, wait_until
from support.traces import Trace

from rpcsvc import RpcClient
from rpcsvc.broker import PrivateBroker
from rpcsvc.testing import Direction, FaultProxy

LARGE = 9 * 2**20
"""Bytes of a result that is always confirmed."""


@pytest.fixture
def trace(tmp_path: Path) -> Trace:
    return Trace(tmp_path)


@pytest.fixture
def network(broker: PrivateBroker) -> Iterator[FaultProxy]:
    """Between the server (or a client) and the broker."""
    with FaultProxy("127.0.0.1", broker.port) as proxy:
        yield proxy


@pytest.fixture
def distant(broker: PrivateBroker, network: FaultProxy, queue: str) -> Iterator[ServerProcess]:
    """A server behind that network."""
    with ServerProcess(network.url(broker.url), "--workers", "2", "--queue", queue) as server:
        yield server
        print(server.output)


@pytest.fixture
def patient(broker: PrivateBroker, queue: str) -> Iterator[RpcClient]:
    """A client that waits for a server to come back."""
    with RpcClient(broker.url, queue=queue, timeout=30, wait_for_server=20) as client:
        yield client
        assert client.pending == 0


@pytest.mark.parametrize("stalled", Direction, ids=lambda way: way.value)
def test_a_connection_that_goes_before_the_confirm_costs_no_second_run_and_no_outcome(
    distant: ServerProcess, patient: RpcClient, network: FaultProxy, trace: Trace, stalled: Direction
) -> None:
    """Upwards the reply itself is lost, downwards only the confirm: then the reply comes twice."""
    assert len(patient.call("large", LARGE)) == LARGE, "the channel is open"
    call = patient.submit("trace_large_later", str(trace), 1, LARGE, 0.5)
    trace.wait_for(1)
    network.stall(stalled)
    if stalled is Direction.DOWN:
        assert len(call.result()) == LARGE
    else:
        time.sleep(1.5)  # the reply is on its way meanwhile
    network.reset_all()
    network.heal()
    assert len(call.result()) == LARGE
    wait_until(lambda: distant.output.count("reconnecting") == 1)
    assert patient.call("fib", 30) == 832040
    assert trace.starts() == {1: 1}
    if stalled is Direction.DOWN:
        wait_until(lambda: patient.dropped_replies.duplicate == 1)


def test_a_drain_waits_for_the_confirm(
    distant: ServerProcess, patient: RpcClient, network: FaultProxy, trace: Trace, broker: PrivateBroker, queue: str
) -> None:
    assert len(patient.call("large", LARGE)) == LARGE, "the channel is open"
    call = patient.submit("trace_large_later", str(trace), 1, LARGE, 0.5)
    trace.wait_for(1)
    network.stall(Direction.DOWN)
    distant.signal(signal.SIGTERM)
    assert len(call.result()) == LARGE
    time.sleep(0.5)
    assert distant.process.poll() is None, "what is not confirmed is not acked"
    network.heal()
    assert distant.wait() == 0
    with ServerProcess(broker.url, "--workers", "1", "--queue", queue):
        assert patient.call("fib", 30) == 832040, "behind whatever came again"
    assert trace.starts() == {1: 1}
    assert patient.dropped_replies.duplicate == 0


def test_a_reply_that_nobody_waits_for_any_more_is_not_sent(
    distant: ServerProcess, patient: RpcClient, network: FaultProxy, trace: Trace
) -> None:
    calls = [patient.submit("trace_large_later", str(trace), number, LARGE, 0.5) for number in range(2)]
    trace.wait_for(0, 1)
    network.stall(Direction.UP)
    time.sleep(1.5)  # both are computed; one is on its way and one waits for its turn
    for call in calls:
        assert call.cancel()
    time.sleep(0.5)
    network.heal()
    assert patient.call("fib", 30) == 832040
    assert patient.dropped_replies.late <= 1
    assert trace.starts() == {0: 1, 1: 1}


def test_a_client_whose_connection_goes_under_a_large_request_sends_it_again(
    broker: PrivateBroker, network: FaultProxy, server: ServerProcess
) -> None:
    with RpcClient(network.url(broker.url), queue=server.queue, timeout=30) as client:
        assert client.call("fib", 30) == 832040
        before = client.callback_queue
        network.cut_after(5 * 2**20, Direction.UP)
        call = client.submit("sha256", b"x" * LARGE)
        wait_until(lambda: client.callback_queue != before)
        network.heal()
        assert len(call.result()) == 64
