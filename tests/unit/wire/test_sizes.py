"""How large a message may be, for which broker."""

from __future__ import annotations

import pytest

from rpcsvc.wire.sizes import MAX_BODY, SMALL, BodyLimit, broker_default

MIB = 2**20


@pytest.mark.parametrize(("version", "most"), [((3, 10, 8), 64 * MIB), ((3, 13), 64 * MIB), ((2, 8), 64 * MIB)])
def test_brokers_before_4_take_all_that_we_send(version: tuple[int, ...], most: int) -> None:
    assert broker_default(version) == most == MAX_BODY


@pytest.mark.parametrize("version", [(4,), (4, 0, 5), (4, 3, 6), (5, 0), None])
def test_later_ones_and_those_that_do_not_tell_take_a_little_under_16_mib(version: tuple[int, ...] | None) -> None:
    assert 15 * MIB < broker_default(version) < 16 * MIB


def test_what_is_not_connected_yet_sends_what_any_broker_may_take() -> None:
    assert BodyLimit().most == MAX_BODY
    assert BodyLimit(5000).most == 5000


def test_auto_follows_the_broker_of_each_connection() -> None:
    limit = BodyLimit()
    limit.connected((4, 0, 5))
    assert limit.most == broker_default((4,))
    limit.connected((3, 10, 8))
    assert limit.most == MAX_BODY


def test_what_was_set_holds_whatever_the_version() -> None:
    limit = BodyLimit(32 * MIB)
    limit.connected((4, 0, 5))
    assert limit.most == 32 * MIB


def test_a_refusal_lowers_it_and_never_raises_it() -> None:
    limit = BodyLimit()
    limit.refused(2 * MIB)
    assert limit.most == 2 * MIB
    limit.refused(3 * MIB)
    assert limit.most == 2 * MIB


def test_the_next_connection_tries_again_unless_that_would_cost_the_channel_with_the_consumers() -> None:
    limit = BodyLimit()
    limit.refused(2 * MIB)
    limit.connected((3, 10))
    assert limit.most == MAX_BODY
    limit.refused(SMALL - 1)
    limit.connected((3, 10))
    assert limit.most == SMALL - 1


def test_it_shows_the_limit_and_what_was_set() -> None:
    assert repr(BodyLimit()) == "<BodyLimit: 67108864 bytes, auto>"
