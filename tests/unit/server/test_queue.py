"""How a server finds its queue, and what the end of a consumer means: decisions, on a broker that follows a script."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from rpcsvc.amqp import Connection, QueueArguments
from rpcsvc.errors import AccessRefused, ConnectionLost, QueueLocked, QueueMismatch, QueueNotFound
from rpcsvc.server import queue as module
from rpcsvc.server.queue import (
    QueueFound,
    as_found,
    difference_of,
    examine,
    find,
    is_there,
    may_end_consumers_of_live_queues,
    was_deleted,
)

MISSING = QueueNotFound("NOT_FOUND - no queue 'q' in vhost '/'")
FORBIDDEN = AccessRefused("the broker refused access: ACCESS_REFUSED")
LOCKED = QueueLocked("RESOURCE_LOCKED")
# What RabbitMQ 3.10.8, 4.0.5 and 4.3.6 say.
QUORUM_310 = (
    "PRECONDITION_FAILED - inequivalent arg 'x-queue-type' for queue 'q' in vhost '/':"
    " received none but current is the value 'quorum' of type 'longstr'"
)
QUORUM = (
    "PRECONDITION_FAILED - inequivalent arg 'x-queue-type' for queue 'q' in vhost '/':"
    " received 'classic' but current is 'quorum'"
)
PLAIN_310 = (
    "PRECONDITION_FAILED - inequivalent arg 'x-queue-type' for queue 'q' in vhost '/':"
    " received the value 'quorum' of type 'longstr' but current is none"
)
TTL = (
    "PRECONDITION_FAILED - inequivalent arg 'x-message-ttl' for queue 'q' in vhost '/':"
    " received none but current is the value '5000' of type 'signedint'"
)
TRANSIENT = (
    "PRECONDITION_FAILED - inequivalent arg 'durable' for queue 'q' in vhost '/':"
    " received 'true' but current is 'false'"
)


def mismatch(text: str) -> QueueMismatch:
    return QueueMismatch(f"a queue of that name exists, declared otherwise: {text}; delete it, or use another --queue")


class Broker:
    """A connection on which looks and declarations end as the script says; what was asked is in `asked`.

    Each entry is what a look ("look") or a declaration ("declare") ends with: None is success.
    """

    def __init__(self, *script: tuple[str, Exception | None], version: tuple[int, ...] | None = (4, 3, 6)) -> None:
        self._script = list(script)
        self.broker_version = version
        self.types: list[str | None] = []
        self.channels_open = 0

    async def channel(self) -> Broker:
        self.channels_open += 1
        return self

    def close(self) -> None:
        self.channels_open -= 1

    async def declare_queue(
        self, name: str, *, durable: bool = False, passive: bool = False, arguments: QueueArguments | None = None
    ) -> None:
        assert name == "q"
        assert durable != passive
        kind, outcome = self._script.pop(0)
        assert kind == ("look" if passive else "declare")
        if not passive:
            assert arguments is not None
            self.types.append(arguments.queue_type)
        if outcome is not None:
            raise outcome

    @property
    def is_done(self) -> bool:
        return not self._script and self.channels_open == 0


def found(broker: Broker, queue_type: str = "classic") -> QueueFound:
    return asyncio.run(find(cast(Connection, broker), "q", queue_type))


# ---- finding


def test_a_queue_that_is_there_is_taken_and_nothing_is_declared() -> None:
    broker = Broker(("look", None))
    assert found(broker) == QueueFound(declared=False)
    assert broker.is_done


@pytest.mark.parametrize("queue_type", ["classic", "quorum"])
def test_a_queue_that_is_missing_is_declared_of_the_type_that_was_asked_for(queue_type: str) -> None:
    broker = Broker(("look", MISSING), ("declare", None))
    assert found(broker, queue_type) == QueueFound(declared=True, queue_type=queue_type, is_plain=True)
    assert broker.types == [queue_type]
    assert broker.is_done


def test_who_may_not_look_takes_the_queue_unseen() -> None:
    """RabbitMQ 4.2.6 and 4.3.0 want the right to configure a queue for a look."""
    broker = Broker(("look", FORBIDDEN))
    assert found(broker) == QueueFound(declared=False)
    assert broker.is_done


def test_who_may_not_declare_a_queue_that_is_missing_is_told_both() -> None:
    broker = Broker(("look", MISSING), ("declare", FORBIDDEN))
    with pytest.raises(AccessRefused, match="ACCESS_REFUSED; nor did somebody else declare it before"):
        found(broker)
    assert broker.is_done


def test_a_queue_that_somebody_else_declared_in_the_same_moment_is_taken_as_theirs() -> None:
    broker = Broker(("look", MISSING), ("declare", mismatch(QUORUM)), ("look", None))
    assert found(broker) == QueueFound(declared=False)
    assert broker.is_done


def test_a_queue_that_comes_and_goes_is_not_looked_for_for_ever() -> None:
    broker = Broker(*[("look", MISSING), ("declare", mismatch(QUORUM))] * 5)
    with pytest.raises(QueueMismatch):
        found(broker)
    assert broker.is_done


@pytest.mark.parametrize("error", [LOCKED, ConnectionLost("gone")])
def test_what_ends_a_look_otherwise_is_raised(error: Exception) -> None:
    broker = Broker(("look", error))
    with pytest.raises(type(error)):
        found(broker)
    assert broker.is_done


@pytest.mark.parametrize("error", [LOCKED, MISSING])
def test_what_ends_a_declaration_otherwise_is_raised(error: Exception) -> None:
    """404: the queue's node is down, in a cluster."""
    broker = Broker(("look", MISSING), ("declare", error))
    with pytest.raises(type(error)):
        found(broker)
    assert broker.is_done


