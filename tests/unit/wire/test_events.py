"""Topics, patterns, bodies, and what a subscriber makes of a message, whoever published it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rpcsvc.errors import ConfigurationError, DecodingError, EncodingError
from rpcsvc.wire import events
from rpcsvc.wire.events import Event, check_pattern, check_topic, decode_body, encode_body, read_event

# ---- bodies


@pytest.mark.parametrize(
    ("body", "sent", "content_type"),
    [
        ("경보", "경보".encode(), "text/plain"),
        ("", b"", "text/plain"),
        (b"\x00\xff", b"\x00\xff", "application/octet-stream"),
        ({"id": 7}, b'{"id":7}', "application/json"),
        (None, b"null", "application/json"),
        ((1, Decimal("1.50")), b'{"$tuple":[1,{"$decimal":"1.50"}]}', "application/json"),
        (bytearray(b"ab"), b'{"$bytearray":"YWI="}', "application/json"),
    ],
)
def test_a_body_travels_by_its_content_type_and_comes_back(body: Any, sent: bytes, content_type: str) -> None:
    assert encode_body(body) == (sent, content_type)
    assert decode_body(sent, content_type) == body


@given(st.text() | st.binary() | st.lists(st.integers() | st.text(), max_size=3))
def test_whatever_is_published_is_what_is_heard(body: Any) -> None:
    try:
        sent, content_type = encode_body(body)
    except EncodingError:
        assert re.search(r"[\ud800-\udfff]", repr(body)) or "\\ud" in repr(body)
        return
    assert decode_body(sent, content_type) == body


@pytest.mark.parametrize("body", ["half \ud800 a pair", object(), {"x": {1, object()}}])
def test_what_cannot_travel_exactly_is_refused(body: Any) -> None:
    with pytest.raises(EncodingError):
        encode_body(body)


@pytest.mark.parametrize(
    ("sent", "content_type", "body"),
    [
        (b"plain", None, "plain"),
        (b"plain", "", "plain"),
        (b"\xff", None, b"\xff"),
        ("é".encode(), "text/plain; charset=UTF-8", "é"),
        ("é".encode("latin-1"), 'Text/HTML ; Charset="ISO-8859-1"; x', "é"),
        (b"x", "text/plain; charset=no-such", b"x"),
        (b"x", "text/plain; charset=a\0b", b"x"),
        (b"\xff", "text/plain", b"\xff"),
        (b"[1]", "application/json; charset=utf-8", [1]),
        (b'{"a":1}', "application/cloudevents+json", {"a": 1}),
        (b"{", "application/json", b"{"),
        (b'{"$decimal":7}', "application/json", b'{"$decimal":7}'),
        (b"[1]", "application/octet-stream", b"[1]"),
        (b"[1]", "application/msgpack", b"[1]"),
        (b"[1]", "nonsense", b"[1]"),
    ],
)
def test_what_others_publish_is_read_by_its_content_type_or_given_as_it_is(
    sent: bytes, content_type: str | None, body: Any
) -> None:
    assert decode_body(sent, content_type) == body


@given(st.binary(max_size=20), st.none() | st.text(max_size=20))
def test_no_body_and_no_content_type_stops_a_subscriber(sent: bytes, content_type: str | None) -> None:
    decode_body(sent, content_type)


# ---- topics and patterns


@pytest.mark.parametrize(
    "topic", ["order.paid", "a", "kern critical.x-y", "경보.빨강", "rpcsvc", "rpcsvc2.x", "x" * 255]
)
def test_a_topic_is_words_with_dots_between(topic: str) -> None:
    assert check_topic(topic) == topic


@pytest.mark.parametrize(
    ("topic", "sentence"),
    [
        (7, "a topic is text, for instance 'order.paid', not int: 7"),
        (b"x", "not bytes"),
        ("", "has an empty one"),
        (".a", "has an empty one"),
        ("a..b", "has an empty one"),
        ("a.", "has an empty one"),
        ("a.*", "has a wildcard"),
        ("#", "has a wildcard"),
        ("rpcsvc.server.started", "what servers tell of themselves"),
        ("x" * 256, "at most 255 bytes of UTF-8; 'xxxxxxxxxxxxxxxxxxxx'… has 256"),
        ("경" * 86, "has 258"),
        ("a\0", "no NUL"),
        ("a\ud800", "UTF-8"),
    ],
)
def test_what_is_no_topic_is_refused_with_a_sentence(topic: Any, sentence: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(sentence)):
        check_topic(topic)


@pytest.mark.parametrize("key", ["", "a..b", "#.*", "rpcsvc.x", "info"])
def test_the_routing_keys_of_others_may_be_any(key: str) -> None:
    assert check_topic(key, foreign=True) == key
    assert check_pattern(key, foreign=True) == key


def test_the_routing_keys_of_others_fit_into_a_frame_all_the_same() -> None:
    with pytest.raises(ConfigurationError, match="255"):
        check_topic("x" * 256, foreign=True)
    with pytest.raises(ConfigurationError, match="3 '#'"):
        check_pattern("#.a.#.b.#", foreign=True)


@pytest.mark.parametrize("pattern", ["#", "*", "order.*.paid", "#.x.#", "*.*.*", "a", "rpcsvc.#"])
def test_a_pattern_is_a_topic_with_wildcards(pattern: str) -> None:
    assert check_pattern(pattern) == pattern


@pytest.mark.parametrize(
    ("pattern", "sentence"),
    [
        ("#.a.#.b.#", "has 3 '#', and RabbitMQ takes 2"),
        ("order*", "stand for whole words"),
        ("a.#b", "stand for whole words"),
        ("a..*", "has an empty one"),
        (None, "a pattern is text"),
    ],
)
def test_what_is_no_pattern_is_refused_with_a_sentence(pattern: Any, sentence: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(sentence)):
        check_pattern(pattern)


# ---- exchanges and queues


@pytest.mark.parametrize(
    ("pattern", "exchange"),
    [
        ("#", "rpcsvc.topics"),
        ("rpcsvc.#", "rpcsvc.events"),
        ("rpcsvc", "rpcsvc.events"),
        ("rpcsvcs.#", "rpcsvc.topics"),
        ("*.x", "rpcsvc.topics"),
    ],
)
def test_what_servers_tell_of_themselves_is_apart_from_users_events(pattern: str, exchange: str) -> None:
    assert events.exchange_of(pattern) == exchange


@pytest.mark.parametrize("exchange", ["logs", "amq.topic", "rpcsvc.topics"])
def test_an_exchange_of_others_is_named(exchange: str) -> None:
    assert events.check_exchange(exchange, written=True) == exchange
    assert events.check_exchange(exchange, written=False) == exchange


@pytest.mark.parametrize(
    ("exchange", "sentence"),
    [("", "default exchange"), (None, "not NoneType"), ("rpcsvc.events", "for servers; leave exchange= out")],
)
def test_nobody_writes_to_what_is_no_exchange_or_the_servers_alone(exchange: Any, sentence: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(sentence)):
        events.check_exchange(exchange, written=True)


def test_what_is_the_servers_alone_may_be_heard() -> None:
    assert events.check_exchange("rpcsvc.events", written=False) == "rpcsvc.events"


def test_a_durable_subscription_has_a_queue_of_its_name() -> None:
    assert events.subscription_queue("billing") == "rpcsvc.sub.billing"


@pytest.mark.parametrize("name", ["", None, 7, "x" * 101, "a\n", "a\0", "\ud800"])
def test_what_can_be_no_name_is_refused(name: Any) -> None:
    with pytest.raises(ConfigurationError, match="name of a subscription"):
        events.subscription_queue(name)
    with pytest.raises(ConfigurationError, match="name of a handler"):
        events.handler_queue("q", name, ["#"], "rpcsvc.topics")


def test_a_handler_has_another_queue_when_its_patterns_change() -> None:
    queue = events.handler_queue("q", "mail", ["a.*", "b"], "rpcsvc.topics")
    assert re.fullmatch(r"q\.on\.mail\.[0-9a-f]{8}", queue)
    assert events.handler_queue("q", "mail", ["b", "a.*"], "rpcsvc.topics") == queue
    others = [(["a.*"], "rpcsvc.topics"), (["a.*", "b"], "logs"), (["a.*.b"], "rpcsvc.topics")]
    names = {queue, *(events.handler_queue("q", "mail", *other) for other in others)}
    assert len(names) == 4
    with pytest.raises(ConfigurationError, match="255"):
        events.handler_queue("q" * 200, "h" * 60, ["#"], "rpcsvc.topics")


def test_the_topic_of_a_deleted_queue_names_that_queue_alone() -> None:
    assert events.queue_deleted("rpc_queue") == "rpcsvc.queue.deleted.rpc_queue"
    assert events.queue_deleted("a.b") == "rpcsvc.queue.deleted.a%2Eb"
    assert events.queue_deleted("#") == "rpcsvc.queue.deleted.%23"
    long = {events.queue_deleted("q" * 254 + end) for end in "ab"}
    assert {len(topic) for topic in long} == {53}
    assert len(long) == 2


# ---- what a subscriber is given


def read(headers: Mapping[str, Any] | Exception, timestamp: int | None = None) -> Event:
    def give() -> Mapping[str, Any]:
        if isinstance(headers, Exception):
            raise headers
        return headers

    return read_event(
        "a.b",
        b"7",
        content_type="application/json",
        headers=give,
        timestamp=timestamp,
        message_id="id-1",
        redelivered=True,
        missed=3,
    )


def test_an_event_is_read_from_its_message() -> None:
    event = read({"rpcsvc-first-published": 1500, "rpcsvc-again": True, "trace": "t", "x-death": []})
    moment = datetime(1970, 1, 1, 0, 0, 1, 500_000, tzinfo=UTC)
    assert event == Event("a.b", moment, 7, 3, {"trace": "t"}, True, "id-1")


@pytest.mark.parametrize(
    ("headers", "timestamp", "seconds"),
    [
        ({}, 60, 60.0),
        ({"rpcsvc-first-published": 1}, 60, 0.001),
        ({"rpcsvc-first-published": "now"}, None, None),
        ({}, 2**63, None),
        ({}, None, None),
    ],
)
def test_its_time_is_its_publishers_to_the_millisecond_or_the_second(
    headers: dict[str, Any], timestamp: int | None, seconds: float | None
) -> None:
    time = read(headers, timestamp).time
    assert (None if time is None else time.timestamp()) == seconds


def test_the_topic_of_an_event_that_comes_once_more_stands_in_a_header() -> None:
    assert events.topic_of("rpcsvc.topics", "a.b", {}) == "a.b"
    assert events.topic_of("rpcsvc.due", "0.1.q", {"rpcsvc-topic": "a.b"}) == "a.b"
    assert events.topic_of("rpcsvc.delay.3", "0.1.q", {"rpcsvc-topic": "a.b"}) == "a.b"
    assert events.topic_of("", "q.on.h", {"rpcsvc-topic": "a.b"}) == "a.b"
    assert events.topic_of("rpcsvc.topics", "a.b", {"rpcsvc-topic": "made.up"}) == "a.b"
    assert events.topic_of("", "q.on.h", {"rpcsvc-topic": 7}) == "q.on.h"
    assert events.users_headers({"rpcsvc-topic": "a.b", "trace": "t", "rpcsvc-attempts": 1}) == {"trace": "t"}


def test_a_topic_and_an_id_that_are_no_utf_8_can_be_printed_all_the_same() -> None:
    event = read_event(
        "a.\udcff",
        b"",
        content_type=None,
        headers=dict,
        timestamp=None,
        message_id="\udcfe",
        redelivered=False,
    )
    assert (event.topic, event.message_id) == ("a.\ufffd", "\ufffd")


def test_headers_that_cannot_be_read_are_none() -> None:
    assert read(DecodingError("no table"), 1).headers == {}
