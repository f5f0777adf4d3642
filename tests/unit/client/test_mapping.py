"""The iterator of `RpcClient.map`, with messages that are answered when the test says so."""

from __future__ import annotations

import itertools
import math
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from answering import Servers, counted, mapped
from hypothesis import given
from hypothesis import strategies as st
from support.examples import examples

from rpcsvc.deadline import MAX_TIMEOUT
from rpcsvc.errors import ConfigurationError, FunctionRaised

BOUNDED = examples(60)


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
