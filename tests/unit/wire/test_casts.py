"""Where a cast waits, and what its headers say."""

from __future__ import annotations

import math
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rpcsvc.errors import ConfigurationError
from rpcsvc.wire import casts, entities
from rpcsvc.wire.casts import LEVELS, MOST_DELAY, History, delayed, due_pattern, kept_headers, whole_delay
from rpcsvc.wire.entities import Binding, Exchange, ExchangeBinding, Queue


def matches(pattern: str, key: str) -> bool:
    """Whether a topic exchange takes the key for the pattern (AMQP 0-9-1, section 3.1.3.3)."""
    words, keys = pattern.split("."), key.split(".")
    if words[-1] == "#":
        words.pop()
        keys = keys[: len(words)]
    return len(words) == len(keys) and all(word in ("*", key) for word, key in zip(words, keys, strict=True))


def way_of(exchange: str, key: str, queues: tuple[str, ...]) -> tuple[float, list[str]]:
    """The seconds that a message waits in levels, and the queues that it is in at the end."""
    known = (*entities.for_delays(), *(Binding(queue, "rpcsvc.due", due_pattern(queue)) for queue in queues))
    waits = {each.name: each.arguments for each in known if isinstance(each, Queue)}
    seconds = 0.0
    while True:
        onward = [
            each.destination
            for each in known
            if isinstance(each, ExchangeBinding) and each.source == exchange and matches(each.key, key)
        ]
        into = [
            each.queue
            for each in known
            if isinstance(each, Binding) and each.exchange == exchange and matches(each.key, key)
        ]
        if exchange == "rpcsvc.due":
            return seconds, into
        assert len(onward) + len(into) == 1, "it neither gets lost nor comes twice"
        if onward:
            exchange = onward[0]
        else:
            seconds += waits[into[0]]["x-message-ttl"] / 1000
            exchange = waits[into[0]]["x-dead-letter-exchange"]


@given(st.integers(0, MOST_DELAY), st.text(min_size=1, max_size=15))
def test_a_message_waits_as_long_as_it_is_to_and_comes_to_its_queue(seconds: int, queue: str) -> None:
    others = (queue + ".casts", "a." + queue, "*", "#", "a.b")
    exchange, key = delayed(seconds, queue)
    assert way_of(exchange, key, (queue, *{*others} - {queue})) == (seconds, [queue])


def test_a_power_of_two_waits_in_one_queue() -> None:
    assert delayed(4, "q") == ("rpcsvc.delay.2", "0." * 17 + "1.0.0.q")


def test_no_two_queues_are_one_word() -> None:
    names = ["a.b", "a%2Eb", "a*", "a#", "a/b", "é", "A.B", "a", "b"]
    assert len({delayed(1, name) for name in names}) == len(names)
    assert not any(
        matches(due_pattern(one), delayed(1, other)[1]) for one, other in product(names, names) if one != other
    )


def test_the_longest_name_fits_into_a_routing_key() -> None:
    longest = "q" * casts.MOST_DESTINATION
    assert len(delayed(MOST_DELAY, longest)[1]) == 255
    for ask in (due_pattern, lambda name: delayed(1, name)):
        with pytest.raises(ConfigurationError, match="use a shorter one"):
            ask(longest + "q")


@pytest.mark.parametrize(("given", "whole"), [(0, 0), (0.0, 0), (0.001, 1), (1, 1), (1.5, 2), (MOST_DELAY, MOST_DELAY)])
def test_a_delay_is_rounded_up(given: float, whole: int) -> None:
    assert whole_delay(given) == whole


@pytest.mark.parametrize("given", [-1, MOST_DELAY + 0.5, math.inf, math.nan, True, "1", None])
def test_what_is_no_delay_is_refused(given: object) -> None:
    with pytest.raises(ConfigurationError, match="12 days"):
        whole_delay(given)  # type: ignore[arg-type]


@pytest.mark.parametrize("history", [History(), History(3), History(0, 17, True)])
def test_a_history_is_read_as_it_was_written(history: History) -> None:
    assert History.read(history.headers()) == history


