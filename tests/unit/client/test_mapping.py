"""The iterator of `RpcClient.map`, with messages that are answered when the test says so."""

from __future__ import annotations

import itertools
import math
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from typing import Any

import pytest
from answering import Servers, mapped
from hypothesis import given
from hypothesis import strategies as st
from support.examples import examples

from rpcsvc.client.map import MapResults
from rpcsvc.deadline import MAX_TIMEOUT
from rpcsvc.errors import (
    ClientClosed,
    ConfigurationError,
    DecodingError,
    EncodingError,
    FunctionRaised,
    InvalidParams,
    InvalidRequest,
    MethodNotFound,
    ParseError,
    ResultNotEncodable,
    RpcTimeout,
    WorkerLost,
)
from rpcsvc.wire import jsonrpc
from rpcsvc.wire.many.answer import Understanding

BOUNDED = examples(60)


def counted(read: list[int]) -> Iterator[int]:
    """An input without an end that notes how far it was read."""
    for number in itertools.count():
        read.append(number)
        yield number


def reciprocal(n: int) -> float:
    return 1 / n


# ---- results ----------------------------------------------------------------------------------------------------


def test_results_are_those_of_a_list_comprehension() -> None:
    assert list(mapped(Servers(lambda n: n * n).submit, range(1000))) == [n * n for n in range(1000)]


def test_several_iterables_go_side_by_side_until_the_shortest_ends() -> None:
    servers = Servers(lambda a, b: (a, b))
    assert list(mapped(servers.submit, "abcd", itertools.count(), chunksize=2)) == list(
        zip("abcd", range(4), strict=True)
    )


def test_an_item_that_is_itself_a_list_stays_one_argument() -> None:
    servers = Servers(lambda pair: pair)
    assert list(mapped(servers.submit, [[1, 2], (3, 4)], chunksize=2)) == [[1, 2], (3, 4)]


def test_nothing_is_sent_for_no_arguments() -> None:
    servers = Servers()
    assert list(mapped(servers.submit, [])) == []
    assert servers.sent == []


def test_it_ends_and_stays_ended() -> None:
    results = mapped(Servers().submit, [1])
    assert list(results) == [1]
    assert list(results) == []


@BOUNDED
@given(
    arguments=st.lists(st.integers(-50, 50), max_size=200),
    chunksize=st.just("auto") | st.integers(1, 60),
    failing=st.sets(st.integers(-50, 50)),
    window=st.integers(1, 6),
    each=st.sampled_from([1e-7, 1e-4, 1.0]),
)
def test_for_any_arguments_chunks_and_failures_it_is_the_list_comprehension(
    arguments: list[int], chunksize: Any, failing: set[int], window: int, each: float
) -> None:
    def f(n: int) -> int:
        if n in failing:
            raise LookupError(n)
        return -n

    results = mapped(
        Servers(f, each=each).submit, arguments, chunksize=chunksize, return_exceptions=True, window=window
    )

    found = [str(result) if isinstance(result, FunctionRaised) else result for result in results]
    assert found == [f"f raised {LookupError(n)!r}" if n in failing else -n for n in arguments]


@BOUNDED
@given(st.lists(st.integers(), max_size=100), st.integers(1, 30), st.randoms(use_true_random=False))
def test_unordered_results_are_the_same_in_another_order(arguments: list[int], chunksize: int, random: Any) -> None:
    servers = Servers(at_once=False)
    results = mapped(servers.submit, arguments, chunksize=chunksize, ordered=False)
    found = []
    for _ in arguments:
        waiting = [sent for sent in servers.sent if not sent.future.done()]
        if waiting:
            servers.answer(random.choice(waiting))
        found.append(next(results))

    assert sorted(found) == sorted(arguments)
    with pytest.raises(StopIteration):
        next(results)


# ---- laziness ---------------------------------------------------------------------------------------------------