# ---- what it is


@pytest.mark.parametrize(
    ("refusal", "difference", "sentence"),
    [
        (QUORUM, ("x-queue-type", "quorum"), "found: quorum"),
        (QUORUM_310, ("x-queue-type", "quorum"), "found: quorum"),
        (PLAIN_310, ("x-queue-type", "none"), "found: classic"),
        (TTL, ("x-message-ttl", "5000"), "found: x-message-ttl 5000"),
        (TRANSIENT, ("durable", "false"), "found: durable false"),
        ("PRECONDITION_FAILED - something else", None, "found: its kind cannot be seen"),
    ],
)
def test_the_brokers_refusal_tells_in_what_a_queue_differs(
    refusal: str, difference: tuple[str, str] | None, sentence: str
) -> None:
    assert difference_of(refusal) == difference_of(str(mismatch(refusal))) == difference
    assert str(as_found(str(mismatch(refusal)))) == sentence


def test_a_queue_that_is_as_it_would_be_declared_is_said_to_be_found() -> None:
    broker = Broker(("declare", None))
    assert str(asyncio.run(examine(cast(Connection, broker), "q", "quorum"))) == "found: quorum"
    assert broker.is_done


def test_who_may_not_declare_it_learns_nothing() -> None:
    broker = Broker(("declare", FORBIDDEN))
    assert asyncio.run(examine(cast(Connection, broker), "q", "classic")) == QueueFound(declared=False)


def test_a_stream_is_refused() -> None:
    broker = Broker(("declare", mismatch(QUORUM.replace("'quorum'", "'stream'"))))
    with pytest.raises(QueueMismatch, match="'q' is a stream: each worker would get every call; use another --queue"):
        asyncio.run(examine(cast(Connection, broker), "q", "classic"))
    assert broker.is_done


def test_a_queue_that_was_declared_is_said_to_be() -> None:
    assert str(QueueFound(declared=True, queue_type="classic", is_plain=True)) == "declared: classic"


# ---- the end of a consumer


@pytest.fixture
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOOKS_AFTER", (0.0, 0.0, 0.0))


@pytest.mark.usefixtures("no_pause")
@pytest.mark.parametrize(
    ("looks", "version", "deleted"),
    [
        ([MISSING], (4, 3, 6), True),
        ([None, MISSING], (4, 3, 6), True),  # a quorum queue whose deletion is under way
        ([None, None, MISSING], (4, 3, 6), True),
        ([None, None, None], (4, 3, 6), False),
        ([None, None, None], None, False),
        ([FORBIDDEN], (4, 3, 0), False),
        ([LOCKED], (4, 3, 6), False),
        ([None, None, None], (4, 2, 9), True),  # and declared again by somebody else
        ([MISSING], (3, 10, 8), True),
        ([FORBIDDEN], (4, 2, 6), True),
    ],
)
def test_only_a_look_that_misses_the_queue_is_a_deletion_where_consumers_of_live_queues_are_ended(
    looks: list[Exception | None], version: tuple[int, ...] | None, deleted: bool
) -> None:
    broker = Broker(*(("look", look) for look in looks), version=version)
    assert asyncio.run(was_deleted(cast(Connection, broker), "q")) is deleted
    assert broker.is_done


@pytest.mark.parametrize(
    ("version", "may"), [((3, 10, 8), False), ((4, 2, 10), False), ((4, 3), True), ((5, 0, 0), True), (None, True)]
)
def test_from_which_version_on_a_live_queues_consumer_may_end(version: Any, may: bool) -> None:
    assert may_end_consumers_of_live_queues(version) is may


def test_a_look_that_is_forbidden_says_so() -> None:
    with pytest.raises(AccessRefused):
        asyncio.run(is_there(cast(Connection, Broker(("look", FORBIDDEN))), "q"))
