"""A pool with a prefetch count above 1 gives quick calls to its workers ahead; what a killed worker costs then."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.begun import Gate
from support.processes import ServerProcess, wait_until
from support.traces import Trace
from ticks import in_one_tick

from rpcsvc import RpcClient, WorkerLost
from rpcsvc.broker import PrivateBroker

QUEUE = "given-ahead"


@pytest.fixture(scope="module")
def server(broker: PrivateBroker) -> Iterator[ServerProcess]:
    with ServerProcess(broker.url, "--workers", "1", "--prefetch", "16", "--queue", QUEUE) as server:
        yield server
        print(server.output)


@pytest.fixture
def client(broker: PrivateBroker, server: ServerProcess) -> Iterator[RpcClient]:
    with RpcClient(broker.url, queue=QUEUE, timeout=20, pack=False) as client:
        yield client
        assert client.pending == 0


def warm_up(client: RpcClient) -> None:
    """Let the pool find that messages are quick."""
    for _ in range(10):
        for future in [client.submit("echo", 0) for _ in range(100)]:
            future.result()


def test_quick_calls_given_ahead_are_all_right(client: RpcClient) -> None:
    futures = [client.submit("echo", number) for number in range(3000)]
    assert [future.result() for future in futures] == list(range(3000))


@pytest.mark.parametrize("method", ["trace", "trace_once"])
def test_of_the_calls_given_to_a_killed_worker_only_the_running_one_is_lost(
    client: RpcClient, trace: Trace, method: str
) -> None:
    warm_up(client)
    futures = in_one_tick(client, lambda: [client.submit(method, str(trace), n, -1, 0) for n in range(12)])
    trace.wait_for(0)
    os.kill(trace.worker_of(0), signal.SIGKILL)

    error = futures[0].exception(timeout=2)
    assert isinstance(error, WorkerLost)
    assert error.signal_number == signal.SIGKILL
    assert [future.result() for future in futures[1:]] == list(range(1, 12))
    assert trace.starts() == dict.fromkeys(range(12), 1), "none ran twice, and none that was not taken had begun"


def computed_but_not_sent(client: RpcClient, trace: Trace, method: str, first: int) -> tuple[object, int]:
    """Kill a worker that has computed a call and, in the same breath, begun a slow one.

    A sleeping call holds the worker up, so that the quick one, the slow one and one more come to it together.

    Returns:
        What became of the quick call, and how often that began.
    """
    warm_up(client)
    quick, slow, last = range(first, first + 3)
    blocker, *futures = in_one_tick(
        client,
        lambda: (
            [client.submit("sleep", 0.1)]
            + [client.submit(method, str(trace), number, -1, slow) for number in (quick, slow, last)]
        ),
    )
    trace.wait_for(slow)
    os.kill(trace.worker_of(slow), signal.SIGKILL)

    assert blocker.result() == 0.1
    assert isinstance(futures[1].exception(timeout=2), WorkerLost)
    assert futures[2].result() == last
    assert (trace.starts()[slow], trace.starts()[last]) == (1, 1)
    end = futures[0].exception() or futures[0].result()
    return end, trace.starts()[quick]


def test_a_result_that_went_down_with_its_worker_is_computed_again(client: RpcClient, trace: Trace) -> None:
    seen = set()
    for first in range(0, 60, 3):
        end, starts = computed_but_not_sent(client, trace, "trace", first)
        assert end == first
        assert starts in (1, 2)
        seen.add(starts)
        if 2 in seen:  # once is when it was sent before the slow one began
            return
    pytest.fail("no result ever went down with its worker")


def test_a_call_that_must_not_run_twice_and_whose_result_went_down_is_lost_and_does_not_run_again(
    client: RpcClient, trace: Trace
) -> None:
    seen = set()
    for first in range(0, 60, 3):
        end, starts = computed_but_not_sent(client, trace, "trace_once", first)
        assert starts == 1
        assert end == first or isinstance(end, WorkerLost)
        seen.add(type(end))
        if WorkerLost in seen:
            return
    pytest.fail("no result ever went down with its worker")


def test_nothing_is_given_ahead_to_a_worker_that_is_over_a_long_call(
    broker: PrivateBroker, queue: str, tmp_path: Path
) -> None:
    with (
        ServerProcess(broker.url, "--workers", "2", "--prefetch", "16", "--queue", queue),
        RpcClient(broker.url, queue=queue, timeout=20) as client,
    ):
        warm_up(client)
        gate = Gate(tmp_path)
        long = gate.submit(client, "begun")
        wait_until(lambda: gate.begun)
        futures = [client.submit("echo", number) for number in range(200)]
        assert [future.result() for future in futures] == list(range(200))
        assert not long.done(), "quick calls waited behind the long one"
        gate.open()
        assert long.result() == "begun"
