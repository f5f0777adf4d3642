"""The functions that a pool serves, and those that it calls with events: a registry of them, in their order."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, TypeVar, overload

from ..errors import RegistrationError
from ..settings.limits import NO_LIMITS, Limits
from .function import Function, checked_name, entry_of, returns_at_once
from .handlers import Handler, check_handler
from .retry import Retry

F = TypeVar("F", bound=Callable[..., Any])
Init = TypeVar("Init", bound=Callable[[], object])


class Registry:
    """A named set of functions, in the order they were registered.

        registry = Registry()

        @registry.function
        def area(width: float, height: float) -> float: ...

    Args:
        default: the name of the function that a bare JSON number or string calls (the official RabbitMQ tutorials send
            such bodies); None refuses them.
    """

    def __init__(self, *, default: str | None = None) -> None:
        self.default = default
        self._functions: dict[str, Function] = {}
        self._handlers: dict[str, Handler] = {}
        self._worker_inits: list[Callable[[], object]] = []

    @overload
    def function(self, function: F, /) -> F: ...

    @overload
    def function(
        self,
        /,
        *,
        name: str | None = None,
        idempotent: bool = True,
        check: bool = True,
        time_limit: float | None = None,
        soft_time_limit: float | None = None,
        memory_limit: int | None = None,
        max_attempts: int = 1,
        retry: Retry | None = None,
    ) -> Callable[[F], F]: ...

    def function(
        self,
        function: F | None = None,
        /,
        *,
        name: str | None = None,
        idempotent: bool = True,
        check: bool = True,
        time_limit: float | None = None,
        soft_time_limit: float | None = None,
        memory_limit: int | None = None,
        max_attempts: int = 1,
        retry: Retry | None = None,
    ) -> F | Callable[[F], F]:
        """Register a function; the decorator gives it back unchanged.

        Args:
            name: what callers call it; None takes the function's own name.
            idempotent: whether it may run again when a first run may have happened (redelivery, lost connection).
            check: whether arguments are checked against annotations; False binds them only.
            time_limit: seconds after which a call's worker is killed; None takes the server's.
            soft_time_limit: seconds after which TimeLimitExceeded is raised inside the function; likewise.
            memory_limit: bytes; a worker that takes more in a call is killed; likewise.
            max_attempts: how often a call is tried whose worker dies over it, the first time included; above 1 for
                idempotent functions only.
            retry: how casts and events are tried again that raise; idempotent functions only. None tries those once.

        Raises:
            ConfigurationError: a limit is no time or no size, the soft one not below the hard one, max_attempts out of
                range, or retry no Retry.
            RegistrationError: the name is taken, reserved or malformed, this is nothing that a worker can call, no
                value that travels fits an annotation, or what must not run twice has a retry, or max_attempts above 1.
        """

        def register(target: F) -> F:
            limits = Limits(soft_time_limit, time_limit, memory_limit)
            entry = entry_of(target, name, idempotent, check)
            self._insert(replace(entry, limits=limits, max_attempts=max_attempts, retry=retry))
            return target

        return register if function is None else register(function)

    def add(
        self,
        function: Callable[..., Any],
        *,
        name: str | None = None,
        idempotent: bool = True,
        check: bool = True,
        limits: Limits = NO_LIMITS,
        max_attempts: int = 1,
        retry: Retry | None = None,
    ) -> Function:
        """Register a function without a decorator; see `function`."""
        entry = entry_of(function, name, idempotent, check)
        return self._insert(replace(entry, limits=limits, max_attempts=max_attempts, retry=retry))

    def on(
        self,
        *patterns: str,
        exchange: str | None = None,
        name: str | None = None,
        idempotent: bool = True,
        time_limit: float | None = None,
        soft_time_limit: float | None = None,
        memory_limit: int | None = None,
        retry: Retry | None = None,
    ) -> Callable[[F], F]:
        """Have a function called with each event of some topics; the decorator gives it back unchanged.

            @registry.on("order.*.paid")
            def send_receipt(event: Event) -> None: ...

        Each event is handled once, however many pools serve the queue: at least once, as casts are done, and with their
        retries and dead letters.

        Args:
            patterns: of the topics: words with dots between, `*` for one word, `#` for any number of them.
            exchange: an exchange of others, to be heard in place of ours.
            name: of the handler, from which its queue has its name; None takes the function's own.
            idempotent, time_limit, soft_time_limit, memory_limit, retry: as for `function`.

        Raises:
            ConfigurationError: a pattern, the exchange, the name or a limit is wrong.
            RegistrationError: the name is taken, or this is nothing that a worker can call with an event.
        """

        def register(target: F) -> F:
            limits = Limits(soft_time_limit, time_limit, memory_limit)
            entry = replace(entry_of(target, name, idempotent, check=False), limits=limits, retry=retry)
            self._insert_handler(check_handler(Handler(entry, patterns, exchange)))
            return target

        return register

    @property
    def handlers(self) -> Mapping[str, Handler]:
        """What is called with events, by name."""
        return self._handlers

    def _insert_handler(self, handler: Handler) -> None:
        if handler.name in self._handlers:
            raise RegistrationError(
                f"a handler named {handler.name!r} is registered already; give this one another name="
            )
        self._handlers[handler.name] = handler

    def worker_init(self, function: Init, /) -> Init:
        """Have a function called in each worker before its first call; the decorator gives it back unchanged.

        For what does not survive a fork, or is not to be shared: connections, threads, a library's own pool of them. If
        it raises, the worker has failed to start. Several are called in the order they were registered.

        Raises:
            RegistrationError: it cannot be called without arguments, or is no plain function.
        """
        name = getattr(function, "__name__", type(function).__name__)
        if not callable(function) or returns_at_once(function) or returns_at_once(type(function).__call__):
            raise RegistrationError(f"worker_init: {name} is no plain function, which a worker could call")
        try:
            inspect.signature(function).bind()
        except TypeError as error:
            raise RegistrationError(f"worker_init: {name} is called without arguments: {error}") from None
        except ValueError:  # some functions in C have no signature
            pass
        self._worker_inits.append(function)
        return function

    @property
    def worker_inits(self) -> tuple[Callable[[], object], ...]:
        """What a worker calls before its first call."""
        return tuple(self._worker_inits)

    def _insert(self, entry: Function) -> Function:
        if entry.name in self._functions:
            raise RegistrationError(
                f"a function named {entry.name!r} is registered already; give this one another name="
            )
        self._functions[entry.name] = entry
        return entry

    def include(self, other: Registry, *, prefix: str = "") -> None:
        """Register all of `other` here too, names behind `prefix`: functions, handlers, what workers call first."""
        for entry in list(other):
            self._insert(replace(entry, name=checked_name(prefix + entry.name)))
        for handler in list(other.handlers.values()):
            function = replace(handler.function, name=prefix + handler.name)
            self._insert_handler(check_handler(replace(handler, function=function)))
        self._worker_inits += [each for each in other.worker_inits if each not in self._worker_inits]

    def wrapped(self, wrap: Callable[[Function], Callable[..., Any]]) -> Registry:
        """The same functions and handlers, each called through what `wrap` makes of it."""
        made = Registry(default=self.default)
        made._handlers = {
            name: replace(each, function=replace(each.function, call=wrap(each.function)))
            for name, each in self._handlers.items()
        }
        made._functions = {name: replace(entry, call=wrap(entry)) for name, entry in self._functions.items()}
        return made

    def prepare(self) -> None:
        """Make ready what first calls would have to; for the process from which workers are forked.

        Raises:
            RegistrationError: an annotation constrains what it cannot.
        """
        for function in self:
            function.prepare()

    def get(self, name: str) -> Function | None:
        """The function of that name, or None."""
        return self._functions.get(name)

    def __contains__(self, name: object) -> bool:
        return name in self._functions

    def __iter__(self) -> Iterator[Function]:
        return iter(self._functions.values())

    def __len__(self) -> int:
        return len(self._functions)

    def __repr__(self) -> str:
        return f"<Registry of {len(self)}: {', '.join(self._functions)}>"
