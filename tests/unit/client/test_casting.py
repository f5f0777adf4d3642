"""Casts made ready to send: what is taken from the caller, and what is refused."""

from __future__ import annotations

import math
import re
import uuid
from typing import Any

import pytest

from rpcsvc.client.casting import CastFactory, How, new_id, what_is_left
from rpcsvc.client.outgoing import Outgoing
from rpcsvc.errors import CastRejected, CastUnknown, ConfigurationError, EncodingError, NoServer, RequestTooLarge
from rpcsvc.settings.client import ClientOptions
from rpcsvc.wire import jsonrpc
from rpcsvc.wire.casts import MOST_DELAY
from rpcsvc.wire.sizes import BodyLimit


def make(*args: Any, how: How | None = None, method: str = "f", limit: int = 2**20, **options: Any) -> Outgoing:
    factory = CastFactory(ClientOptions(**options), BodyLimit(limit))
    return factory.make(method, args, {}, how or How(), lambda *_: None)


def test_a_cast_is_a_notification_to_the_queue_of_casts() -> None:
    factory = CastFactory(ClientOptions(queue="shop"), BodyLimit())
    cast = factory.make("resize", ["a.png"], {"width": 200}, How(), lambda *_: None)

    request = jsonrpc.parse(cast.body)
    assert request == jsonrpc.Request("resize", ["a.png"], {"width": 200}, None, is_notification=True)
    assert (cast.exchange, cast.routing_key, cast.type, cast.is_mandatory) == ("", "shop.casts", "resize", True)
    assert (cast.needs, cast.priority, cast.expires_at) == (None, None, None)


def test_large_data_travels_in_a_raw_section() -> None:
    data = b"0123456789abcdef" * 4096
    request = jsonrpc.parse(make(data).body)
    assert isinstance(request, jsonrpc.Request)
    assert (request.args, request.is_notification) == ([data], True)


def test_it_has_the_clients_time_unless_it_has_its_own() -> None:
    assert make(timeout=7.0).timeout == 7.0
    assert make(timeout=7.0, how=How.checked(timeout=2)).timeout == 2.0
    assert make(how=How.checked(timeout=math.inf)).deadline == math.inf


def test_an_id_is_made_as_a_uuid_unless_one_is_given() -> None:
    made = [new_id() for _ in range(1000)]
    assert len(set(made)) == 1000
    assert {(uuid.UUID(each).version, uuid.UUID(each).variant) for each in made} == {(4, uuid.RFC_4122)}
    assert make(how=How.checked(message_id="order-17")).message_id == "order-17"


def test_one_that_is_to_wait_goes_to_its_level_and_needs_the_levels() -> None:
    cast = make(how=How.checked(delay=4.2))
    assert cast.exchange == "rpcsvc.delay.2"
    assert cast.routing_key == "0." * 17 + "1.0.1.rpc_queue%2Ecasts"
    assert str(cast.needs) == "the queues in which casts wait"
    assert cast.waits_until == cast.deadline
    assert cast.needs == make(how=How.checked(delay=1)).needs
    assert make(how=How.checked(delay=0)).exchange == ""


def test_who_waits_for_a_server_waits_for_the_queue() -> None:
    cast = make(wait_for_server=3.0)
    assert math.isclose(cast.deadline - cast.waits_until, cast.timeout - 3.0)
    assert make().waits_until == -math.inf


def test_what_it_says_of_its_order_and_its_end_travels() -> None:
    cast = make(how=How.checked(priority=9, expires=60))
    assert cast.priority == 9
    assert cast.expires_at is not None
    assert math.isclose(cast.expires_at + cast.timeout, cast.deadline + 60)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"delay": -1}, "a delay is 0 to"),
        ({"delay": MOST_DELAY + 0.5}, "12 days"),
        ({"delay": "soon"}, "not 'soon'"),
        ({"delay": 5, "expires": 10}, "leave out one of them"),
        ({"expires": 0}, "expires must be above 0"),
        ({"expires": math.inf}, "expires must be above 0"),
        ({"timeout": -3}, "timeout must be above 0"),
        ({"priority": 256}, "a priority is a whole number from 0 to 255, not 256"),
        ({"priority": True}, "not True"),
        ({"priority": 1.0}, "not 1.0"),
        ({"message_id": ""}, "and not empty"),
        ({"message_id": 17}, "not int: 17"),
        ({"message_id": "a\0b"}, "without a NUL"),
        ({"message_id": "é" * 128}, "1 to 255 bytes"),
        ({"message_id": "\ud800"}, "that UTF-8 can carry"),
    ],
)
def test_what_is_wrong_is_said(given: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(sentence)):
        How.checked(**given)


def test_ids_in_any_script_are_taken() -> None:
    assert How.checked(message_id="주문-17").message_id == "주문-17"


def test_what_cannot_travel_is_refused_before_anything_is_sent() -> None:
    with pytest.raises(EncodingError):
        make(object())
    with pytest.raises(EncodingError, match="empty"):
        make(method="")
    with pytest.raises(RequestTooLarge):
        make("x" * 2000, limit=1500)


def test_a_queue_whose_name_is_too_long_for_casts_does_for_calls() -> None:
    factory = CastFactory(ClientOptions(queue="q" * 252), BodyLimit())
    with pytest.raises(ConfigurationError, match="258 bytes"):
        factory.make("f", [], {}, How(), lambda *_: None)
    with pytest.raises(ConfigurationError, match="nothing can wait"):
        make(queue="q" * 230, how=How.checked(delay=1))


def test_what_becomes_of_it_is_told_by_name_and_id() -> None:
    cast = make(queue="shop", how=How(message_id="a1"))
    rejected = cast.kind.rejected(cast)
    assert isinstance(rejected, CastRejected)
    assert (rejected.method, rejected.message_id, rejected.queue) == ("f", "a1", "shop.casts")
    unknown = cast.kind.unknown(cast, "it is late")
    assert isinstance(unknown, CastUnknown)
    assert (unknown.method, unknown.message_id, unknown.reason) == ("f", "a1", "it is late")
    returned = cast.kind.returned(cast)
    assert isinstance(returned, NoServer)
    assert returned.queue == "shop"
    assert "shop.casts" in str(returned)


def test_who_waits_no_more_is_told_what_is_left() -> None:
    cast = make(how=How(message_id="a1"))
    assert what_is_left(cast, is_sure=True) == "the cast of 'f' (message_id a1) was not sent"
    assert "may have been sent" in what_is_left(cast, is_sure=False)
    cast.may_be_taken = True
    assert "may have been sent" in what_is_left(cast, is_sure=True)
