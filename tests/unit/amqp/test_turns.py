"""Whose turn it is among the nodes of a cluster."""

from __future__ import annotations

import asyncio

import pytest

from rpcsvc.amqp import Turns
from rpcsvc.errors import (
    AccessRefused,
    AuthenticationFailed,
    ConfigurationError,
    ConnectionFailed,
    ConnectionLost,
    QueueMismatch,
    RpcError,
    TlsFailed,
)
from rpcsvc.settings import BrokerUrl, BrokerUrls

THREE = BrokerUrls.parse("amqp://a,amqp://b,amqp://u:hunter2@c")


class Cluster:
    """Nodes that are up or end an attempt with an error, and who was asked with how much time."""

    def __init__(self, **errors: RpcError) -> None:
        self.errors = errors
        self.asked: list[tuple[str, float]] = []

    async def attempt(self, url: BrokerUrl, timeout: float) -> str:
        self.asked.append((url.host, timeout))
        if url.host in self.errors:
            raise self.errors[url.host]
        return url.host

    def open(self, turns: Turns, timeout: float = 9.0) -> str:
        return asyncio.run(turns.open(self.attempt, timeout=timeout))


def test_the_first_of_the_list_is_asked_first() -> None:
    assert Cluster().open(Turns(THREE)) == "a"


def test_the_next_one_is_asked_where_one_fails() -> None:
    assert Cluster(a=ConnectionFailed("refused"), b=ConnectionLost("gone")).open(Turns(THREE)) == "c"


def test_after_a_loss_it_is_the_next_ones_turn() -> None:
    cluster, turns = Cluster(), Turns(THREE)
    assert [cluster.open(turns) for _ in range(4)] == ["a", "b", "c", "a"]


def test_a_round_in_which_all_fail_begins_anew_where_it_began() -> None:
    turns = Turns(THREE)
    Cluster().open(turns)
    cluster = Cluster(a=ConnectionFailed("x"), b=ConnectionFailed("x"), c=ConnectionFailed("x"))
    for _ in range(2):
        with pytest.raises(ConnectionFailed):
            cluster.open(turns)
    assert [host for host, _ in cluster.asked] == ["b", "c", "a", "b", "c", "a"]


def test_a_silent_node_has_its_share_of_the_time_and_no_more() -> None:
    cluster = Cluster(a=ConnectionFailed("x"), b=ConnectionFailed("x"))
    cluster.open(Turns(THREE))
    # Those before took no time here, so the later ones may take what was left over.
    assert [seconds for _, seconds in cluster.asked] == pytest.approx([3.0, 4.5, 9.0], abs=0.5)


def test_when_all_fail_each_is_named_with_its_reason_and_no_password() -> None:
    cluster = Cluster(a=ConnectionFailed("refused at a"), b=ConnectionLost("went away"), c=TlsFailed("expired at c"))
    with pytest.raises(ConnectionFailed) as caught:
        cluster.open(Turns(THREE))

    assert type(caught.value) is ConnectionFailed
    assert str(caught.value) == (
        "none of the 3 brokers can be used: (1) refused at a; (2) amqp://guest:***@b:5672/: went away; (3) expired at c"
    )
    assert "hunter2" not in repr(Turns(THREE))


def test_when_no_certificate_is_good_that_is_the_error() -> None:
    errors = {host: TlsFailed("expired") for host in "abc"}
    with pytest.raises(TlsFailed, match="none of the 3"):
        Cluster(**errors).open(Turns(THREE))


@pytest.mark.parametrize("kind", [AuthenticationFailed, AccessRefused, QueueMismatch, ConfigurationError])
def test_what_another_node_would_not_mend_is_raised_at_once(kind: type[RpcError]) -> None:
    cluster = Cluster(a=kind("no"))
    with pytest.raises(kind, match=r"^no$"):
        cluster.open(Turns(THREE))
    assert len(cluster.asked) == 1


@pytest.mark.parametrize("kind", [ConnectionFailed, TlsFailed])
def test_a_single_broker_speaks_for_itself(kind: type[RpcError]) -> None:
    cluster = Cluster(a=kind("its own sentence"))
    with pytest.raises(kind, match=r"^its own sentence$"):
        cluster.open(Turns(BrokerUrls.parse("amqp://a")))
    assert cluster.asked == [("a", pytest.approx(9.0, abs=0.5))]


def test_a_connection_that_was_lost_before_it_could_be_used_was_not_opened() -> None:
    with pytest.raises(ConnectionFailed, match="5672/: went away"):
        Cluster(a=ConnectionLost("went away")).open(Turns(BrokerUrls.parse("amqp://a")))
