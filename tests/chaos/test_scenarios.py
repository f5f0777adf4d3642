"""Every scenario of the harness, for a few seconds each. `scripts/chaos` runs them for as long as it is told to."""

from __future__ import annotations

import pytest
from harness.runner import run
from harness.scenario import Scenario, all_scenarios

from rpcsvc.broker import PrivateBroker

WARM_UP, MOST_CALM = 0.5, 1.0


@pytest.mark.parametrize("scenario", all_scenarios().values(), ids=lambda scenario: scenario.name)
def test_every_promise_is_kept(scenario: Scenario, broker: PrivateBroker) -> None:
    result = run(scenario, scenario.short, broker, warm_up=WARM_UP, calm=min(scenario.calm, MOST_CALM))
    assert result.passed, f"{result.broken}\n{result.verdict}"
