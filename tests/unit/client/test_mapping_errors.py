"""A `map` some of whose calls fail: at their place, and nowhere else."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any

import pytest
from answering import Servers, failing_with, mapped, reciprocal

from rpcsvc.errors import (
    ClientClosed,
    DecodingError,
    EncodingError,
    FunctionRaised,
    MethodNotFound,
    ResultNotEncodable,
    RpcTimeout,
    WorkerLost,
)
from rpcsvc.wire import jsonrpc


@pytest.mark.parametrize("chunksize", [1, 2, 5, "auto"])
def test_a_failed_item_raises_at_its_place_and_the_next_one_is_there_all_the_same(chunksize: Any) -> None:
    results = mapped(Servers(reciprocal).submit, [1, 0, 2, 4], chunksize=chunksize)

    assert next(results) == 1.0
    with pytest.raises(FunctionRaised, match="ZeroDivisionError"):
        next(results)
    assert list(results) == [0.5, 0.25]


def test_errors_are_items_where_that_is_asked_for() -> None:
    results = list(mapped(Servers(reciprocal).submit, [0, 1, 0], return_exceptions=True, chunksize=3))
    assert [type(result) for result in results] == [FunctionRaised, float, FunctionRaised]


@pytest.mark.parametrize("error", [WorkerLost("died"), MethodNotFound("no f"), ClientClosed("closed")], ids=repr)
def test_a_message_that_fails_fails_each_of_its_items(error: Exception) -> None:
    assert list(mapped(failing_with(error), range(5), chunksize=2, return_exceptions=True)) == [error] * 5


def test_a_time_out_names_the_function_and_not_what_carried_it() -> None:
    submit = failing_with(RpcTimeout("rpc.map", 0.5, "9"))
    with pytest.raises(RpcTimeout) as caught:
        next(mapped(submit, [1], timeout=0.5))
    assert str(caught.value) == "no reply to 'f' within 0.5 s (call 9)"


def test_the_time_out_is_given_to_each_message() -> None:
    servers = Servers()
    list(mapped(servers.submit, range(3), timeout=1.5, chunksize=1))
    assert [sent.timeout for sent in servers.sent] == [1.5] * 3


def test_an_answer_that_is_none_fails_its_items() -> None:
    def submit(**_: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result({"results": []})
        return future

    with pytest.raises(DecodingError):
        next(mapped(submit, [1]))


def test_an_argument_that_cannot_be_encoded_harms_only_its_own_item() -> None:
    servers = Servers()

    def submit(*, timeout: float | None, method: str, columns: list[list[Any]]) -> Future[Any]:
        jsonrpc.encode_params([], {"columns": columns})  # as the client does
        return servers.submit(timeout=timeout, method=method, columns=columns)

    lock = threading.Lock()
    results = list(mapped(submit, [1, lock, 3, 4], chunksize=4, return_exceptions=True))

    assert [result for result in results if not isinstance(result, Exception)] == [1, 3, 4]
    assert isinstance(results[1], EncodingError)
    assert servers.sizes == [1, 1, 1]


def test_results_that_are_too_large_together_are_asked_for_one_by_one() -> None:
    servers = Servers(at_once=False)

    def submit(*, timeout: float | None, method: str, columns: list[list[Any]]) -> Future[Any]:
        future = servers.submit(timeout=timeout, method=method, columns=columns)
        if len(columns[0]) > 1 or columns[0][0] == 2:
            future.set_exception(ResultNotEncodable("the result takes too many bytes"))
        else:
            servers.answer(servers.sent[-1])
        return future

    results = list(mapped(submit, range(4), chunksize=4, return_exceptions=True))

    assert servers.sizes == [4, 1, 1, 1, 1]
    assert [result for result in results if not isinstance(result, Exception)] == [0, 1, 3]
    assert isinstance(results[2], ResultNotEncodable)


def test_results_that_are_too_large_together_are_not_asked_for_again_where_the_calls_must_not_run_twice() -> None:
    servers = Servers(at_once=False)

    def submit(*, timeout: float | None, method: str, columns: list[list[Any]]) -> Future[Any]:
        future = servers.submit(timeout=timeout, method=method, columns=columns)
        future.set_exception(ResultNotEncodable("too many bytes", data={"may_run_again": False}))
        return future

    results = list(mapped(submit, range(4), chunksize=4, return_exceptions=True))

    assert servers.sizes == [4]
    assert [type(result) for result in results] == [ResultNotEncodable] * 4


def test_an_input_that_raises_does_so_behind_the_results_of_what_was_read_before() -> None:
    def broken() -> Iterator[int]:
        yield from range(5)
        raise OSError("the disk is gone")

    for chunksize in (1, 2, 3, 5, 10):
        results = mapped(Servers().submit, broken(), chunksize=chunksize)
        assert [next(results) for _ in range(5)] == [0, 1, 2, 3, 4]
        with pytest.raises(OSError, match="the disk is gone"):
            next(results)
        assert list(results) == []


def test_an_input_that_raises_at_once_does_so_at_the_first_result() -> None:
    results = mapped(Servers().submit, map(int, ["no number"]))
    with pytest.raises(ValueError, match="no number"):
        next(results)
