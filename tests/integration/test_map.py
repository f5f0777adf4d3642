"""`client.map` on a real pool: right, in order, streaming; and when workers die in the middle of it."""

from __future__ import annotations

import itertools
import os
import signal
import threading
from collections.abc import Iterator

import pytest
from support.processes import wait_until
from support.traces import Trace

from rpcsvc import (
    EncodingError,
    FunctionRaised,
    InvalidParams,
    MethodNotFound,
    ResultNotEncodable,
    RpcClient,
    RpcTimeout,
    WorkerLost,
)
from rpcsvc.functions import fib


def test_ten_thousand_items_are_right_and_in_order(client: RpcClient) -> None:
    assert list(client.map("fib", (n % 300 for n in range(10_000)))) == [fib(n % 300) for n in range(10_000)]


def test_unordered_items_are_all_there_once(client: RpcClient) -> None:
    assert sorted(client.map("echo", range(10_000), ordered=False)) == list(range(10_000))


def test_several_iterables_are_the_positional_arguments(client: RpcClient) -> None:
    assert list(client.map("sha256", ["abc"] * 3, itertools.count(1))) == [
        client.call("sha256", "abc", rounds) for rounds in (1, 2, 3)
    ]


def test_values_of_every_kind_come_back_as_they_went(client: RpcClient) -> None:
    values = [(1, 2), {3}, 2**100, b"\xff", {1: "one"}, None, "ü", [(), {}], -0.0] * 50
    results = list(client.map("echo", values))
    assert list(map(repr, results)) == list(map(repr, values))


def test_results_stream_while_the_input_goes_on_and_it_is_not_read_far_ahead(client: RpcClient) -> None:
    read = 0

    def numbers() -> Iterator[int]:
        nonlocal read
        while True:
            yield read
            read += 1

    with client.map("echo", numbers()) as results:
        for taken, result in enumerate(itertools.islice(results, 20_000)):
            assert result == taken
            # A window of two messages for each of three workers and two more, and the one that is used up.
            assert read - taken < 10_000 * 9 + 1
        assert read < 10 * 20_000
    wait_until(lambda: client.pending == 0)


def test_the_input_may_depend_on_the_results(client: RpcClient) -> None:
    """A generator that waits for its own results would be stuck if the input were read without bound."""
    allowed = threading.Semaphore(50)

    def numbers() -> Iterator[int]:
        for number in range(300):
            assert allowed.acquire(timeout=5), "the input was read further than fifty items ahead"
            yield number

    for _ in client.map("echo", numbers(), chunksize=5):
        allowed.release()


def test_a_failed_item_raises_at_its_place_and_the_others_are_right(client: RpcClient) -> None:
    results = client.map("fib", [10, -1, 20, "x", 30])
    assert next(results) == 55
    with pytest.raises(FunctionRaised, match="at least 0"):
        next(results)
    assert next(results) == 6765
    with pytest.raises(InvalidParams, match="'n' must be int, not str"):
        next(results)
    assert list(results) == [832040]


def test_an_argument_that_cannot_travel_harms_only_its_own_item(client: RpcClient) -> None:
    results = list(client.map("echo", [1, threading.Lock(), 3], chunksize=3, return_exceptions=True))
    assert results[::2] == [1, 3]
    assert isinstance(results[1], EncodingError)


def test_an_unknown_function_is_told_at_each_item(client: RpcClient) -> None:
    results = list(client.map("fibb", range(5), return_exceptions=True))
    assert [type(result) for result in results] == [MethodNotFound] * 5


def test_calls_that_must_not_run_twice_run_once_even_if_their_results_are_too_large_together(
    client: RpcClient, trace: Trace
) -> None:
    sizes = [30_000_000] * 3
    ends = list(client.map("trace_large_once", [str(trace)] * 3, range(3), sizes, chunksize=3, return_exceptions=True))
    assert [type(end) for end in ends] == [ResultNotEncodable] * 3
    assert trace.starts() == {0: 1, 1: 1, 2: 1}


def test_results_that_are_too_large_together_come_one_by_one(client: RpcClient, message_limit: int) -> None:
    sizes = [message_limit * 15 // 32, message_limit * 10 // 32, 10]  # base64 is a third more
    assert [len(result) for result in client.map("large", sizes, chunksize=3)] == sizes


def test_a_message_that_times_out_fails_its_items_and_the_next_are_right(client: RpcClient) -> None:
    results = list(client.map("sleep", [0.0, 5.0, 0.0], timeout=0.5, chunksize=1, return_exceptions=True))
    assert [result if isinstance(result, float) else type(result) for result in results] == [0.0, RpcTimeout, 0.0]
    assert "'sleep'" in str(results[1])
    client.call("rpc.ping")


@pytest.mark.parametrize("chunksize", ["auto", 50, 1000])
def test_a_poison_item_among_a_thousand_fails_alone_and_ran_once(
    client: RpcClient, trace: Trace, chunksize: object
) -> None:
    results = list(
        client.map(
            "trace",
            itertools.repeat(str(trace)),
            range(1000),
            itertools.repeat(666),
            chunksize=chunksize,  # type: ignore[arg-type]
            return_exceptions=True,
        )
    )
    error = results[666]
    assert isinstance(error, WorkerLost)
    assert error.exit_code == 7
    results[666] = 666
    assert results == list(range(1000))
    assert trace.starts()[666] == 1


def test_a_worker_killed_in_the_middle_of_a_message_costs_the_running_item_only(
    client: RpcClient, trace: Trace
) -> None:
    results = client.map(
        "trace",
        itertools.repeat(str(trace)),
        range(300),
        itertools.repeat(-1),
        itertools.repeat(150),
        chunksize=100,
        return_exceptions=True,
    )
    trace.wait_for(150)
    os.kill(trace.worker_of(150), signal.SIGKILL)

    found = list(results)
    error = found[150]
    assert isinstance(error, WorkerLost)
    assert error.signal_number == signal.SIGKILL
    found[150] = 150
    assert found == list(range(300))
    assert trace.starts()[150] == 1


def test_a_function_that_must_not_run_twice_runs_once_for_each_item(client: RpcClient, trace: Trace) -> None:
    results = list(
        client.map(
            "trace_once", itertools.repeat(str(trace)), range(500), itertools.repeat(250), return_exceptions=True
        )
    )
    assert isinstance(results[250], WorkerLost)
    results[250] = 250
    assert results == list(range(500))
    assert set(trace.starts().values()) == {1}