def test_a_result_is_there_long_before_the_input_ends() -> None:
    results = mapped(Servers().submit, itertools.count())
    assert [next(results) for _ in range(10_000)] == list(range(10_000))


def test_the_input_is_read_no_further_than_the_window_holds() -> None:
    read: list[int] = []
    results = mapped(Servers().submit, counted(read), chunksize=10, window=3)
    assert len(read) == 30

    for _ in range(10):
        next(results)
    assert len(read) == 40, "one message is being used up, three are under way"
    next(results)
    assert len(read) == 50


def test_no_more_messages_are_under_way_than_the_window_lets() -> None:
    servers = Servers(at_once=False)
    results = mapped(servers.submit, range(100), chunksize=5, window=4)
    assert servers.sizes == [5, 5, 5, 5]

    servers.answer(servers.sent[2])
    assert len(servers.sent) == 4, "in order, the first is waited for"
    servers.answer(servers.sent[0])
    assert next(results) == 0
    assert len(servers.sent) == 5
    results.close()


def test_the_first_messages_hold_one_call_and_later_ones_as_many_as_are_quick_enough() -> None:
    servers = Servers(each=1e-5)
    list(mapped(servers.submit, range(3000), window=2))

    assert servers.sizes[:2] == [1, 1]
    assert servers.sizes[2] == 16
    assert 200 <= max(servers.sizes) <= 300


def test_long_calls_travel_alone() -> None:
    servers = Servers(each=0.1)
    list(mapped(servers.submit, range(20)))
    assert set(servers.sizes) == {1}


def test_a_fixed_chunk_size_is_kept() -> None:
    servers = Servers(each=0.1)
    list(mapped(servers.submit, range(25), chunksize=10))
    assert servers.sizes == [10, 10, 5]


def test_unordered_the_message_that_is_answered_first_comes_first() -> None:
    servers = Servers(at_once=False)
    results = mapped(servers.submit, range(6), chunksize=2, ordered=False)
    for place in (1, 2, 0):
        servers.answer(servers.sent[place])

    assert list(results) == [2, 3, 4, 5, 0, 1]


def test_it_waits_for_what_is_not_there_yet() -> None:
    servers = Servers(at_once=False)
    for ordered in (True, False):
        results = mapped(servers.submit, [7], ordered=ordered)
        timer = threading.Timer(0.02, servers.answer, [servers.sent[-1]])
        timer.start()
        assert next(results) == 7
        timer.join()


# ---- errors -----------------------------------------------------------------------------------------------------


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


