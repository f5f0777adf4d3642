"""The main job, through a real broker and real worker processes."""

from __future__ import annotations

import concurrent.futures
import json
import math
import threading
import time

import pika
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.processes import ServerProcess, wait_until

from rpcsvc import (
    ClientClosed,
    EncodingError,
    FunctionRaised,
    InvalidParams,
    MethodNotFound,
    ResultNotEncodable,
    RpcClient,
    RpcTimeout,
)
from rpcsvc.broker import PrivateBroker
from rpcsvc.testing import scaled


def iterated_fib(n: int) -> int:
    a, b = 0, 1
    for _ in range(n):
        a, b = b, a + b
    return a


def fib_by_the_golden_field(n: int) -> int:
    """Powers of (1 + sqrt 5) / 2 in Z[phi], by squaring: independent of fast doubling's identities."""
    # phi^n = F(n) phi + F(n-1); (a phi + b)(c phi + d) = (ac + ad + bc) phi + (ac + bd)
    result, base = (0, 1), (1, 0)
    while n:
        if n & 1:
            (a, b), (c, d) = result, base
            result = (a * c + a * d + b * c, a * c + b * d)
        a, b = base
        base = (a * a + 2 * a * b, a * a + b * b)
        n >>= 1
    return result[0]


class TestResults:
    @pytest.mark.parametrize("n", [92, 93, 94, 20577, 20578])
    def test_fib_equals_an_independent_computation_around_every_limit_of_json(self, client: RpcClient, n: int) -> None:
        result = client.call("fib", n)
        assert type(result) is int
        assert result == iterated_fib(n)

    def test_fib_equals_an_independent_computation_from_0_to_300(self, client: RpcClient) -> None:
        futures = [client.submit("fib", n) for n in range(301)]
        results = [future.result() for future in futures]
        assert results == [iterated_fib(n) for n in range(301)]
        assert {type(result) for result in results} == {int}

    def test_fib_of_a_million_comes_back_to_the_last_digit(self, client: RpcClient) -> None:
        result = client.call("fib", 1_000_000)
        assert type(result) is int
        assert result == fib_by_the_golden_field(1_000_000)

    @pytest.mark.parametrize(
        "value",
        [
            math.inf,
            -math.inf,
            10**100_000 + 7,
            -(10**100_000),
            2**64,
            -(2**63) - 1,
            {"a": [1, {"b": [None, True, 1.5, "ü漢字🎲"]}], "": []},
            (1, [2, (3,)]),
            b"\x00\xff" * 1000,
            {1: "one", (2, 3): "pair"},
            -0.0,
        ],
        ids=lambda value: repr(value)[:20] if not isinstance(value, int) else f"int of {value.bit_length()} bits",
    )
    def test_echo_gives_back_what_it_was_given(self, client: RpcClient, value: object) -> None:
        result = client.call("echo", value)
        assert type(result) is type(value)
        assert result == value

    def test_echo_gives_back_nan(self, client: RpcClient) -> None:
        assert math.isnan(client.call("echo", math.nan))

    @settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
            lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.lists(inner).map(tuple),
            max_leaves=20,
        )
    )
    def test_echo_gives_back_anything_that_can_travel(self, client: RpcClient, value: object) -> None:
        result = client.call("echo", value)
        assert result == value
        assert repr(result) == repr(value)

    def test_a_body_of_many_frames_comes_back_whole(self, client: RpcClient) -> None:
        data = bytes(range(256)) * 20_000
        assert client.call("echo", data) == data

    def test_what_cannot_come_back_exactly_is_refused_before_it_is_sent(self, client: RpcClient) -> None:
        with pytest.raises(EncodingError, match=r"Lock|lock"):
            client.call("echo", threading.Lock())

    def test_positional_and_named_arguments_travel_together(self, client: RpcClient) -> None:
        digest = client.call("sha256", "abc", rounds=2)
        assert digest == "4f8b42c22dd3729b519ba6f68d2da7cc5b2d606d05daed5ad5128cc03e6c6358"

    def test_the_proxy_calls_by_attribute(self, client: RpcClient) -> None:
        assert client.proxy.fib(30) == 832040
        assert client.proxy.fib(n=10, timeout=5) == 55

    def test_submit_gives_a_real_future(self, client: RpcClient) -> None:
        future = client.submit("fib", 100_000)
        assert isinstance(future, concurrent.futures.Future)
        done, _ = concurrent.futures.wait([future], timeout=10)
        assert done == {future}
        assert future.result() == fib_by_the_golden_field(100_000)


