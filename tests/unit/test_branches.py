"""Which tests are to take every branch of the pure floors (`support.branches`)."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.branches import UNIT, counts


def written() -> None:
    """A test whose examples are written down."""


@given(st.integers())
def made_up(number: int) -> None:
    """A test that makes its examples up."""


@pytest.mark.parametrize(
    ("path", "test", "expected"),
    [
        ("wire/test_jsonrpc.py", written, True),
        ("wire/test_jsonrpc.py", made_up, False),
        ("functions/inner/test_deeper.py", written, True),
        ("test_deadline.py", written, True),
        ("test_layers.py", written, False),
        ("bench/test_bench_report.py", written, False),
        ("../integration/wire/test_jsonrpc.py", written, False),
    ],
)
def test_branches_are_taken_by_tests_of_their_own_room_that_are_written_down(
    path: str, test: Callable[..., None], expected: bool, request: pytest.FixtureRequest
) -> None:
    module = pytest.Module.from_parent(request.session, path=(UNIT / path).resolve())
    assert counts(pytest.Function.from_parent(module, name=test.__name__, callobj=test)) is expected
