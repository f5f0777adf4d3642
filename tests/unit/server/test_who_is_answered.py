"""Which callback queues are answered to: by their names, and by what a look at them finds."""

from __future__ import annotations

import asyncio
import logging
from typing import Any, cast

import pytest

from rpcsvc.amqp import Connection
from rpcsvc.errors import AccessRefused, ConnectionLost, QueueLocked, QueueNotFound
from rpcsvc.server import callback_queues as module
from rpcsvc.server.callback_queues import (
    NAMED_AGAIN_AFTER,
    NAMED_IN_LOG,
    NO_LOOK,
    NO_QUEUE,
    NOBODY,
    NOT_EXCLUSIVE,
    NOT_MADE_HERE,
    CallbackQueues,
    RefusalLog,
    Refused,
    queue_of,
)
from rpcsvc.settings.urls import BrokerUrl

REAL = "amq.rabbitmq.reply-to.g1h2AA5yZXBseUA2MzE3MzQ2MAAAAq0AAAAAawD3/Q==.TJMKjuuD7J/OiwapwBATLQ=="
LOCKED, MISSING = QueueLocked("RESOURCE_LOCKED"), QueueNotFound("NOT_FOUND")
FORBIDDEN = AccessRefused("ACCESS_REFUSED")


class Broker:
    """A connection on which each look ends with what stands under the queue's name; `looks` are those made."""

    def __init__(self, queues: dict[str, list[Exception | None]]) -> None:
        self.url = BrokerUrl.parse("amqp://127.0.0.1/")
        self._queues = queues
        self.looks: list[str] = []

    async def channel(self) -> Broker:
        return self

    def close(self) -> None:
        pass

    async def declare_queue(self, name: str, *, passive: bool) -> None:
        assert passive
        self.looks.append(name)
        await asyncio.sleep(0)
        outcomes = self._queues[name]
        outcome = outcomes.pop(0) if len(outcomes) > 1 else outcomes[0]
        if outcome is not None:
            raise outcome


def callbacks(patterns: tuple[str, ...] = (), **queues: list[Exception | None]) -> tuple[CallbackQueues, Broker]:
    broker = Broker({name.replace("__", "."): outcomes for name, outcomes in queues.items()})
    return CallbackQueues(cast(Connection, broker), patterns), broker


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LOOK_AGAIN_AFTER", 0.0)


# ---- addresses


@pytest.mark.parametrize(
    ("reply_to", "queue"),
    [
        ("amq.gen-x", "amq.gen-x"),
        ("", ""),
        ("/queues/amq_1", "amq_1"),
        ("/queues/a%2Fb%20%C3%A4+", "a/b ä+"),
        ("/queues/a%3D%3d.b%2Bc", "a==.b+c"),
        ("/queue/a", "a"),
        ("/amq/queue/a", "a"),
        ("/queues/", None),
        ("/queues/a/b", None),
        ("/queues/%FF", None),
        ("/exchanges/amq.fanout", None),
        ("/exchange/amq.direct/key", None),
        ("/topic/x", None),
        ("/", None),
    ],
)
def test_an_address_of_amqp_1_0_is_the_queue_that_it_names(reply_to: str, queue: str | None) -> None:
    assert queue_of(reply_to) == queue


# ---- by the name alone


@pytest.mark.parametrize("reply_to", ["amq.gen-x", "/queues/amq.gen-x", "mine.1"])
def test_names_that_a_broker_gives_or_the_server_was_told_of_need_no_look(reply_to: str) -> None:
    known, broker = callbacks(("mine.*",))
    queue = queue_of(reply_to)
    assert known.decide(reply_to) == queue
    assert known.answered[reply_to] == queue
    assert broker.looks == []


@pytest.mark.parametrize(
    ("reply_to", "refused"),
    [
        ("", NOBODY),
        ("amq.rabbitmq.reply-to", NOBODY),
        ("amq.rabbitmq.trace", NOBODY),
        ("\udcff", NOBODY),
        ("/queues/" + "x" * 256, NOBODY),
        ("/exchanges/e", NO_QUEUE),
        ("amq.rabbitmq.reply-to.g1h2", NOT_MADE_HERE),
    ],
)
def test_what_can_be_no_callback_queue_is_refused_without_a_look(reply_to: str, refused: Refused) -> None:
    assert callbacks(("*",) if refused is NO_QUEUE else ())[0].decide(reply_to) == refused


