"""A `map` over servers that know no messages of many calls: each call goes by itself."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from typing import Any

import pytest
from answering import failing_with, mapped, reciprocal

from rpcsvc.client.map import MapResults
from rpcsvc.errors import (
    DecodingError,
    EncodingError,
    FunctionRaised,
    InvalidParams,
    InvalidRequest,
    MethodNotFound,
    ParseError,
)
from rpcsvc.wire import jsonrpc
from rpcsvc.wire.many.answer import Understanding

UNKNOWN = [
    MethodNotFound("Method not found"),
    MethodNotFound("Method not found", data={"method": "rpc.map"}),
    InvalidRequest("Invalid Request"),
    InvalidParams("Invalid params"),
    ParseError("Parse error"),
    DecodingError("the reply is not a proper response"),
]


class PlainServers:
    """Servers of another make: an `rpc.map` is answered with `error` when the test says so, plain calls at once."""

    def __init__(self, error: Exception, function: Callable[..., Any] = lambda n: n, *, at_once: bool = True) -> None:
        self.error = error
        self.function = function
        self.at_once = at_once
        self.maps: list[Future[Any]] = []
        self.calls: list[tuple[tuple[Any, ...], float | None]] = []

    def submit(self, *, timeout: float | None, method: str, columns: list[list[Any]]) -> Future[Any]:
        self.maps.append(Future())
        if self.at_once:
            self.refuse(self.maps[-1])
        return self.maps[-1]

    def refuse(self, sent: Future[Any]) -> None:
        sent.set_exception(self.error)

    def submit_call(self, method: str, /, *args: Any, timeout: float | None) -> Future[Any]:
        assert method == "f"
        self.calls.append((args, timeout))
        future: Future[Any] = Future()
        try:
            future.set_result(self.function(*args))
        except Exception as error:
            future.set_exception(FunctionRaised(f"f raised {error!r}", data={"type": type(error).__name__}))
        return future

    def mapped(self, *iterables: Iterable[Any], **options: Any) -> MapResults:
        return mapped(self.submit, *iterables, submit_call=self.submit_call, **options)


@pytest.mark.parametrize("error", UNKNOWN, ids=repr)
@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("chunksize", ["auto", 1, 7])
def test_where_servers_know_no_messages_of_many_calls_each_call_goes_by_itself(
    error: Exception, ordered: bool, chunksize: Any
) -> None:
    servers = PlainServers(error, reciprocal)
    results = servers.mapped(range(-10, 20), ordered=ordered, chunksize=chunksize, return_exceptions=True, timeout=3.0)
    found = [str(result) for result in results]

    expected = [str(1 / n) if n else "f raised ZeroDivisionError('division by zero')" for n in range(-10, 20)]
    assert (found if ordered else sorted(found)) == (expected if ordered else sorted(expected))
    assert sorted(servers.calls) == [((n,), 3.0) for n in range(-10, 20)]
    assert len(servers.maps) <= 3, "what was under way when the first answer came, and no more"


def test_calls_that_go_by_themselves_raise_at_their_place() -> None:
    results = PlainServers(UNKNOWN[0], reciprocal).mapped([1, 0, 2, 4])

    assert next(results) == 1.0
    with pytest.raises(FunctionRaised, match="ZeroDivisionError"):
        next(results)
    assert list(results) == [0.5, 0.25]


def test_calls_of_messages_that_are_refused_go_out_together_and_not_each_after_the_other() -> None:
    servers = PlainServers(UNKNOWN[0], at_once=False)
    results = servers.mapped(range(100), chunksize=5, window=4)
    for sent in servers.maps:
        servers.refuse(sent)

    assert next(results) == 0
    assert [args for args, _ in servers.calls] == [(n,) for n in range(21)], "the messages', and one behind them"
    assert list(results) == list(range(1, 100))


def test_a_message_that_is_refused_later_is_sent_call_by_call_when_its_turn_comes() -> None:
    servers = PlainServers(UNKNOWN[0], at_once=False)
    results = servers.mapped(range(4), chunksize=2, window=2)
    servers.refuse(servers.maps[0])
    assert [next(results), next(results)] == [0, 1]
    servers.refuse(servers.maps[1])
    assert list(results) == [2, 3]


def test_what_the_client_knows_of_the_servers_holds_for_the_next_map() -> None:
    servers, understanding = PlainServers(UNKNOWN[0], lambda *args: args), Understanding()
    for _ in range(2):
        assert list(servers.mapped("ab", [1, 2], understanding=understanding)) == [("a", 1), ("b", 2)]
    assert len(servers.maps) == 2, "both messages of the first, none of the second"


def test_no_more_calls_by_themselves_are_under_way_than_the_window_lets_and_closing_gives_them_up() -> None:
    understanding = Understanding()
    understanding.is_missing(UNKNOWN[0])
    sent: list[Future[Any]] = []

    def submit_call(method: str, /, *args: Any, timeout: float | None) -> Future[Any]:
        sent.append(Future())
        return sent[-1]

    with mapped(failing_with(UNKNOWN[0]), range(100), submit_call=submit_call, understanding=understanding, window=4):
        assert len(sent) == 4
    assert all(future.cancelled() for future in sent)


def test_quick_calls_that_go_by_themselves_are_sent_ahead_and_slow_ones_are_not() -> None:
    servers = PlainServers(UNKNOWN[0])
    results = servers.mapped(range(100), window=6, workers=2)
    assert [next(results), next(results), next(results)] == [0, 1, 2]
    assert len(servers.calls) > 6

    understanding = Understanding()
    understanding.is_missing(UNKNOWN[0])
    sent: list[Future[Any]] = []

    def submit_call(method: str, /, *args: Any, timeout: float | None) -> Future[Any]:
        sent.append(Future())
        return sent[-1]

    results = mapped(
        servers.submit, range(100), submit_call=submit_call, understanding=understanding, window=6, workers=2
    )
    for chunk in results._sent:
        chunk.started -= 5.0
    for number in range(4):
        sent[number].set_result(number)
        assert next(results) == number
        results._sent[-1].started -= 5.0
        assert len(sent) <= number + 3


def test_an_argument_that_cannot_be_encoded_harms_only_its_own_call_there_too() -> None:
    servers = PlainServers(UNKNOWN[0])

    def submit_call(method: str, /, *args: Any, timeout: float | None) -> Future[Any]:
        jsonrpc.encode_params(args, {})
        return servers.submit_call(method, *args, timeout=timeout)

    arguments = [1, threading.Lock(), 3, 4, threading.Lock()]
    results = list(
        mapped(servers.submit, arguments, chunksize=3, submit_call=submit_call, return_exceptions=True, window=1)
    )

    assert [type(result) for result in results] == [int, EncodingError, int, int, EncodingError]


def test_a_method_that_our_own_servers_miss_is_told_and_not_asked_for_again() -> None:
    servers = PlainServers(MethodNotFound("no f", data={"method": "f"}))
    assert list(servers.mapped(range(3), return_exceptions=True)) == [servers.error] * 3
    assert servers.calls == []
