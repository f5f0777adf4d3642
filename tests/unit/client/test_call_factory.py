"""Calls made ready to send: what is taken from the caller, and when."""

from __future__ import annotations

import math
from concurrent.futures import Future
from typing import Any

import numpy
import pytest

from rpcsvc.client.calls import CallFactory
from rpcsvc.client.messages import Call
from rpcsvc.errors import ConfigurationError, EncodingError, RequestTooLarge
from rpcsvc.settings.client import ClientOptions
from rpcsvc.wire import jsonrpc

LARGE = b"0123456789abcdef" * 2048


def make(*args: Any, **kwargs: Any) -> Call:
    return CallFactory(ClientOptions()).make("f", args, kwargs, None, lambda _: Future())


def request_of(call: Call) -> jsonrpc.Request:
    message = jsonrpc.parse(whole(call))
    assert isinstance(message, jsonrpc.Request)
    return message


def whole(call: Call) -> bytes:
    return call.body or jsonrpc.encode_request(call.call_id, call.method, call.params)


def test_a_small_call_is_its_arguments_until_it_is_sent() -> None:
    call = make(30, b"small")

    assert call.body is None
    assert call.size == len(call.params)
    assert request_of(call) == jsonrpc.Request("f", [30, b"small"], {}, "1", False, raw=True)


def test_a_call_with_large_data_is_a_whole_request_at_once() -> None:
    call = make(LARGE, deep={"a": LARGE})

    assert call.body is not None
    assert call.size == len(call.body)
    assert request_of(call) == jsonrpc.Request("f", [LARGE], {"deep": {"a": LARGE}}, "1", False, raw=True)


def test_what_the_caller_changes_afterwards_travels_as_it_was() -> None:
    array, mutable = numpy.zeros(10_000), bytearray(LARGE)

    call = make(array, mutable)
    array[:] = 1
    mutable[:] = b"resized, which a memoryview would not let happen"

    first, second = request_of(call).args
    assert not first.any()
    assert second == bytearray(LARGE)


@pytest.mark.parametrize("argument", [LARGE, "x" * len(LARGE)], ids=["apart", "text"])
def test_the_limit_of_a_request_counts_what_travels_apart(argument: Any) -> None:
    factory = CallFactory(ClientOptions(max_request=len(LARGE) + 2048))
    size = len(whole(factory.make("f", [argument], {}, None, lambda _: Future())))

    assert size <= len(LARGE) + 2048, "near the limit, and below it"
    factory.limit.refused(size)
    factory.make("f", [argument], {}, None, lambda _: Future())
    factory.limit.refused(size - 1)
    with pytest.raises(RequestTooLarge, match=f"takes {size} bytes; at most {size - 1} can be sent") as caught:
        factory.make("f", [argument], {}, None, lambda _: Future())
    assert (caught.value.size, caught.value.limit) == (size, size - 1)
    assert isinstance(caught.value, EncodingError)


def test_large_arguments_do_not_travel_with_other_calls() -> None:
    assert make("x" * 30_000).is_packable
    assert not make("x" * 33_000).is_packable


@pytest.mark.parametrize("most", [0, 1023, 2**26 + 1, 1.5, True, "all", None])
def test_a_limit_that_is_none_is_refused(most: Any) -> None:
    with pytest.raises(ConfigurationError, match=f'max_request must be "auto" or .*, not {most!r}'):
        ClientOptions(max_request=most)


def test_a_calls_time_out_is_the_clients_or_its_own_or_none() -> None:
    factory = CallFactory(ClientOptions(timeout=math.inf))
    timeouts = [factory.make("f", (), {}, given, lambda _: Future()).timeout for given in (None, 2, math.inf)]
    assert timeouts == [math.inf, 2.0, math.inf]


def test_a_function_in_the_place_of_a_name_is_refused_with_its_name() -> None:
    def cube(n: int) -> int:
        return n**3

    with pytest.raises(EncodingError, match="as text: 'cube', not <function"):
        CallFactory(ClientOptions()).make(cube, (7,), {}, None, lambda _: Future())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("option", "value", "sentence"),
    [
        ("timeout", -1, "timeout must be above 0 .*not -1; math.inf is none"),
        ("connect_timeout", math.inf, "connect_timeout must be above 0 and at most"),
        ("wait_for_server", -0.5, "wait_for_server must be above 0 .*not -0.5"),
        ("max_in_flight", 0, "max_in_flight must be a whole number of at least 1, not 0"),
        ("queue", "", "the queue's name is empty"),
    ],
)
def test_an_option_that_is_wrong_is_named_with_what_was_given(option: str, value: Any, sentence: str) -> None:
    with pytest.raises(ConfigurationError, match=sentence):
        ClientOptions(**{option: value})
