"""Functions that are called with events, as they are registered."""

from __future__ import annotations

from typing import Any

import pytest

from rpcsvc import Event, Registry, Retry
from rpcsvc.errors import ConfigurationError, RegistrationError
from rpcsvc.functions.handlers import Handler


def one(registry: Registry) -> Handler:
    (handler,) = registry.handlers.values()
    return handler


def test_a_handler_is_known_by_its_name_and_is_no_function_that_is_called() -> None:
    registry = Registry()

    @registry.on("order.*.paid", "order.#.refunded", retry=Retry(attempts=2), time_limit=5)
    def receipt(event: Event) -> None:
        """Send it."""

    handler = one(registry)
    assert (handler.name, handler.patterns, handler.exchange) == (
        "receipt",
        ("order.*.paid", "order.#.refunded"),
        None,
    )
    assert handler.function.call is receipt
    assert handler.function.limits.hard == 5
    assert handler.function.retry == Retry(attempts=2)
    assert len(registry) == 0
    assert registry.get("receipt") is None


def test_one_function_may_be_called_by_both() -> None:
    registry = Registry()

    @registry.on("info", exchange="logs", name="other", idempotent=False)
    @registry.function
    def both(event: Any = None) -> None: ...

    assert "both" in registry
    assert (one(registry).name, one(registry).exchange, one(registry).function.idempotent) == ("other", "logs", False)


def test_handlers_come_along_when_a_registry_is_included() -> None:
    below, above = Registry(), Registry()
    below.on("a")(print)
    above.include(below, prefix="shop.")
    assert list(above.handlers) == ["shop.print"]
    with pytest.raises(RegistrationError, match=r"'shop\.print' is registered already"):
        above.include(below, prefix="shop.")


def test_a_wrapped_registry_has_its_handlers_wrapped() -> None:
    registry = Registry()
    registry.on("a")(print)
    assert one(registry.wrapped(lambda function: repr)).function.call is repr


def nothing() -> None: ...


def two(one: Any, other: Any) -> None: ...


def by_name(*, event: Any) -> None: ...


async def later(event: Any) -> None: ...


@pytest.mark.parametrize("function", [nothing, two, by_name, 7])
def test_what_cannot_be_called_with_one_event_is_no_handler(function: Any) -> None:
    with pytest.raises(RegistrationError):
        Registry().on("a")(function)


def test_a_coroutine_function_can_be_a_handler() -> None:
    registry = Registry()
    registry.on("a")(later)
    assert one(registry).function.is_async


def test_two_handlers_have_two_names() -> None:
    registry = Registry()
    registry.on("a")(print)
    with pytest.raises(RegistrationError, match="'print' is registered already"):
        registry.on("b")(print)
    with pytest.raises(RegistrationError, match="no retry="):
        registry.on("b", name="other", idempotent=False, retry=Retry())(print)


@pytest.mark.parametrize(
    ("patterns", "options", "sentence"),
    [
        ((), {}, "say which events it is for"),
        ((print,), {}, "a pattern is text"),
        (("a*",), {}, "whole words"),
        (("a",), {"exchange": ""}, "default exchange"),
        (("a",), {"name": "x" * 101}, "at most 100 bytes"),
    ],
)
def test_what_is_wrong_is_told_when_it_is_registered(
    patterns: tuple[Any, ...], options: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ConfigurationError, match=sentence):
        Registry().on(*patterns, **options)(print)
