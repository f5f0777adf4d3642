from __future__ import annotations

from typing import Any

import pytest

from rpcsvc import functions
from rpcsvc.errors import InvalidParams
from rpcsvc.functions import builtin, registry

NAMES = ["fib", "is_prime", "factorize", "sha256", "monte_carlo_pi", "echo", "sleep"]


def check(name: str, *args: Any, **kwargs: Any) -> None:
    function = registry.get(name)
    assert function is not None
    function.check(args, kwargs)


def test_the_built_in_functions_are_served_under_their_own_names_and_all_may_run_again() -> None:
    assert [function.name for function in registry] == NAMES
    assert all(function.idempotent for function in registry)


def test_the_package_offers_them_and_nothing_else() -> None:
    assert all(getattr(functions, name) is getattr(builtin, name) for name in [*NAMES, "registry"])
    with pytest.raises(AttributeError, match=r"module 'rpcsvc\.functions' has no attribute 'fibonacci'"):
        functions.fibonacci  # noqa: B018


def test_a_bare_body_calls_fib() -> None:
    assert registry.default == "fib"


def test_every_function_says_in_one_line_what_it_does() -> None:
    assert all(function.summary.endswith(".") for function in registry)


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("fib", (30,)),
        ("is_prime", (97,)),
        ("factorize", (60,)),
        ("sha256", ("text", 2)),
        ("sha256", (b"bytes",)),
        ("monte_carlo_pi", (10, None)),
        ("monte_carlo_pi", (10, 1)),
        ("echo", ({"any": [1, None]},)),
        ("sleep", (1,)),
    ],
    ids=str,
)
def test_arguments_of_the_right_types_pass(name: str, args: tuple[Any, ...]) -> None:
    check(name, *args)


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("fib", ("30",)),
        ("fib", (30.0,)),
        ("fib", ()),
        ("sha256", (5,)),
        ("monte_carlo_pi", (10, "x")),
        ("sleep", ("1",)),
    ],
    ids=str,
)
def test_arguments_of_wrong_types_are_refused_before_the_function_runs(name: str, args: tuple[Any, ...]) -> None:
    with pytest.raises(InvalidParams):
        check(name, *args)
