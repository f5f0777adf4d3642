"""Functions that are called with events: of which topics, from which exchange. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import ConfigurationError, RegistrationError
from ..wire.events import check_exchange, check_pattern, handler_queue
from ..wire.names import DEFAULT_QUEUE
from .function import Function


@dataclass(frozen=True, slots=True)
class Handler:
    """A function that is called with events.

    Attributes:
        function: it; what it is called by calls is not its name, and it is not called by them.
        patterns: of the topics.
        exchange: of others; None is ours.
    """

    function: Function
    patterns: tuple[str, ...]
    exchange: str | None = None

    @property
    def name(self) -> str:
        """What its queue has its name from."""
        return self.function.name


def check_handler(handler: Handler) -> Handler:
    """The handler, if it can be one.

    Raises:
        ConfigurationError: its patterns, its exchange or its name are wrong.
        RegistrationError: its function cannot be called with an event.
    """
    name, function, exchange = handler.name, handler.function, handler.exchange
    if exchange is not None:
        check_exchange(exchange, written=False)
    if not handler.patterns:
        raise ConfigurationError(f"{name}: say which events it is for, as in @registry.on('order.*.paid')")
    for pattern in handler.patterns:
        check_pattern(pattern, foreign=exchange is not None)
    handler_queue(DEFAULT_QUEUE, name, handler.patterns, exchange or "")
    try:
        function.signature.bind(handler)
    except TypeError as error:
        raise RegistrationError(
            f"{name}: a handler is called with one event; it is declared {name}{function.signature} ({error})"
        ) from None
    return handler
