"""The registry: what may be registered, under which names, and one registry in another."""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import AsyncIterator, Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from rpcsvc.errors import ConfigurationError, InvalidParams, RegistrationError
from rpcsvc.functions.function import MAX_ATTEMPTS, MAX_NAME_BYTES, Function
from rpcsvc.functions.registration import Registry

if TYPE_CHECKING:
    from nowhere import OnlyForTheTypeChecker


def _entry(function: Callable[..., Any], **options: Any) -> Function:
    return Registry().add(function, name="f", **options)


def _accepts(function: Function, *args: Any, **kwargs: Any) -> bool:
    try:
        function.check(args, kwargs)
    except InvalidParams:
        return False
    return True


# ---- registering ------------------------------------------------------------------------------------------------


def test_the_decorator_gives_the_function_back_unchanged() -> None:
    registry = Registry()

    def area(width: float, height: float) -> float:
        """The area of a rectangle.

        In square metres.
        """
        return width * height

    assert registry.function(area) is area
    entry = registry.get("area")
    assert entry is not None
    assert entry.call is area
    assert (entry.name, entry.idempotent, entry.summary) == ("area", True, "The area of a rectangle.")


def test_the_decorator_takes_options() -> None:
    registry = Registry()

    @registry.function(name="shop.charge", idempotent=False)
    def charge(amount: int) -> int:
        return amount

    entry = registry.get("shop.charge")
    assert entry is not None
    assert (entry.name, entry.idempotent, entry.summary) == ("shop.charge", False, "")
    assert charge(3) == 3


def test_a_registry_shows_its_functions_in_the_order_of_registration() -> None:
    registry = Registry(default="b")
    registry.add(lambda: 1, name="b")
    registry.add(lambda: 2, name="a")

    assert [function.name for function in registry] == ["b", "a"]
    assert len(registry) == 2
    assert "a" in registry
    assert "c" not in registry
    assert registry.get("c") is None
    assert registry.default == "b"
    assert repr(registry) == "<Registry of 2: b, a>"


def test_a_name_is_given_once() -> None:
    registry = Registry()
    registry.add(lambda: 1, name="f")

    with pytest.raises(RegistrationError, match="'f' is registered already"):
        registry.add(lambda: 2, name="f")

    first = registry.get("f")
    assert first is not None
    assert first.call() == 1


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("", "needs name="),
        ("rpc.ping", "belong to the protocol"),
        ("rpc.", "belong to the protocol"),
        ("é" * 128, f"at most {MAX_NAME_BYTES} bytes"),
        ("a\ud800", "lone surrogate"),
    ],
)
def test_a_name_that_could_not_be_called_is_refused(name: str, sentence: str) -> None:
    with pytest.raises(RegistrationError, match=sentence):
        Registry().add(lambda: 1, name=name)


@pytest.mark.parametrize("name", ["rpc", "rpcs.x", "fib!", "площадь", "a" * MAX_NAME_BYTES])
def test_any_other_name_is_taken(name: str) -> None:
    assert Registry().add(lambda: 1, name=name).name == name


def test_a_callable_without_a_name_of_its_own_needs_one() -> None:
    add_one = functools.partial(operator.add, 1)
    with pytest.raises(RegistrationError, match="needs name="):
        Registry().add(add_one)
    assert Registry().add(add_one, name="add_one").call(2) == 3


@pytest.mark.parametrize("thing", [5, "fib", None])
def test_what_cannot_be_called_cannot_be_registered(thing: Any) -> None:
    with pytest.raises(RegistrationError, match=f"not {type(thing).__name__}"):
        Registry().add(thing, name="f")


async def _coroutine() -> int:
    return 1


def _generator() -> Iterator[int]:
    yield 1


async def _async_generator() -> AsyncIterator[int]:
    yield 1


class _AsyncCallable:
    async def __call__(self) -> int:
        return 1


@pytest.mark.parametrize("function", [_generator, _async_generator, functools.partial(_generator)])
def test_a_generator_is_refused(function: Callable[..., Any]) -> None:
    with pytest.raises(RegistrationError, match="a call has one result"):
        Registry().add(function, name="f")


@pytest.mark.parametrize("function", [_coroutine, functools.partial(_coroutine), _AsyncCallable()])
def test_a_coroutine_function_is_known_as_one(function: Callable[..., Any]) -> None:
    registry = Registry()
    assert registry.add(function, name="f").is_async
    assert not registry.add(lambda: 1, name="g").is_async
    wrapped = registry.wrapped(lambda _: lambda: 2).get("f")
    assert wrapped is not None
    assert wrapped.is_async


def test_methods_classes_partials_and_builtins_are_callables_like_others() -> None:
    class Counter:
        def up(self, by: int) -> int:
            return 1 + by

        def __call__(self, by: int) -> int:
            return by

    for function in (Counter().up, Counter(), functools.partial(pow, 2), math.isqrt):
        assert _accepts(_entry(function), 5)
    assert not _accepts(_entry(Counter().up), "5")
    assert not _accepts(_entry(Counter()), 5, 6)


def test_a_builtin_without_a_signature_is_refused_with_the_way_out() -> None:
    with pytest.raises(RegistrationError, match="wrap it in a def"):
        Registry().add(int)


