"""Calls that travel together on a real pool: each keeps its own result, error, time-out and end."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import pika
import pytest
from support.processes import ServerProcess, wait_until
from support.traces import Trace
from ticks import in_one_tick

from rpcsvc import FunctionRaised, InvalidParams, RpcClient, RpcTimeout, WorkerLost
from rpcsvc.broker import PrivateBroker
from rpcsvc.client.messages import Call
from rpcsvc.client.orders import Orders
from rpcsvc.testing import scaled


@pytest.fixture
def sizes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many calls travelled in each `rpc.map` that the packer sent; they are sent all the same."""
    sizes: list[int] = []
    send = Orders.send_shared

    def noting(self: Orders, calls: Sequence[Call], *rest: Any) -> None:
        sizes.append(len(calls))
        send(self, calls, *rest)

    monkeypatch.setattr(Orders, "send_shared", noting)
    return sizes


@pytest.fixture
def packing(broker: PrivateBroker, server: ServerProcess, sizes: list[int]) -> Iterator[RpcClient]:
    with RpcClient(broker.url, timeout=20, pack=True) as client:
        client.call("rpc.ping")
        yield client
        wait_until(lambda: client.pending == 0)


def warm_up(client: RpcClient, sizes: list[int], method: str, *args: Any) -> None:
    """Call until the method's calls are found to be quick, and travel many together."""

    def is_packed() -> bool:
        futures = in_one_tick(client, lambda: [client.submit(method, *args) for _ in range(300)])
        for future in futures:
            future.result()
        return max(sizes) >= 50

    wait_until(is_packed)


def test_fifty_threads_get_their_own_results_while_their_calls_travel_together(
    packing: RpcClient, sizes: list[int]
) -> None:
    wrong: list[Any] = []

    def work(thread: int) -> None:
        for round_ in range(10):
            arguments = [[thread, round_, number] for number in range(20)]
            futures = [packing.submit("echo", argument) for argument in arguments]
            results = [future.result() for future in futures]
            if results != arguments or packing.call("echo", (thread, round_)) != (thread, round_):
                wrong.append((arguments, results))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert wrong == []
    assert max(sizes) > 1, "nothing was packed"
    assert packing.dropped_replies.unknown == packing.dropped_replies.duplicate == 0


def test_errors_are_those_of_their_own_calls(packing: RpcClient, sizes: list[int]) -> None:
    warm_up(packing, sizes, "fib", 10)
    arguments: list[Any] = [10, -1, "x", 20] * 25
    futures = in_one_tick(packing, lambda: [packing.submit("fib", argument) for argument in arguments])

    kinds = {10: int, -1: FunctionRaised, "x": InvalidParams, 20: int}
    for argument, future in zip(arguments, futures, strict=True):
        error = future.exception()
        assert type(error or future.result()) is kinds[argument]


def test_a_poison_call_among_a_thousand_fails_alone_and_ran_once(
    packing: RpcClient, sizes: list[int], trace: Trace
) -> None:
    warm_up(packing, sizes, "trace", str(trace), 10_000)
    sizes.clear()
    futures = in_one_tick(packing, lambda: [packing.submit("trace", str(trace), n, 666) for n in range(1000)])

    for number, future in enumerate(futures):
        if number == 666:
            error = future.exception()
            assert isinstance(error, WorkerLost)
            assert error.exit_code == 7
        else:
            assert future.result() == number
    assert max(sizes) > 1, "nothing was packed"
    assert trace.starts()[666] == 1


def test_calls_that_must_not_run_twice_travel_alone_and_run_exactly_once(
    packing: RpcClient, sizes: list[int], trace: Trace
) -> None:
    for start in range(0, 900, 300):
        numbers = range(start, start + 300)
        submit = partial(packing.submit, "trace_once", str(trace))
        futures = in_one_tick(packing, lambda submit=submit, numbers=numbers: [submit(n, 450) for n in numbers])  # type: ignore[misc]
        for number, future in zip(numbers, futures, strict=True):
            if number == 450:
                assert isinstance(future.exception(), WorkerLost)
            else:
                assert future.result() == number

    assert set(sizes) == {1}
    assert trace.starts() == dict.fromkeys(range(900), 1)


def test_packed_calls_time_out_each_in_its_own_name_and_the_others_are_right(
    packing: RpcClient, sizes: list[int]
) -> None:
    """A call measured to be quick may share its message with one that turns out to be slow."""
    warm_up(packing, sizes, "nap", 0.0)
    sizes.clear()
    started = time.monotonic()
    seconds = [1.0 if n == 20 else 0.0 for n in range(60)]
    futures = in_one_tick(packing, lambda: [packing.submit("nap", each, timeout=0.4) for each in seconds])

    ends = [future.exception() for future in futures]
    assert time.monotonic() - started < 0.4 + scaled(0.25)
    assert max(sizes) > 20, "they travelled together"
    assert isinstance(ends[20], RpcTimeout)
    for future, error in zip(futures, ends, strict=True):
        if error is not None:
            assert isinstance(error, RpcTimeout)
            assert (error.method, error.timeout, error.call_id) == ("nap", 0.4, future.call_id)
    assert [number for number, error in enumerate(ends) if error] == [20], "the others were not harmed"
    assert packing.call("nap", 0.0) == 0.0


