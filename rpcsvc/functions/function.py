"""One function of a registry: its signature, and the check of arguments before anything runs.

Arguments are bound as Python binds them and checked against the annotations as PEP 484 reads them (an int passes for
a float; every item of a `list[int]` is looked at). Whatever does not fit is `InvalidParams`, and nothing has run.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import ConfigurationError, InvalidParams, RegistrationError
from ..settings.limits import NO_LIMITS, Limits
from ..wire.names import RESERVED_PREFIX
from .annotations import misfit
from .checks import Check, compile_check
from .retry import Retry

MAX_NAME_BYTES = 255
"""A method's name travels in the AMQP property `type`, a short string."""
MAX_ATTEMPTS = 100
"""The most that `max_attempts` may be: each takes a worker down."""

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


@dataclass(frozen=True, slots=True)
class Function:
    """One function of a registry.

    Attributes:
        name: what callers call it.
        call: the Python function.
        signature: its signature, with annotations resolved.
        idempotent: whether running it twice for one call does no harm.
        limits: how long a call may take, and how much memory.
        max_attempts: how often a call is tried whose worker dies over it.
        retry: how casts and events are tried again, if it says so.
        is_async: whether a call of it gives a coroutine, which an event loop runs.
    """

    name: str
    call: Callable[..., Any]
    signature: inspect.Signature
    idempotent: bool
    _checks: Mapping[str, Check]
    _by_position: tuple[Check | None, ...]
    _required: int
    limits: Limits = NO_LIMITS
    max_attempts: int = 1
    retry: Retry | None = None
    is_async: bool = False

    def __post_init__(self) -> None:
        if type(self.max_attempts) is not int or not 1 <= self.max_attempts <= MAX_ATTEMPTS:
            raise ConfigurationError(f"{self.name}: max_attempts is 1 to {MAX_ATTEMPTS}, not {self.max_attempts!r}")
        if self.max_attempts > 1 and not self.idempotent:
            raise RegistrationError(f"{self.name}: what must not run twice has max_attempts=1")
        if self.retry is not None and not isinstance(self.retry, Retry):
            raise ConfigurationError(f"{self.name}: retry is a rpcsvc.Retry(…), not {self.retry!r}")
        if self.retry is not None and not self.idempotent:
            raise RegistrationError(
                f"{self.name}: what must not run twice has no retry=; it may raise RetryLater where nothing was done"
            )

    @property
    def summary(self) -> str:
        """The first line of the docstring."""
        return (inspect.getdoc(self.call) or "").split("\n", 1)[0]

    def prepare(self) -> None:
        """Make ready what the first check of arguments would have to.

        Raises:
            RegistrationError: an annotation constrains what it cannot.
        """
        for name, check in self._checks.items():
            try:
                check.prepare()
            except Exception as error:
                raise RegistrationError(f"{self.name}: {name!r} cannot be checked as annotated: {error}") from error

    def check(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        """See that the arguments fit.

        Raises:
            InvalidParams: they do not; the sentence names the argument.
        """
        if not kwargs and self._required <= len(args) <= len(self._by_position):
            # The common call binds by counting; inspect's own binding costs several microseconds.
            for position, (value, check) in enumerate(zip(args, self._by_position, strict=False)):
                if check is not None and (wrong := check.wrong(value)):
                    raise self._wrong_argument(list(self.signature.parameters)[position], wrong)
            return
        try:
            bound = _bind(self.signature, args, kwargs)
        except TypeError as error:
            raise InvalidParams(f"{self.name}: {error}; it is declared {self.name}{self.signature}") from None
        for name, value in bound.items():
            self._check_bound(name, value)

    def accepts(self, columns: Sequence[Sequence[Any]]) -> bool:
        """Whether every row of these columns fits, as far as the exact types of the values can tell.

        Args:
            columns: for each positional argument, its values for all the calls.
        """
        if not self._required <= len(columns) <= len(self._by_position):
            return False
        return all(
            check is None or (check.exact is not None and check.exact.issuperset(map(type, column)))
            for column, check in zip(columns, self._by_position, strict=False)
        )

    def _check_bound(self, name: str, value: Any) -> None:
        check = self._checks.get(name)
        if check is None:
            return
        kind = self.signature.parameters[name].kind
        values = (
            value
            if kind is inspect.Parameter.VAR_POSITIONAL
            else value.values()
            if kind is inspect.Parameter.VAR_KEYWORD
            else (value,)
        )
        for item in values:
            if wrong := check.wrong(item):
                raise self._wrong_argument(name, wrong)

    def _wrong_argument(self, name: str, wrong: str) -> InvalidParams:
        bad = misfit(self.signature.parameters[name].annotation)
        if bad is not None:
            wrong += f"; no {bad} travels, so leave it out"
        return InvalidParams(f"{self.name}: argument {name!r} {wrong}", data={"argument": name})


def entry_of(function: Callable[..., Any], name: str | None, idempotent: bool, check: bool) -> Function:
    """A Python function as one of a registry.

    Raises:
        RegistrationError: it cannot be that.
    """
    if not callable(function):
        raise RegistrationError(f"only a callable can be registered, not {type(function).__name__}")
    chosen = checked_name(getattr(function, "__name__", None) if name is None else name)
    if _generates(function) or _generates(type(function).__call__):
        raise RegistrationError(
            f"{chosen}: a call has one result; wrap this generator in a function that returns a list"
        )
    signature = _signature(chosen, function, resolve=check)
    if check:
        _refuse_misfits(chosen, signature)
    checks = {
        parameter.name: made
        for parameter in signature.parameters.values()
        if check and (made := compile_check(parameter.annotation)) is not None
    }
    parameters = list(signature.parameters.values())
    positional = [p for p in parameters if p.kind in _POSITIONAL]
    needs_names = any(p.kind is p.KEYWORD_ONLY and p.default is p.empty for p in parameters)
    required = sum(p.default is p.empty for p in positional)
    return Function(
        name=chosen,
        call=function,
        signature=signature,
        idempotent=idempotent,
        _checks=checks,
        _by_position=tuple(checks.get(p.name) for p in positional),
        # A call by position alone cannot satisfy a required keyword: let `bind` say so.
        _required=len(positional) + 1 if needs_names else required,
        is_async=inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__),
    )


