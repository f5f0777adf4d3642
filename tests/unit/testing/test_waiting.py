"""Waiting for conditions, with a bound that the machine stretches."""

from __future__ import annotations

import subprocess
import sys

import pytest

from rpcsvc.testing import scaled, wait_until, waiting


def test_the_first_true_value_is_what_was_waited_for() -> None:
    values = iter([0, None, "there", "late"])
    assert wait_until(lambda: next(values), every=0) == "there"


def test_what_does_not_come_true_is_a_failure_that_says_how_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "TIME_FACTOR", 2.0)
    with pytest.raises(AssertionError, match=r"^still not so after 0\.04 s$"):
        wait_until(lambda: False, within=0.02, every=0.001)


def test_a_condition_that_came_true_in_the_end_counts_although_time_was_up() -> None:
    assert wait_until(lambda: 7, within=0) == 7


def test_bounds_are_stretched_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "TIME_FACTOR", 3.0)
    assert scaled(0.5) == 1.5


def test_pytest_is_needed_by_the_fixtures_alone() -> None:
    program = "import sys; sys.modules['pytest'] = None; import rpcsvc.testing"
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
