"""The harness catches what it is there for: a service with a bug in it does not pass, the same run without it does.

Each time a bug of the pool and one of the client are planted. The others are long: the models of both engines find such
bugs in memory, each time (`tests/unit/server`, `tests/unit/client`).
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from harness.load import Load
from harness.runner import Result, run
from harness.scenario import Scenario
from harness.stage import Stage

from rpcsvc.broker import PrivateBroker
from rpcsvc.testing.waiting import TIME_FACTOR

PLANTED = Path(__file__).parent / "planted"


def _quiet(stage: Stage) -> None:
    stage.sleep(stage.remaining)


def _kill_servers(stage: Stage) -> None:
    for _ in stage.every(1.0):
        stage.servers.start()
        with stage.fault("a server is killed"):
            stage.servers.kill(stage.servers.running[0])


QUIET = Scenario("planted-quiet", "no fault", _quiet, workers=2, load=Load(clients=1, rate=60))
KILLS = Scenario(
    "planted-kills",
    "servers are killed while they compute calls that must not run twice",
    _kill_servers,
    servers=2,
    workers=2,
    load=Load(mix={"once": 3, "nap": 1, "tiny": 1}, rate=60),
    allowed={"OutcomeUnknown"},
)
CONFIRMS = replace(
    KILLS,
    name="planted-confirms",
    says="servers are killed while replies wait to be confirmed",
    workers=6,
    load=replace(KILLS.load, rate=30),
)


def _run(scenario: Scenario, broker: PrivateBroker, bug: str | None = None, *, seconds: float = 3.0) -> Result:
    environ = {} if bug is None else {"PYTHONPATH": str(PLANTED), "RPCSVC_CHAOS_PLANTED": bug}
    return run(scenario.stretched(TIME_FACTOR), seconds, broker, warm_up=0.5, calm=1.0, environ=environ)


@pytest.mark.parametrize(
    ("bug", "scenario", "heading"),
    [
        # What is acked and then lost has no reply: its callers run into their time-out, which nothing excuses.
        ("ack_before_the_reply", KILLS, "unexpected"),
        pytest.param("ack_before_the_confirm", CONFIRMS, "unexpected", marks=pytest.mark.long),
        ("correlation_dropped", QUIET, "wrong"),
        pytest.param("retry_of_what_must_not_run_twice", KILLS, "often", marks=pytest.mark.long),
        pytest.param("leaked_pending_calls", QUIET, "pending", marks=pytest.mark.long),
    ],
)
def test_a_planted_bug_is_caught(bug: str, scenario: Scenario, heading: str, broker: PrivateBroker) -> None:
    for _ in range(3):  # a bug shows when a fault comes at its moment, which is for chance to say
        result = _run(scenario, broker, bug, seconds=1.5)
        assert result.verdict.calls > 50, "the load ran"
        if any(text.startswith(f"{heading} ") for text in result.broken):
            return
    pytest.fail(f"{result.broken}\n{result.verdict}")


@pytest.mark.long
def test_without_a_bug_the_run_with_kills_passes(broker: PrivateBroker) -> None:
    """Without a fault a run passes too: that is the scenario `none`."""
    result = _run(KILLS, broker)
    assert result.passed, f"{result.broken}\n{result.verdict}"
    assert result.verdict.outcomes["OutcomeUnknown"], "calls that must not run twice were under way when servers died"


@pytest.mark.long
def test_without_a_bug_the_run_with_slow_confirms_passes(broker: PrivateBroker) -> None:
    result = _run(CONFIRMS, broker, "no_bug_but_slow_confirms")
    assert result.passed, f"{result.broken}\n{result.verdict}"
    assert result.verdict.calls > 50, "the load ran"
