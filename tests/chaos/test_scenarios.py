"""Scenarios of the harness, for a few seconds each. `scripts/chaos` runs them for as long as it is told to.

Six are run each time. Each is load under a fault that touches another part of a call's way, and no test without load
sees what they see, that every call of hundreds comes to its end: a worker dies, a server dies, a server drains, the
connections of both sides go, the broker goes with all that it held, callers give up. What the others do a test of its
own does too (alarms, queues and nodes that go, black holes, hostile messages, limits); they are long.
"""

from __future__ import annotations

import pytest
from harness.runner import run
from harness.scenario import Scenario, all_scenarios

from rpcsvc.broker import PrivateBroker
from rpcsvc.testing.waiting import TIME_FACTOR

EACH_TIME = {"kill-workers", "kill-server", "rolling-restart", "close-connections", "broker-kill", "cancel"}
WARM_UP, MOST_CALM = 0.5, 1.0


@pytest.mark.parametrize(
    "scenario",
    [
        pytest.param(scenario, id=name, marks=() if name in EACH_TIME else pytest.mark.long)
        for name, scenario in all_scenarios().items()
    ],
)
def test_every_promise_is_kept(scenario: Scenario, broker: PrivateBroker) -> None:
    scenario = scenario.stretched(TIME_FACTOR)
    result = run(scenario, scenario.short, broker, warm_up=WARM_UP, calm=min(scenario.calm, MOST_CALM))
    assert result.passed, f"{result.broken}\n{result.verdict}"


def test_each_scenario_that_is_run_each_time_is_there() -> None:
    assert all_scenarios().keys() >= EACH_TIME