def _bind(signature: inspect.Signature, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Mapping[str, Any]:
    """The values by their parameters' names.

    Raises:
        TypeError: they do not bind.
    """
    # Python 3.13.0 binds without a required one that is positional only where `**` takes a keyword of that name.
    for parameter in list(signature.parameters.values())[len(args) :]:
        required = parameter.kind is parameter.POSITIONAL_ONLY and parameter.default is parameter.empty
        if required and parameter.name in kwargs:
            raise TypeError(f"argument {parameter.name!r} is given by its place, not by name")
    return signature.bind(*args, **kwargs).arguments


def _refuse_misfits(name: str, signature: inspect.Signature) -> None:
    """See that a function can be called, and can answer.

    Raises:
        RegistrationError: nothing that travels fits a parameter that has to be given, or the result.
    """
    way_out = "annotate what travels and build the other inside the function, or register with check=False"
    for parameter in signature.parameters.values():
        # One that may be left out does no harm: callers leave it out.
        if parameter.default is parameter.empty and (bad := misfit(parameter.annotation)) is not None:
            raise RegistrationError(f"{name}: nothing fits {parameter.name!r}, since no {bad} travels; {way_out}")
    if (bad := misfit(signature.return_annotation)) is not None:
        raise RegistrationError(f"{name}: its result would be a {bad}, and none travels; {way_out}")


def returns_at_once(function: object) -> bool:
    """Whether a call computes nothing yet but gives a coroutine or a generator."""
    return inspect.iscoroutinefunction(function) or _generates(function)


def _generates(function: object) -> bool:
    return inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function)


def checked_name(name: object) -> str:
    """The name of a function, if it can be one.

    Raises:
        RegistrationError: it cannot.
    """
    if not isinstance(name, str) or not name:
        raise RegistrationError("a function without a name of its own needs name=")
    if name.startswith(RESERVED_PREFIX):
        raise RegistrationError(
            f"{name!r}: names that begin with {RESERVED_PREFIX!r} belong to the protocol; choose another"
        )
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        raise RegistrationError(f"{name!r} holds a lone surrogate, which UTF-8 cannot carry; choose another") from None
    if size > MAX_NAME_BYTES:
        raise RegistrationError(f"a name has at most {MAX_NAME_BYTES} bytes in UTF-8: {name[:40]!r}…")
    return name


def _signature(name: str, function: Callable[..., Any], *, resolve: bool) -> inspect.Signature:
    try:
        return inspect.signature(function, eval_str=resolve)
    except (NameError, AttributeError, SyntaxError) as error:
        raise RegistrationError(
            f"{name}: an annotation cannot be resolved ({error}); import it at run time, or register with check=False"
        ) from error
    except (ValueError, TypeError) as error:
        raise RegistrationError(f"{name}: Python cannot tell its signature ({error}); wrap it in a def") from error
