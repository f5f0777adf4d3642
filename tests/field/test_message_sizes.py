"""Messages that are larger than the broker takes: one call ends, with both sizes, and nothing else happens.

RabbitMQ 4 takes 16 MiB unless told otherwise, and an operator may allow less. What is so with whatever the broker of
this run has by default is in test_default_sizes.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Iterator
from pathlib import Path

import pika
import pytest
from support.begun import Gate
from support.ctl import RabbitCtl
from support.processes import ServerProcess, wait_until
from support.traces import Trace

from rpcsvc import (
    AsyncRpcClient,
    EncodingError,
    FunctionRaised,
    RequestTooLarge,
    ResultNotEncodable,
    RpcClient,
)
from rpcsvc.broker import PrivateBroker


@pytest.fixture(scope="module", params=[2**20, 2**24], ids=["1 MiB", "16 MiB"])
def limit(request: pytest.FixtureRequest) -> int:
    """The largest message in bytes that the small broker takes."""
    return int(request.param)


@pytest.fixture(scope="module")
def small_broker(broker: PrivateBroker, limit: int) -> Iterator[str]:
    """The URL of a broker with that limit: the session's, which has it meanwhile, and a virtual host there."""
    ctl = RabbitCtl(broker)
    with ctl.max_message_size(limit), ctl.vhost(f"field-{uuid.uuid4().hex[:12]}") as url:
        yield url


@pytest.fixture(scope="module")
def small_server(small_broker: str) -> Iterator[ServerProcess]:
    """A server on it; whatever is too large, its connection stays."""
    # The tests see what the broker refuses, not what is refused before that: the limits are those of RabbitMQ 3.
    options = ("--workers", "3", "--max-request", "64M", "--max-result", "64M")
    with ServerProcess(small_broker, *options) as server:
        yield server
        print(server.output)  # pytest shows it beside a failure
        assert "reconnecting" not in server.output


@pytest.fixture
def small_client(small_broker: str, small_server: ServerProcess) -> Iterator[RpcClient]:
    """A client on it, whose connection stays too."""
    with RpcClient(small_broker, timeout=30, max_request=2**26) as client:
        before = client.callback_queue
        yield client
        assert client.pending == 0
        assert client.callback_queue == before, "no connection was lost"


@pytest.fixture
def bystander(small_broker: str, tmp_path: Path, small_client: RpcClient) -> Iterator[None]:
    """Another client's call that must not run twice; it is under way during the test, and then has its result."""
    gate = Gate(tmp_path)
    with RpcClient(small_broker, timeout=30) as client:
        future = gate.submit(client, "once", once=True)
        wait_until(lambda: gate.begun)
        yield
        gate.open()
        assert future.result() == "once"
    assert gate.begun == ["once"]


def ask(url: str, body: bytes, queue: str = "rpc_queue") -> bytes:
    """The reply to a body that another program sends."""
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        channel = connection.channel()
        callback_queue = channel.queue_declare("", exclusive=True).method.queue
        replies: list[bytes] = []
        channel.basic_consume(callback_queue, lambda _c, _m, _p, reply: replies.append(reply), auto_ack=True)
        channel.basic_publish("", queue, body, pika.BasicProperties(reply_to=callback_queue, correlation_id="7"))
        connection.process_data_events(time_limit=20)
        assert replies, "no reply"
        return replies[0]


# ---- results ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["trace_large", "trace_large_once"])
@pytest.mark.usefixtures("bystander")
def test_a_result_that_the_broker_refuses_is_computed_once_and_its_caller_is_told_both_sizes(
    small_client: RpcClient, limit: int, trace: Trace, method: str
) -> None:
    for number in range(3):
        with pytest.raises(ResultNotEncodable, match=r"the result takes \d+ bytes; .* at most \d+") as caught:
            small_client.call(method, str(trace), number, limit + 1000)
        assert limit + 1000 < caught.value.data["size"] < limit + 2000
        assert caught.value.data["limit"] == limit
    assert trace.starts() == {0: 1, 1: 1, 2: 1}


