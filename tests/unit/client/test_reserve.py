"""How much of its time a call may spend in the queue."""

from __future__ import annotations

import pytest

from rpcsvc.client.reserve import Reserve


def test_of_a_method_that_has_not_answered_yet_nothing_is_known() -> None:
    assert Reserve().in_queue("fib", 0.2) == 0.2


def test_a_call_leaves_the_queue_while_there_is_time_to_compute_it() -> None:
    reserve = Reserve()
    reserve.answered("fib", 0.025)
    assert reserve.in_queue("fib", 0.2) == pytest.approx(0.15)
    assert reserve.in_queue("echo", 0.2) == 0.2


def test_the_quickest_call_counts_whenever_it_was() -> None:
    reserve = Reserve()
    for seconds in (0.05, 0.025, 3.0):
        reserve.answered("fib", seconds)
    assert reserve.in_queue("fib", 0.2) == pytest.approx(0.15)


def test_half_of_the_time_is_for_the_queue_however_long_a_call_takes() -> None:
    reserve = Reserve()
    reserve.answered("fib", 60.0)
    assert reserve.in_queue("fib", 0.2) == pytest.approx(0.1)


def test_no_more_is_reserved_than_a_server_overlooks() -> None:
    reserve = Reserve()
    reserve.answered("fib", 60.0)
    assert reserve.in_queue("fib", 600.0) == 599.5


def test_memory_is_bounded_whatever_methods_are_called() -> None:
    reserve = Reserve()
    for number in range(3000):
        reserve.answered(f"method{number}", 0.025)
    assert repr(reserve) == "<Reserve for 1000 methods>"
    assert reserve.in_queue("method2999", 0.2) < 0.2