@pytest.mark.parametrize("reply_to", ["amq_1", "rpc.reply.1", "a-uuid", REAL])
def test_any_other_name_needs_a_look(reply_to: str) -> None:
    assert callbacks()[0].decide(reply_to) is None


# ---- by a look


@pytest.mark.parametrize(
    ("name", "outcomes", "decision"),
    [
        ("any", [LOCKED], None),
        ("any", [None], NOT_EXCLUSIVE),
        ("any", [MISSING], NOBODY),
        ("any", [MISSING, LOCKED], None),  # another node of the cluster knew it first
        ("any", [FORBIDDEN], NO_LOOK),
        ("amq_1", [FORBIDDEN], None),
        ("rpc.reply.1", [FORBIDDEN], None),
        ("amq_1", [None], NOT_EXCLUSIVE),
        ("rpc.reply.1", [MISSING], NOBODY),
    ],
)
def test_exclusive_queues_are_answered_to(
    name: str, outcomes: list[Exception | None], decision: Refused | None
) -> None:
    known, _ = callbacks(**{name.replace(".", "__"): outcomes})
    assert asyncio.run(known.look(name)) == (decision or name)
    assert (name in known.answered) is (decision is None)
    assert known.decide(name) == decision if decision else True


def test_what_a_look_found_is_remembered_under_the_address_that_was_given() -> None:
    async def main() -> None:
        known, broker = callbacks(mine=[LOCKED])
        assert await known.look("/queues/mine") == "mine"
        assert known.answered == {"/queues/mine": "mine"}
        assert await known.look("/queues/mine") == "mine"
        assert broker.looks == ["mine"]

    asyncio.run(main())


def test_requests_that_come_together_share_a_look() -> None:
    async def main() -> None:
        known, broker = callbacks(mine=[LOCKED])
        assert await asyncio.gather(*(known.look("mine") for _ in range(10))) == ["mine"] * 10
        assert broker.looks == ["mine"]

    asyncio.run(main())


def test_a_refusal_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REFUSED_FOR", 0.0)
    known, _ = callbacks(mine=[MISSING])
    assert asyncio.run(known.look("mine")) == NOBODY
    assert known.decide("mine") is None


def test_no_more_is_remembered_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ANSWERED", 3)
    known, _ = callbacks()
    for number in range(10):
        known.decide(f"amq.gen-{number}")
    assert list(known.answered) == ["amq.gen-7", "amq.gen-8", "amq.gen-9"]


def test_a_lost_connection_is_no_decision() -> None:
    known, _ = callbacks(mine=[ConnectionLost("gone")])
    with pytest.raises(ConnectionLost):
        asyncio.run(known.look("mine"))
    assert known.decide("mine") is None


def test_looks_under_way_end_with_their_session() -> None:
    async def main() -> None:
        known, _ = callbacks(mine=[LOCKED])
        look = asyncio.ensure_future(known.look("mine"))
        await asyncio.sleep(0)
        known.close()
        with pytest.raises(asyncio.CancelledError):
            await look
        assert known.answered == {}

    asyncio.run(main())


# ---- the log


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records]


def test_each_refused_name_is_told_once_with_the_reason(caplog: pytest.LogCaptureFixture) -> None:
    log = RefusalLog(Clock())
    with caplog.at_level(logging.WARNING):
        for name in ("a", "b", "a", "a", "b"):
            log.tell(name, NOT_EXCLUSIVE)
    first, second = told(caplog)
    assert first.startswith("a request was refused: no reply may go to the queue 'a': it is not exclusive")
    assert "--callback-queue" in first
    assert "'b'" in second


def test_nobody_can_fill_the_log_with_names(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    log = RefusalLog(clock)
    with caplog.at_level(logging.WARNING):
        for number in range(10 * NAMED_IN_LOG):
            log.tell(f"name-{number}", NOBODY)
        assert len(told(caplog)) == NAMED_IN_LOG + 1
        assert "not named here any more" in told(caplog)[-1]
        clock.now = NAMED_AGAIN_AFTER
        log.tell("name-0", NOBODY)
    assert "'name-0'" in told(caplog)[-1]


def test_it_shows_what_it_knows() -> None:
    known: Any = callbacks()[0]
    known.decide("amq.gen-1")
    assert "1 answered, 0 refused" in repr(known)