def _only_type_checked(x: OnlyForTheTypeChecker) -> None: ...


def _misspelt(x: math.Nothing) -> None: ...  # type: ignore[name-defined]


def _prose(x: int) -> None: ...


_prose.__annotations__["x"] = "the number of items"


@pytest.mark.parametrize("function", [_only_type_checked, _misspelt, _prose])
def test_an_annotation_that_cannot_be_resolved_is_refused_when_the_server_starts(function: Callable[..., Any]) -> None:
    with pytest.raises(RegistrationError, match="check=False"):
        Registry().add(function)
    assert _accepts(_entry(function, check=False), object())


# ---- one registry in another ------------------------------------------------------------------------------------


def test_a_registry_is_included_as_it_is_under_a_prefix() -> None:
    shop = Registry(default="strict")

    @shop.function(idempotent=False)
    def strict(n: int) -> str:
        return "n" * n

    @shop.function(check=False)
    def loose(n: OnlyForTheTypeChecker) -> Any:
        return n

    @shop.function
    def unannotated(n) -> str:  # type: ignore[no-untyped-def]
        return str(n)

    registry = Registry()
    registry.include(shop, prefix="shop.")

    assert [function.name for function in registry] == ["shop.strict", "shop.loose", "shop.unannotated"]
    assert registry.default is None
    for before, after in zip(shop, registry, strict=True):
        assert after.call is before.call
        assert after.idempotent == before.idempotent
        assert after.signature == before.signature
        assert _accepts(after, "x") == _accepts(before, "x")
    assert [_accepts(function, "x") for function in registry] == [False, True, True]


def test_what_is_included_may_not_break_the_rules_of_names() -> None:
    shop = Registry()
    shop.add(lambda: 1, name="ping")
    taken = Registry()
    taken.add(lambda: 2, name="ping")

    with pytest.raises(RegistrationError, match="registered already"):
        taken.include(shop)
    with pytest.raises(RegistrationError, match="belong to the protocol"):
        Registry().include(shop, prefix="rpc.")


def test_a_registry_may_include_itself_under_another_name() -> None:
    registry = Registry()
    registry.add(lambda: 1, name="f")

    registry.include(registry, prefix="old.")

    assert [function.name for function in registry] == ["f", "old.f"]


def test_a_registry_may_be_wrapped_and_the_original_stays_as_it_is() -> None:
    registry = Registry(default="f")

    @registry.function(idempotent=False)
    def f(n: int) -> int:
        return n

    twice = registry.wrapped(lambda function: lambda n: 2 * function.call(n))

    entry, original = twice.get("f"), registry.get("f")
    assert entry is not None
    assert original is not None
    assert (entry.call(21), original.call(21)) == (42, 21)
    assert (entry.idempotent, twice.default) == (False, "f")
    with pytest.raises(InvalidParams):
        entry.check(["x"], {})


# ---- attempts ---------------------------------------------------------------------------------------------------


def test_a_call_is_tried_once_unless_its_function_says_otherwise() -> None:
    registry = Registry()

    @registry.function(max_attempts=3)
    def f() -> None: ...

    @registry.function
    def g() -> None: ...

    assert [entry.max_attempts for entry in registry] == [3, 1]


@pytest.mark.parametrize("attempts", [0, -1, MAX_ATTEMPTS + 1, 1.5, True, "3", None])
def test_attempts_are_counted_in_whole_numbers(attempts: Any) -> None:
    with pytest.raises(ConfigurationError, match="f: max_attempts is 1 to"):
        _entry(lambda: None, max_attempts=attempts)


def test_what_must_not_run_twice_has_one_attempt() -> None:
    assert _entry(lambda: None, idempotent=False, max_attempts=1).max_attempts == 1
    with pytest.raises(RegistrationError, match="must not run twice"):
        _entry(lambda: None, idempotent=False, max_attempts=2)


class TestWorkerInit:
    def test_what_workers_call_first_is_kept_in_order_and_given_back(self) -> None:
        registry = Registry()

        @registry.worker_init
        def one() -> None: ...

        @registry.worker_init
        def two(size: int = 3) -> None: ...

        assert registry.worker_inits == (one, two)
        assert len(registry) == 0

    def test_including_a_registry_includes_it_once(self) -> None:
        inner, outer = Registry(), Registry()
        inner.worker_init(print)
        outer.include(inner, prefix="a.")
        outer.include(inner, prefix="b.")
        assert outer.worker_inits == (print,)

    def test_what_a_worker_cannot_call_is_refused(self) -> None:
        async def coroutine() -> None: ...

        def needs(path: str) -> None: ...

        for wrong in (coroutine, 3):
            with pytest.raises(RegistrationError, match="no plain function"):
                Registry().worker_init(wrong)  # type: ignore[type-var]
        with pytest.raises(RegistrationError, match=r"needs is called without arguments.*'path'"):
            Registry().worker_init(needs)  # type: ignore[type-var]

    def test_a_function_in_c_without_a_signature_is_taken(self) -> None:
        registry = Registry()
        registry.worker_init(dict)
        assert registry.worker_inits == (dict,)