class TestErrors:
    def test_an_unknown_function_is_named_with_the_known_ones(self, client: RpcClient) -> None:
        with pytest.raises(MethodNotFound, match=r"'fibb'.*fib, is_prime"):
            client.call("fibb", 1)

    def test_arguments_that_do_not_fit_are_refused_before_anything_runs(self, client: RpcClient) -> None:
        with pytest.raises(InvalidParams, match="'n' must be int, not str"):
            client.call("fib", "30")
        with pytest.raises(InvalidParams, match="m"):
            client.call("fib", m=30)

    def test_an_absurd_argument_is_refused_at_once(self, client: RpcClient) -> None:
        with pytest.raises(FunctionRaised, match="at most"):
            client.call("fib", 10**12, timeout=2)

    def test_a_function_that_raises_sends_type_message_and_traceback(self, client: RpcClient) -> None:
        with pytest.raises(FunctionRaised) as caught:
            client.call("raise_error", "no such thing: ü")
        assert caught.value.exception_type == "LookupError"
        assert caught.value.exception_message == "no such thing: ü"
        assert "troublesome.py" in caught.value.remote_traceback
        assert "raise LookupError(message)" in caught.value.remote_traceback

    def test_sys_exit_in_a_function_is_an_exception_like_any_other(self, client: RpcClient) -> None:
        with pytest.raises(FunctionRaised) as caught:
            client.call("exit_politely", 3)
        assert caught.value.exception_type == "SystemExit"

    def test_a_result_that_cannot_travel_is_an_error_of_its_own(self, client: RpcClient) -> None:
        with pytest.raises(ResultNotEncodable, match="lock"):
            client.call("return_a_lock")

    def test_a_result_that_is_too_large_is_refused_by_the_server(self, client: RpcClient) -> None:
        with pytest.raises(ResultNotEncodable, match="bytes"):
            client.call("large", 65 * 1024 * 1024)

    def test_a_closed_client_says_so(self, broker: PrivateBroker, server: ServerProcess) -> None:
        client = RpcClient(broker.url)
        waiting = client.submit("sleep", 5)
        client.close()
        with pytest.raises(ClientClosed):
            waiting.result(timeout=1)
        with pytest.raises(ClientClosed):
            client.call("fib", 1)


class TestTimeouts:
    def test_a_call_times_out_and_the_next_one_is_right_and_the_late_reply_is_counted(
        self, broker: PrivateBroker, client: RpcClient
    ) -> None:
        started = time.monotonic()
        with pytest.raises(RpcTimeout) as caught:
            client.call("sleep", 0.6, timeout=0.2)
        elapsed = time.monotonic() - started

        assert isinstance(caught.value, TimeoutError)
        assert caught.value.method == "sleep"
        assert caught.value.timeout == 0.2
        assert caught.value.call_id in str(caught.value)
        assert 0.2 <= elapsed < 0.2 + scaled(0.1)
        assert client.call("fib", 30) == 832040
        # The pool has been told, and stopped; a reply that had left before would come like this.
        with pika.BlockingConnection(pika.URLParameters(broker.url)) as connection:
            body = json.dumps({"jsonrpc": "2.0", "id": caught.value.call_id, "result": 0.6}).encode()
            properties = pika.BasicProperties(correlation_id=caught.value.call_id)
            connection.channel().basic_publish("", client.callback_queue, body, properties)
        wait_until(lambda: client.dropped_replies.late == 1)
        assert client.dropped_replies.duplicate == client.dropped_replies.unknown == 0
        assert client.call("fib", 30) == 832040

    def test_a_call_given_up_by_its_future_is_forgotten(self, client: RpcClient) -> None:
        client.call("fib", 30)
        future = client.submit("sleep", 0.5)
        time.sleep(0.1)
        assert future.cancel()
        wait_until(lambda: client.pending == 0, within=0.25)
        assert client.call("fib", 30) == 832040

    def test_a_call_nobody_waits_for_any_more_does_not_start(
        self, broker: PrivateBroker, queue: str, tmp_path: object
    ) -> None:
        trace = f"{tmp_path}/trace"
        with (
            ServerProcess(broker.url, "--workers", "1", "--queue", queue),
            RpcClient(broker.url, queue=queue, timeout=10) as client,
        ):
            first = client.submit("write_then_sleep", trace, "first", 0.5)
            second = client.submit("write_then_sleep", trace, "second", 0.0, timeout=0.1)
            with pytest.raises(RpcTimeout):
                second.result()
            assert first.result() == "first"
            assert client.call("write_then_sleep", trace, "third", 0.0) == "third"
            with open(trace) as file:
                assert file.read().split() == ["first", "third"]


class TestManyThreads:
    def test_fifty_threads_share_one_client_and_get_their_own_results(self, client: RpcClient) -> None:
        wrong: list[object] = []

        def work(thread: int) -> None:
            for number in range(200):
                value = [thread, number]
                result = client.call("echo", value)
                if result != value:
                    wrong.append((value, result))

        callback_queue = client.callback_queue
        threads = [threading.Thread(target=work, args=(number,)) for number in range(50)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert wrong == []
        assert client.pending == 0
        assert client.callback_queue == callback_queue
        assert callback_queue is not None
        assert callback_queue.startswith("amq.gen-")
