"""The two arithmetics of the built-in functions: with gmpy2, and with plain ints as if it were not installed."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from rpcsvc.functions.builtin._gmp import gmp


@pytest.fixture
def without_gmpy2(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The import system answers as it does where gmpy2 is not installed."""
    monkeypatch.setitem(sys.modules, "gmpy2", None)
    gmp.cache_clear()
    yield
    gmp.cache_clear()


@pytest.fixture(params=["gmpy2", "plain ints"])
def arithmetic(request: pytest.FixtureRequest) -> str:
    """The test runs twice, once with either arithmetic; the name says which."""
    name: str = request.param
    if name == "gmpy2":
        pytest.importorskip("gmpy2")
    else:
        request.getfixturevalue("without_gmpy2")
    return name
