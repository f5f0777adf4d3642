"""A connection that comes back: what is tried again, after which pauses, and for how long."""

from __future__ import annotations

import math

import pytest

from rpcsvc.amqp.reconnect import BackOff, Reconnection
from rpcsvc.errors import (
    AccessRefused,
    AuthenticationFailed,
    ConfigurationError,
    ConnectionFailed,
    ConnectionLost,
    MessageRefused,
    QueueMismatch,
    QueueNotFound,
    RpcError,
    TlsFailed,
)

AWAY = ConnectionFailed("refused")


def most(_: float, high: float) -> float:
    return high


def least(low: float, _: float) -> float:
    return low


def test_pauses_double_up_to_a_longest_one() -> None:
    back_off = BackOff(1.0, most)
    assert [back_off.next_pause() for _ in range(7)] == [0.05, 0.1, 0.2, 0.4, 0.8, 1.0, 1.0]


def test_a_pause_is_at_least_half_of_what_it_may_be() -> None:
    back_off = BackOff(1.0, least)
    assert [back_off.next_pause() for _ in range(7)] == [0.025, 0.05, 0.1, 0.2, 0.4, 0.5, 0.5]


def test_no_two_searches_come_back_in_one_moment() -> None:
    assert len({BackOff().next_pause() for _ in range(20)}) > 1


@pytest.mark.parametrize("error", [AWAY, ConnectionLost("gone"), QueueNotFound("its node is down")])
@pytest.mark.parametrize("was_open", [False, True])
def test_what_is_away_is_tried_again(error: RpcError, was_open: bool) -> None:
    assert Reconnection(7.0, was_open=was_open, jitter=most).next_pause(error, 7.0) == 0.05


@pytest.mark.parametrize(
    "error", [AuthenticationFailed("no"), AccessRefused("no"), QueueMismatch("no"), MessageRefused("no")]
)
@pytest.mark.parametrize("was_open", [False, True])
def test_what_is_refused_is_not_tried_again(error: RpcError, was_open: bool) -> None:
    assert Reconnection(7.0, was_open=was_open).next_pause(error, 7.0) is None


@pytest.mark.parametrize("error", [TlsFailed("expired"), ConfigurationError("cacertfile cannot be read")])
def test_what_may_be_being_renewed_is_tried_again_where_it_was_right_once(error: RpcError) -> None:
    assert Reconnection(0.0).next_pause(error, 0.0) is None
    assert Reconnection(0.0, was_open=True, jitter=most).next_pause(error, 0.0) == 0.05


def test_a_search_ends_when_its_time_is_up_and_the_last_pause_is_cut_for_one_more_attempt() -> None:
    search = Reconnection(100.0, within=10.0, jitter=most)
    assert search.next_pause(AWAY, 100.0) == 0.05
    assert search.next_pause(AWAY, 109.96) == pytest.approx(0.04)
    assert search.remaining(109.0) == 1.0
    assert search.next_pause(AWAY, 110.0) is None
    assert search.remaining(111.0) == 0.0


def test_a_search_without_an_end_goes_on() -> None:
    search = Reconnection(0.0, was_open=True, jitter=most)
    pauses = [search.next_pause(AWAY, moment * 3600.0) for moment in range(10)]
    assert pauses[-1] == 2.0
    assert search.remaining(1e9) == math.inf


def test_what_they_are_can_be_read() -> None:
    assert repr(Reconnection(0.0)) == "<Reconnection: <BackOff: next pause up to 0.05 s>>"
    assert repr(Reconnection(0.0, was_open=True)).startswith("<Reconnection of what was open: ")
