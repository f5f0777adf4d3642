"""Every scenario of the harness, for a few seconds each. `scripts/chaos` runs them for as long as it is told to."""

from __future__ import annotations

import pytest
from harness.runner import run
from harness.scenario import Scenario, all_scenarios

from rpcsvc.broker import PrivateBroker

MOST_CALM = 2.0

KNOWN: dict[str, str] = {}
"""Scenarios that may fail for now, and what keeps them from passing."""


def _with_marks(scenario: Scenario) -> object:
    known = KNOWN.get(scenario.name)
    marks = [] if known is None else [pytest.mark.xfail(reason=known, strict=False)]
    return pytest.param(scenario, id=scenario.name, marks=marks)


@pytest.mark.parametrize("scenario", [_with_marks(each) for each in all_scenarios().values()])
def test_every_promise_is_kept(scenario: Scenario, broker: PrivateBroker) -> None:
    result = run(scenario, scenario.short, broker, calm=min(scenario.calm, MOST_CALM))
    assert result.passed, f"{result.broken}\n{result.verdict}"
