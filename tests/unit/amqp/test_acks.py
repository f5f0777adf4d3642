"""In how few acks it is said which deliveries are dealt with."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rpcsvc.amqp.acks import Acks


def said(acks: Acks, *tags: int) -> list[tuple[int, bool]]:
    for tag in tags:
        acks.add(tag)
    return acks.take()


class Broker:
    """What RabbitMQ makes of acks: it closes the channel over one for a delivery that is not unacked."""

    def __init__(self) -> None:
        self.unacked: list[int] = []
        self.delivered = 0

    def deliver(self) -> None:
        self.delivered += 1
        self.unacked.append(self.delivered)

    def ack(self, tag: int, *, multiple: bool) -> None:
        assert tag in self.unacked, "PRECONDITION_FAILED - unknown delivery tag"
        self.unacked = [each for each in self.unacked if (each > tag if multiple else each != tag)]


@pytest.mark.parametrize(
    ("tags", "acks"),
    [
        ([], []),
        ([1], [(1, False)]),
        ([1, 2, 3], [(3, True)]),
        ([3, 1, 2], [(3, True)]),
        ([2], [(2, False)]),
        ([1, 3, 4], [(1, False), (3, False), (4, False)]),
        ([1, 2, 4], [(2, True), (4, False)]),
    ],
)
def test_what_has_no_gap_is_acked_together(tags: list[int], acks: list[tuple[int, bool]]) -> None:
    assert said(Acks(), *tags) == acks


def test_what_was_acked_before_is_not_acked_again_when_its_gap_closes() -> None:
    acks = Acks()

    assert said(acks, 2, 3) == [(2, False), (3, False)]
    assert said(acks, 1) == [(1, False)]
    assert said(acks, 4, 5) == [(5, True)]


def test_the_last_of_a_run_that_others_were_acked_in_is_one_that_is_not_acked_yet() -> None:
    acks = Acks()

    assert said(acks, 2, 4) == [(2, False), (4, False)]
    assert said(acks, 1, 3) == [(3, True)]  # not 4, which the broker does not know any more
    assert said(acks, 5) == [(5, False)]


def test_nothing_is_said_twice() -> None:
    acks = Acks()

    assert said(acks, 1) == [(1, False)]
    assert acks.take() == []


def test_it_is_told_how_many_wait_to_be_acked() -> None:
    acks = Acks()

    assert [acks.add(1), acks.add(2)] == [1, 2]
    acks.take()
    assert acks.add(3) == 1
    assert repr(acks) == "<Acks: up to 2, and 0 after it; 1 wait>"


@given(st.data())
def test_the_broker_is_told_of_each_delivery_once_whatever_the_order(data: st.DataObject) -> None:
    acks, broker = Acks(), Broker()
    running: list[int] = []
    dealt_with: set[int] = set()
    for _ in range(data.draw(st.integers(1, 30))):
        step = data.draw(st.sampled_from(["deliver", "deal", "take"]))
        if step == "deliver":
            broker.deliver()
            running.append(broker.delivered)
        elif step == "deal" and running:
            tag = running.pop(data.draw(st.integers(0, len(running) - 1)))
            dealt_with.add(tag)
            acks.add(tag)
        else:
            for tag, multiple in acks.take():
                broker.ack(tag, multiple=multiple)
            assert broker.unacked == running_in_order(running)
    for tag, multiple in acks.take():
        broker.ack(tag, multiple=multiple)

    assert broker.unacked == running_in_order(running)


def running_in_order(running: list[int]) -> list[int]:
    return sorted(running)