def test_a_result_that_just_fits_arrives(small_client: RpcClient, limit: int, trace: Trace) -> None:
    for size in (limit // 2, limit - 1000, 100):
        assert len(small_client.call("trace_large", str(trace), size, size)) == size
    assert set(trace.starts().values()) == {1}


@pytest.mark.usefixtures("bystander")
def test_many_results_that_are_too_large_at_the_same_time_end_each_for_itself(
    small_client: RpcClient, limit: int, trace: Trace
) -> None:
    sizes = [100, limit + 5, limit - 1000, 200, limit + 7, limit // 2]
    futures = [small_client.submit("trace_large_once", str(trace), number, size) for number, size in enumerate(sizes)]
    for future, size in zip(futures, sizes, strict=True):
        if size > limit:
            assert type(future.exception()) is ResultNotEncodable
        else:
            assert len(future.result()) == size
    assert trace.starts() == dict.fromkeys(range(len(sizes)), 1)


@pytest.mark.usefixtures("bystander")
def test_results_of_a_map_that_are_too_large_together_come_one_by_one(
    small_client: RpcClient, limit: int, trace: Trace
) -> None:
    sizes = [limit // 3, limit // 3, limit + 9, limit // 3, 10]
    numbers = range(len(sizes))
    results = list(
        small_client.map(
            "trace_large", [str(trace)] * len(sizes), numbers, sizes, chunksize=len(sizes), return_exceptions=True
        )
    )
    assert [len(each) for each in results if isinstance(each, str)] == [size for size in sizes if size <= limit]
    assert type(results[2]) is ResultNotEncodable
    assert max(trace.starts().values()) == 2  # together, then alone


@pytest.mark.usefixtures("bystander")
def test_results_of_a_map_that_must_not_run_twice_are_computed_once_though_too_large_together(
    small_client: RpcClient, limit: int, trace: Trace
) -> None:
    results = list(
        small_client.map(
            "trace_large_once", [str(trace)] * 3, range(3), [limit // 2] * 3, chunksize=3, return_exceptions=True
        )
    )
    assert [type(each) for each in results] == [ResultNotEncodable] * 3
    assert trace.starts() == {0: 1, 1: 1, 2: 1}


def test_a_batch_whose_answers_are_too_large_together_is_answered_and_computed_once(
    small_broker: str, small_client: RpcClient, limit: int, trace: Trace
) -> None:
    batch = [
        {"jsonrpc": "2.0", "id": n, "method": "trace_large", "params": [str(trace), n, limit // 2]} for n in range(3)
    ]
    answers = json.loads(ask(small_broker, json.dumps(batch).encode()))
    assert [answer["error"]["code"] for answer in answers] == [-32001] * 3
    assert [answer["id"] for answer in answers] == [0, 1, 2]
    assert trace.starts() == {0: 1, 1: 1, 2: 1}


@pytest.mark.usefixtures("bystander")
def test_calls_that_travel_together_with_results_too_large_together_have_each_their_own(
    small_client: RpcClient, limit: int, trace: Trace
) -> None:
    for _ in range(20):  # they are found to be quick, and packed
        small_client.call("trace_large", str(trace), 999, 1)
    size = limit // 40
    futures = [small_client.submit("trace_large", str(trace), number, size) for number in range(100)]
    assert [len(future.result()) for future in futures] == [size] * 100


def test_calls_that_are_taken_out_of_a_message_are_told_each_under_its_own_id(
    small_broker: str, small_client: RpcClient, limit: int
) -> None:
    rows = [[10, 1.5], [limit + 1, 0.0], [limit // 2, 0.0]]  # the first is slow, the others do not wait for it
    params = {"method": "large_or_slow", "rows": rows, "ids": ["slow", "large", "half"]}
    request = {"jsonrpc": "2.0", "id": "together", "method": "rpc.map", "params": params}
    with pika.BlockingConnection(pika.URLParameters(small_broker)) as connection:
        channel = connection.channel()
        callback_queue = channel.queue_declare("", exclusive=True).method.queue
        replies: dict[str, bytes] = {}
        channel.basic_consume(
            callback_queue, lambda _c, _m, answer, body: replies.update({answer.correlation_id: body}), auto_ack=True
        )
        properties = pika.BasicProperties(reply_to=callback_queue, correlation_id="together", type="rpc.map")
        channel.basic_publish("", "rpc_queue", json.dumps(request).encode(), properties)
        wait_until(lambda: connection.process_data_events(time_limit=0.1) or len(replies) == 3, within=30)
    assert len(json.loads(replies["half"])["result"]) == limit // 2
    assert json.loads(replies["large"])["error"]["code"] == -32001
    assert json.loads(replies["large"])["error"]["data"]["limit"] == limit
    assert json.loads(replies["together"])["error"]["code"] == -32001


def test_an_error_with_a_huge_message_arrives_cut(small_client: RpcClient) -> None:
    with pytest.raises(FunctionRaised, match="xxx") as caught:
        small_client.call("raise_error", "x" * 500_000)
    assert len(str(caught.value)) < 100_000


# ---- requests ---------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("bystander")
def test_a_request_that_the_broker_refuses_is_its_own_callers_fault(small_client: RpcClient, limit: int) -> None:
    waiting = small_client.submit("nap", 1.0)
    with pytest.raises(RequestTooLarge, match="at most") as caught:
        small_client.call("echo", b"x" * (limit + 1))
    assert limit + 1 < caught.value.size < limit + 1000
    assert caught.value.limit == limit
    with pytest.raises(EncodingError, match=f"takes {caught.value.size} bytes; at most {limit} can be sent"):
        small_client.submit("echo", b"x" * (limit + 1))  # now it is known here
    assert waiting.result() == 1.0


@pytest.mark.usefixtures("bystander")
def test_many_requests_some_too_large_end_each_for_itself(small_client: RpcClient, limit: int) -> None:
    sizes = [10, limit + 1, limit - 1000, limit // 2, limit + 2, 20, limit // 2]
    outcomes = []
    for size in sizes:
        try:
            outcomes.append(small_client.submit("sha256", b"x" * size))
        except RequestTooLarge as error:
            outcomes.append(error)
    for size, outcome in zip(sizes, outcomes, strict=True):
        error = outcome if isinstance(outcome, RequestTooLarge) else outcome.exception()
        assert isinstance(error, RequestTooLarge) == (size > limit)


@pytest.mark.usefixtures("bystander")
def test_arguments_of_a_map_that_are_too_large_together_go_one_by_one(small_client: RpcClient, limit: int) -> None:
    sizes = [limit // 2, limit // 2, limit + 9, 10]
    results = list(
        small_client.map("sha256", [b"x" * size for size in sizes], chunksize=len(sizes), return_exceptions=True)
    )
    assert [isinstance(each, RequestTooLarge) for each in results] == [size > limit for size in sizes]


def test_calls_that_were_small_so_far_and_are_larger_now_do_not_travel_in_one_message_that_is_too_large(
    small_client: RpcClient,
) -> None:
    for future in [small_client.submit("sha256", "x") for _ in range(2000)]:
        future.result()
    texts = [f"{number}" + "x" * 30_000 for number in range(600)]
    futures = [small_client.submit("sha256", text) for text in texts]
    assert len({future.result() for future in futures}) == len(texts)


def test_an_asyncio_client_that_is_not_connected_yet_says_the_same(small_broker: str, limit: int) -> None:
    async def main() -> None:
        client = AsyncRpcClient(small_broker, max_request=2**26)
        try:
            with pytest.raises(RequestTooLarge):
                await client.call("sha256", b"x" * (limit + 1))
        finally:
            await client.close()

    with ServerProcess(small_broker, "--workers", "1"):
        asyncio.run(main())


# ---- a limit below everything -----------------------------------------------------------------------------------


def test_with_a_limit_of_a_few_kilobytes_every_call_ends_all_the_same(
    broker: PrivateBroker, queue: str, trace: Trace
) -> None:
    """Even what is taken to be small may be refused then, on the channel with the consumers: once."""
    ctl = RabbitCtl(broker)
    with (
        ctl.max_message_size(3000),
        ctl.vhost(queue) as url,
        ServerProcess(url, "--workers", "2") as server,
        RpcClient(url, timeout=20) as client,
    ):
        with pytest.raises(ResultNotEncodable):
            client.call("trace_large", str(trace), 1, 5000)
        assert trace.starts()[1] <= 2
        with pytest.raises(RequestTooLarge):
            client.call("echo", "x" * 5000)
        for number in (2, 3):
            with pytest.raises(ResultNotEncodable):
                client.call("trace_large_once", str(trace), number, 5000)
            assert trace.starts()[number] == 1
        assert json.loads(ask(url, b"20578"))["error"]["code"] == -32001  # 4,301 digits, bare
        assert client.call("fib", 30) == 832040
        assert server.output.count("reconnecting") == 1
