"""Events, made ready to be published: checked and encoded before anything is sent."""

from __future__ import annotations

import math
import pickle
import time
from typing import Any

import pytest

from rpcsvc.client.outgoing import Outgoing
from rpcsvc.client.published import EventFactory, PublishedHow, what_is_left
from rpcsvc.errors import ConfigurationError, EncodingError, EventUnknown, MessageRefused, RequestTooLarge
from rpcsvc.settings.client import ClientOptions
from rpcsvc.wire.sizes import BodyLimit


def make(topic: str, body: Any, **how: Any) -> Outgoing:
    factory = EventFactory(ClientOptions(timeout=7.0), BodyLimit(4096))
    return factory.make(topic, body, PublishedHow.checked(**how), lambda *_: None)


def test_an_event_goes_to_the_exchange_of_events_and_may_be_heard_by_nobody() -> None:
    before = time.time()
    event = make("order.paid", {"id": 7}, headers={"trace": "t"}, message_id="id-1")
    assert (event.exchange, event.routing_key, event.body, event.content_type) == (
        "rpcsvc.topics",
        "order.paid",
        b'{"id":7}',
        "application/json",
    )
    assert (event.message_id, event.is_mandatory, event.timeout) == ("id-1", False, 7.0)
    assert event.headers is not None
    assert event.headers["trace"] == "t"
    assert int(before * 1000) <= event.headers["rpcsvc-first-published"] <= time.time() * 1000
    assert str(event.needs) == "the exchange 'rpcsvc.topics'"
    assert make("a", "b").message_id != make("a", "b").message_id


def test_the_exchanges_of_others_take_any_routing_key() -> None:
    event = make("", "log", exchange="logs", timeout=math.inf)
    assert (event.exchange, event.routing_key, event.deadline) == ("logs", "", math.inf)
    assert str(event.needs) == "the exchange 'logs'"


@pytest.mark.parametrize(
    ("topic", "how", "sentence"),
    [
        ("rpcsvc.x", {}, "what servers tell of themselves"),
        ("a.*", {}, "wildcard"),
        ("a", {"exchange": ""}, "default exchange"),
        ("a", {"exchange": "rpcsvc.events"}, "for servers"),
        ("a", {"message_id": ""}, "message_id"),
        ("a", {"timeout": 0}, "timeout must be above 0"),
        ("a", {"headers": [1]}, "headers are a dictionary"),
        ("a", {"headers": {1: "x"}}, "headers are a dictionary"),
        ("a", {"headers": {"rpcsvc-again": True}}, "begins with 'rpcsvc-'"),
        ("a", {"headers": {"x": object()}}, "headers are text, bytes"),
        ("a", {"headers": {"x" * 256: 1}}, "headers are text, bytes"),
    ],
)
def test_what_is_wrong_is_told_before_anything_is_sent(topic: str, how: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigurationError, match=sentence):
        make(topic, "x", **how)


def test_a_body_that_cannot_travel_is_told_before_anything_is_sent() -> None:
    with pytest.raises(EncodingError):
        make("a", object())
    with pytest.raises(RequestTooLarge):
        make("a", "x" * 5000)


def test_its_publisher_is_told_what_became_of_it() -> None:
    event = make("order.paid", "x", message_id="id-1")
    assert event.kind.returned(event) is None
    rejected = event.kind.rejected(event)
    assert isinstance(rejected, MessageRefused)
    assert "'order.paid'" in str(rejected)
    unknown = event.kind.unknown(event, "no confirm came within 7 s")
    assert isinstance(unknown, EventUnknown)
    assert (unknown.topic, unknown.message_id, unknown.reason) == ("order.paid", "id-1", "no confirm came within 7 s")
    assert str(pickle.loads(pickle.dumps(unknown))) == str(unknown)
    assert "message_id='id-1'" in str(unknown)


def test_who_stops_waiting_is_told_what_is_left() -> None:
    event = make("order.paid", "x", message_id="id-1")
    assert what_is_left(event, is_sure=True) == "the event 'order.paid' (message_id id-1) was not sent"
    assert "may have been sent" in what_is_left(event, is_sure=False)
    event.may_be_taken = True
    assert "may have been sent" in what_is_left(event, is_sure=True)