def failing_with(error: Exception) -> Callable[..., Future[Any]]:
    def submit(**_: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_exception(error)
        return future

    return submit


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


# ---- slow ones --------------------------------------------------------------------------------------------------


def test_until_something_is_known_no_more_are_under_way_than_there_are_workers() -> None:
    servers = Servers(at_once=False)
    results = mapped(servers.submit, range(100), window=6, workers=2)
    assert len(servers.sent) == 2

    servers.answer(servers.sent[0])
    assert next(results) == 0
    assert len(servers.sent) == 1 + 6, "the first one was quick: the others are sent ahead"
    results.close()


def test_a_slow_one_is_sent_only_when_another_has_ended() -> None:
    servers = Servers(each=12.0, at_once=False)
    results = mapped(servers.submit, range(8), window=6, workers=2)
    found = []
    for _ in range(8):
        waiting = [sent for sent in servers.sent if not sent.future.done()]
        assert len(waiting) <= 2
        servers.answer(waiting[0])
        found.append(next(results))

    assert found == list(range(8))


@pytest.mark.parametrize("ordered", [True, False])
def test_while_the_first_slow_one_is_waited_for_the_other_workers_get_the_next(ordered: bool) -> None:
    servers = Servers(each=12.0, at_once=False)
    results = mapped(servers.submit, range(6), window=6, workers=2, ordered=ordered)
    found: list[int] = []
    taker = threading.Thread(target=lambda: found.extend(results))
    taker.start()
    try:
        for number in range(1, 6):
            end = time.monotonic() + 10
            while len(servers.sent) <= number:
                assert time.monotonic() < end
                time.sleep(0.001)
            servers.answer(servers.sent[number])
    finally:
        servers.answer(servers.sent[0])
        taker.join(10)

    assert found == ([0, 1, 2, 3, 4, 5] if ordered else [1, 2, 3, 4, 5, 0])


def test_one_that_was_sent_ahead_has_the_time_of_those_before_it() -> None:
    servers = Servers(at_once=False)
    results = mapped(servers.submit, range(100), window=6, workers=2, timeout=30.0)
    servers.answer(servers.sent[0])
    next(results)

    assert [sent.timeout for sent in servers.sent] == [30.0, 30.0, 30.0, 60.0, 60.0, 90.0, 90.0]
    results.close()


def test_calls_that_must_not_run_twice_are_sent_ahead_too_if_they_are_quick() -> None:
    servers = Servers(at_once=False, alone=True)
    results = mapped(servers.submit, range(100), window=6, workers=2)
    servers.answer(servers.sent[0])
    next(results)

    assert servers.sizes == [1] * 7
    results.close()


# ---- servers that know no rpc.map -------------------------------------------------------------------------------

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


# ---- giving up --------------------------------------------------------------------------------------------------


def test_closing_gives_up_what_is_under_way_and_reads_no_more() -> None:
    read: list[int] = []
    servers = Servers(at_once=False)
    with mapped(servers.submit, counted(read), chunksize=2, window=3) as results:
        servers.answer(servers.sent[0])
        assert next(results) == 0

    assert [sent.future.cancelled() for sent in servers.sent] == [False, True, True, True]
    assert list(results) == [], "the second item of the first message is given up too"
    assert len(read) == 8
    results.close()


def test_closing_forgets_an_error_of_the_input() -> None:
    def broken() -> Iterator[int]:
        yield 1
        raise OSError("no disk")

    results = mapped(Servers(at_once=False).submit, broken())
    results.close()
    assert list(results) == []


def test_it_shows_what_is_under_way() -> None:
    servers = Servers(at_once=False)
    results = mapped(servers.submit, range(10), window=2)
    assert repr(results) == "<MapResults of 'f': 2 chunks under way, <ChunkSizer: 1 calls of 0 s>>"
    results.close()
    assert "0 chunks" in repr(results)


# ---- options ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("chunksize", [0, -1, 10_001, True, 2.5, "many", None], ids=repr)
def test_a_chunk_size_out_of_range_is_refused_before_anything_is_sent(chunksize: Any) -> None:
    servers = Servers()
    with pytest.raises(ConfigurationError, match='"auto" or 1 to 10000'):
        mapped(servers.submit, range(3), chunksize=chunksize)
    assert servers.sent == []


@pytest.mark.parametrize("timeout", [0, -1.0, float("nan"), "1"], ids=repr)
def test_a_time_out_that_is_none_is_refused_before_anything_is_sent(timeout: Any) -> None:
    with pytest.raises(ConfigurationError):
        mapped(Servers().submit, range(3), timeout=timeout)


def test_no_iterable_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="at least one iterable"):
        mapped(Servers().submit)


def test_what_is_no_iterable_is_refused_as_python_does() -> None:
    with pytest.raises(TypeError, match="not iterable"):
        mapped(Servers().submit, 7)  # type: ignore[arg-type]


@pytest.mark.parametrize("timeout", [MAX_TIMEOUT, math.inf])
def test_the_time_of_those_before_it_is_never_longer_than_a_time_out_may_be(timeout: float) -> None:
    servers = Servers()
    results = mapped(servers.submit, range(100), chunksize=1, window=6, workers=1, timeout=timeout)
    assert list(results) == list(range(100))
    assert {sent.timeout for sent in servers.sent} == {timeout}
