"""What a call costs in a worker: from the body of a request to the body of its response, less the function."""

from __future__ import annotations

from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from rpcsvc.functions import fib
from rpcsvc.functions import registry as built_in
from rpcsvc.functions.registration import Registry
from rpcsvc.wire.jsonrpc import decode_response, encode_params, encode_request
from rpcsvc.wire.many.request import params
from rpcsvc.wire.names import MAP
from rpcsvc.workers.inside.casts import perform
from rpcsvc.workers.inside.dispatch import Rules, dispatch
from rpcsvc.workers.job import Context, Report

IDS = [str(number) for number in range(100)]

registry = Registry()


@registry.function
def nothing(n: int) -> None:
    pass


@registry.function
def listed(numbers: list[int]) -> int:
    """Its annotation is one that pydantic checks."""
    return len(numbers)


def call(method: str, *args: Any) -> bytes:
    return encode_request("7", method, encode_params(args, {}))


def test_a_function_that_does_nothing(benchmark: BenchmarkFixture) -> None:
    benchmark.group = "one call"
    assert decode_response(benchmark(dispatch, registry, call("nothing", 1))) is None


def test_a_function_whose_arguments_pydantic_checks(benchmark: BenchmarkFixture) -> None:
    benchmark.group = "one call"
    assert decode_response(benchmark(dispatch, registry, call("listed", [1, 2, 3]))) == 3


def test_fib_of_30(benchmark: BenchmarkFixture) -> None:
    benchmark.group = "one call"
    assert decode_response(benchmark(dispatch, built_in, call("fib", 30))) == 832040


def test_a_call_that_raises(benchmark: BenchmarkFixture) -> None:
    benchmark.group = "one call"
    assert b"-32000" in benchmark(dispatch, built_in, call("fib", -1))


def test_a_cast_that_does_nothing(benchmark: BenchmarkFixture) -> None:
    benchmark.group = "one call"
    body = b'{"jsonrpc":"2.0","method":"nothing","params":[1]}'
    told = Context(
        kind="cast", message_id="0f0e0d0c-0b0a-0908-0706-050403020100", first_published=1_700_000_000
    ).encode()
    report = benchmark(lambda: perform(registry, body, Context.read(told), Rules()))
    assert Report.read(report) == Report()


@pytest.mark.parametrize("way", ["a batch", "rows", "columns"])
def test_fib_of_30_a_hundred_times(benchmark: BenchmarkFixture, way: str) -> None:
    benchmark.group = "100 calls in one message"
    body = {
        "a batch": b"[" + b",".join([call("fib", 30)] * 100) + b"]",
        "rows": encode_request("7", MAP, params("fib", [b"[30]"] * 100, IDS)),
        "columns": encode_request("7", MAP, encode_params([], {"method": "fib", "columns": [[30] * 100]})),
    }[way]
    assert benchmark(dispatch, built_in, body).count(b"832040") == 100


def test_fib_of_30_a_hundred_times_without_any_message(benchmark: BenchmarkFixture) -> None:
    benchmark.group = "100 calls in one message"
    assert benchmark(lambda: [fib(30) for _ in range(100)]) == [832040] * 100
