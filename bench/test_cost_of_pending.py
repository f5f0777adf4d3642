"""What it costs to keep a call until its reply comes, with few and with very many others beside it."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from rpcsvc.client.pending import Pending

COUNTS = pytest.mark.parametrize("count", [1, 100, 100_000], ids="{:,} in flight".format)


@dataclass(slots=True)
class Call:
    deadline: float


def holding(count: int) -> tuple[Pending[Call], itertools.count[int]]:
    pending: Pending[Call] = Pending()
    numbers = itertools.count()
    for number in itertools.islice(numbers, count - 1):
        pending.add(str(number), Call(1000.0 + number))
    return pending, numbers


def add_and_pop(pending: Pending[Call], numbers: itertools.count[int]) -> Callable[[], Call | None]:
    def once() -> Call | None:
        number = next(numbers)
        call_id = str(number)
        pending.add(call_id, Call(1000.0 + number))
        return pending.pop(call_id, answered=True)

    return once


@COUNTS
def test_a_call_is_added_and_answered(benchmark: BenchmarkFixture, count: int) -> None:
    benchmark.group = "add, pop"
    pending, numbers = holding(count)
    assert benchmark(add_and_pop(pending, numbers)) is not None
    assert len(pending) == count - 1


@COUNTS
def test_the_earliest_deadline_is_known(benchmark: BenchmarkFixture, count: int) -> None:
    benchmark.group = "next deadline"
    pending, _ = holding(count + 1)
    assert benchmark(pending.next_deadline) == 1000.0


def test_a_thousand_calls_time_out(benchmark: BenchmarkFixture) -> None:
    benchmark.group = "expire 1,000"

    def full() -> tuple[tuple[Pending[Call]], dict[str, float]]:
        return (holding(1001)[0],), {}

    expired = benchmark.pedantic(lambda pending: pending.expire(1e9), setup=full, rounds=20)  # type: ignore[no-untyped-call]
    assert len(expired) == 1000