@pytest.mark.parametrize(
    "made_up",
    [
        {"rpcsvc-attempts": -1},
        {"rpcsvc-attempts": True},
        {"rpcsvc-attempts": "3"},
        {"rpcsvc-attempts": 10**9},
        {"rpcsvc-first-published": 1.5},
        {"rpcsvc-again": 1},
    ],
)
def test_headers_that_cannot_be_are_as_if_they_were_not_there(made_up: dict[str, object]) -> None:
    assert History.read(made_up) == History()


def test_a_copy_keeps_its_publishers_headers_alone() -> None:
    theirs = {"traceparent": "00-1", "x-trace": 1, "cc": "mine", "rpcsvc-topic": "order.paid"}
    others = [
        "x-death",
        "x-first-death-queue",
        "x-last-death-reason",
        "x-delivery-count",
        "x-acquired-count",
        "CC",
        "BCC",
        "rpcsvc-attempts",
    ]
    assert kept_headers({**theirs, **dict.fromkeys(others, 1), b"\xff": 1}) == theirs  # type: ignore[dict-item] # hostile


# ---- queues


def test_the_queue_of_casts_is_told_where_its_dead_letters_go() -> None:
    *before, casts_queue, binding = entities.for_casts("q", max_length=5, dead_ttl=1.5, unlimited=True)
    assert casts_queue == Queue(
        "q.casts",
        {
            "x-queue-type": "quorum",
            "x-delivery-limit": 20,
            "x-dead-letter-exchange": "rpcsvc.dead",
            "x-dead-letter-routing-key": "q",
            "x-dead-letter-strategy": "at-least-once",
            "x-overflow": "reject-publish",
            "x-max-length": 5,
        },
    )
    assert binding == Binding("q.casts", "rpcsvc.due", due_pattern("q.casts"))
    dead = {"x-queue-type": "quorum", "x-delivery-limit": -1, "x-message-ttl": 1500}
    assert Queue("q.dead", dead) in before
    assert Binding("q.dead", "rpcsvc.dead", "q") in before


def test_a_classic_queue_of_casts_rejects_what_it_cannot_take_if_it_is_bounded() -> None:
    arguments = {"x-queue-type": "classic", "x-dead-letter-exchange": "rpcsvc.dead", "x-dead-letter-routing-key": "q"}
    assert Queue("q.casts", arguments) in entities.for_casts("q", queue_type="classic")
    bounded = {**arguments, "x-max-length": 1, "x-overflow": "reject-publish"}
    assert Queue("q.casts", bounded) in entities.for_casts("q", queue_type="classic", max_length=1)


def test_a_durable_subscription_drops_its_oldest_and_goes_when_it_is_told_to() -> None:
    assert entities.for_subscription("s") == Queue("s", {"x-queue-type": "quorum"})
    told = entities.for_subscription("s", max_length=5, expires=1.5, unlimited=True)
    assert told.arguments == {
        "x-queue-type": "quorum",
        "x-delivery-limit": -1,
        "x-max-length": 5,
        "x-overflow": "drop-head",
        "x-expires": 1500,
    }


def test_a_queue_that_hears_events_needs_the_exchanges_of_ours_among_those_that_it_is_bound_to() -> None:
    assert entities.bindings_of("s", ["a.*", "#"], None) == (
        (Exchange("rpcsvc.topics", "topic"),),
        (Binding("s", "rpcsvc.topics", "a.*"), Binding("s", "rpcsvc.topics", "#")),
    )
    assert entities.bindings_of("s", ["rpcsvc.#"], None)[0] == (Exchange("rpcsvc.events", "topic"),)
    assert entities.bindings_of("s", ["info"], "logs") == ((), (Binding("s", "logs", "info"),))


def test_what_is_bound_is_declared_before() -> None:
    ours, bindings = entities.bindings_of("q.on.h", ["a.*", "rpcsvc.#"], None)
    for declared in (
        entities.for_casts("q"),
        (Queue("f"), *entities.for_foreign("f")),
        (*ours, *entities.for_handler("q", "q.on.h", bindings)),
        entities.for_delays(),
    ):
        there: set[str] = set()
        for each in declared:
            match each:
                case Queue(name) | Exchange(name):
                    there.add(name)
                case Binding(queue, exchange):
                    assert {queue, exchange} <= there
                case ExchangeBinding(destination, source):
                    assert {destination, source} <= there


def test_there_is_a_level_for_each_binary_digit() -> None:
    assert sum(isinstance(each, Queue) for each in entities.for_delays()) == LEVELS