def test_calls_of_different_time_outs_do_not_share_a_fate(packing: RpcClient, sizes: list[int]) -> None:
    warm_up(packing, sizes, "nap", 0.0)
    futures = in_one_tick(packing, lambda: [packing.submit("nap", 0.3, timeout=0.1 if n % 2 else 10) for n in range(2)])
    assert isinstance(futures[1].exception(), RpcTimeout)
    assert futures[0].result() == 0.3


def test_a_packed_call_that_is_given_up_ends_and_the_others_of_its_message_are_right(
    packing: RpcClient, sizes: list[int]
) -> None:
    warm_up(packing, sizes, "echo", 0)

    def submit_and_give_up() -> list[Any]:
        futures = [packing.submit("echo", number) for number in range(200)]
        assert all(future.cancel() for future in futures[::3])
        return futures

    futures = in_one_tick(packing, submit_and_give_up)
    for number, future in enumerate(futures):
        assert future.cancelled() if number % 3 == 0 else future.result() == number
    wait_until(lambda: packing.pending == 0)


def test_calls_given_up_before_they_are_sent_do_not_run(packing: RpcClient, sizes: list[int], trace: Trace) -> None:
    warm_up(packing, sizes, "trace", str(trace), 10_000)

    def submit_and_give_up() -> list[Any]:
        futures = [packing.submit("trace", str(trace), number) for number in range(100)]
        for future in futures[::2]:
            future.cancel()
        return futures

    for future in in_one_tick(packing, submit_and_give_up)[1::2]:
        future.result()
    assert {number for number in trace.starts() if number < 100} == set(range(1, 100, 2))


def test_named_arguments_go_alone_and_right(packing: RpcClient, sizes: list[int]) -> None:
    warm_up(packing, sizes, "fib", 10)
    sizes.clear()
    futures = in_one_tick(packing, lambda: [packing.submit("fib", n=n) for n in range(50)])
    assert [future.result() for future in futures][:8] == [0, 1, 1, 2, 3, 5, 8, 13]
    assert sizes == []


def test_a_call_with_large_data_travels_alone_beside_packed_ones(packing: RpcClient, sizes: list[int]) -> None:
    warm_up(packing, sizes, "echo", 1)
    sizes.clear()
    data = bytes(range(256)) * 200
    sent = [data if number % 10 == 0 else number for number in range(300)]

    futures = in_one_tick(packing, lambda: [packing.submit("echo", value) for value in sent])

    assert [future.result() for future in futures] == sent
    assert max(sizes) > 1, "nothing was packed"
    assert sum(sizes) <= 270


def test_quick_calls_do_not_wait_for_a_slow_one_that_travels_with_them(
    packing: RpcClient, sizes: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    warm_up(packing, sizes, "pause", "")
    gate = tmp_path / "gate"
    messages: list[list[bytes]] = []
    send = Orders.send_shared

    def noting(self: Orders, calls: Sequence[Call], *rest: Any) -> None:
        messages.append([call.params for call in calls])
        send(self, calls, *rest)

    monkeypatch.setattr(Orders, "send_shared", noting)

    def submit() -> list[Any]:
        return [packing.submit("pause", str(gate) if number == 20 else "") for number in range(90)]

    futures = in_one_tick(packing, submit)
    slow = futures.pop(20)

    assert [future.result(timeout=scaled(2)) for future in futures] == [""] * 89
    assert not slow.done()
    gate.touch()
    assert slow.result() == str(gate)
    (shared,) = [message for message in messages if f'["{gate}"]'.encode() in message]
    assert b'[""]' in shared, "the slow one travelled with others"


def test_calls_are_packed_unless_told_otherwise(broker: PrivateBroker, server: ServerProcess, sizes: list[int]) -> None:
    with RpcClient(broker.url) as client:
        warm_up(client, sizes, "nap", 0)
    sizes.clear()
    with RpcClient(broker.url, pack=False) as client:
        for future in [client.submit("nap", 0) for _ in range(500)]:
            future.result()
    assert sizes == []


def test_a_server_of_somebody_elses_that_knows_single_calls_only_is_served_single_calls(
    broker: PrivateBroker, queue: str
) -> None:
    asked: list[str] = []

    def answer(channel: Any, method: Any, properties: Any, body: bytes) -> None:
        request = orjson.loads(body)
        asked.append(request["method"])
        reply: dict[str, Any] = {"jsonrpc": "2.0", "id": request["id"]}
        if request["method"] == "double":
            reply["result"] = 2 * request["params"][0]
        else:
            reply["error"] = {"code": -32601, "message": "Method not found"}
        channel.basic_publish(
            "", properties.reply_to, orjson.dumps(reply), pika.BasicProperties(correlation_id=properties.correlation_id)
        )

    with pika.BlockingConnection(pika.URLParameters(broker.url)) as connection:
        channel = connection.channel()
        channel.queue_declare(queue, auto_delete=True)
        channel.basic_consume(queue, answer, auto_ack=True)
        with RpcClient(broker.url, queue=queue, timeout=10) as client:
            futures = [client.submit("double", number) for number in range(300)]
            while not all(future.done() for future in futures):
                connection.process_data_events(time_limit=0.05)
            assert [future.result() for future in futures] == [2 * number for number in range(300)]
    assert asked.count("rpc.map") <= 1
