"""The harness sees when a cast is lost that was confirmed: a bug planted into pool or client is caught.

The models of casts find the same bugs in memory, each time (`tests/unit/server`, `tests/unit/client`); these are long.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from harness.casting import Caster
from harness.checker import Rules
from harness.figures import Figures
from harness.load import Load
from harness.runner import Result, run
from harness.scenario import Scenario
from harness.stage import Stage

from rpcsvc.amqp import Connection
from rpcsvc.amqp.confirms import Confirms
from rpcsvc.amqp.topology import declare
from rpcsvc.broker import PrivateBroker
from rpcsvc.settings import BrokerUrl
from rpcsvc.testing.waiting import TIME_FACTOR
from rpcsvc.wire.entities import for_delays

pytestmark = pytest.mark.long
PLANTED = Path(__file__).parent / "planted"
CALLS = Load(clients=1, threads=1, rate=10.0, timeouts=(20.0, 30.0), wait_for_server=15.0)
MOST = 120


@pytest.fixture(scope="module", autouse=True)
def _levels(broker: PrivateBroker) -> None:
    """The levels of delay are there: to declare them takes longer than these servers live."""

    async def declare_them() -> None:
        connection = await Connection.open(BrokerUrl.parse(broker.url), role="test", timeout=30)
        await declare(connection, for_delays())
        await connection.close()

    asyncio.run(declare_them())


def _kill_servers_over(mix: dict[str, float], stage: Stage, kills: int, most: int = MOST) -> None:
    with Caster(stage.broker.url, stage.queue, stage.folder, most=most, mix=mix) as caster:
        for number in range(kills):
            caster.wait_until_given(30 * number + 10, patience=60)
            with stage.fault("a server is killed"):
                stage.servers.kill(stage.servers.running[0])
            stage.servers.start()
        caster.wait_until_given(most, patience=60)
        caster.wait_until_done(patience=15 * TIME_FACTOR)


def _kill_the_broker(stage: Stage) -> None:
    with Caster(stage.broker.url, stage.queue, stage.folder, most=3000, threads=32, mix={"tiny": 1.0}) as caster:
        for count in (300, 600):
            caster.wait_until_given(count, patience=60)
            with stage.fault("the broker is killed"):
                stage.broker.kill()
                stage.broker.start()
        caster.wait_until_given(1000, patience=60)
        caster.stop()
        caster.wait_until_done(patience=15 * TIME_FACTOR)


FIGURES = Figures(refill=None, recovery=None, queued=1_000_000, least_given=10)
KILLS = Scenario(
    "planted-copies",
    "servers are killed while casts are tried again",
    lambda stage: _kill_servers_over({"wobble": 1.0}, stage, 2),
    servers=2,
    workers=6,
    load=CALLS,
    allowed={"OutcomeUnknown"},
    figures=FIGURES,
)
CIRCLES = Scenario(
    "planted-circles",
    "casts are tried again, again and again; messages that the broker takes for going in a circle block its levels",
    lambda stage: _kill_servers_over({"stumble": 1.0}, stage, 0, most=20),
    broker_config={"collect_statistics_interval": "5000"},  # which is the default: a broker of its own
    workers=4,
    load=CALLS,
    figures=FIGURES,
)
BROKER_KILLS = Scenario(
    "planted-confirms-of-casts",
    "the broker is killed among casts",
    _kill_the_broker,
    workers=4,
    load=CALLS,
    allowed={"OutcomeUnknown"},
    rules=Rules(most_starts=20),
    figures=FIGURES,
)


def _run(scenario: Scenario, broker: PrivateBroker, bug: str | None = None) -> Result:
    environ = {} if bug is None else {"PYTHONPATH": str(PLANTED), "RPCSVC_CHAOS_PLANTED": bug}
    return run(scenario.stretched(TIME_FACTOR), 3.0, broker, warm_up=0.2, calm=0.2, environ=environ)


def _loses_casts(result: Result) -> bool:
    return any(text.startswith("undone ") for text in result.broken)


def test_an_ack_before_the_copy_is_confirmed_is_caught(broker: PrivateBroker) -> None:
    assert _loses_casts(_run(KILLS, broker, "ack_before_the_copy"))


def test_without_that_bug_the_run_passes(broker: PrivateBroker) -> None:
    result = _run(KILLS, broker, "no_bug_but_slow_copies")
    assert result.passed, f"{result.broken}\n{result.verdict}"


def test_a_copy_that_keeps_x_death_is_caught_where_the_broker_believes_it(broker: PrivateBroker) -> None:
    result = _run(CIRCLES, broker, "copies_keep_x_death")
    assert _loses_casts(result) == _believes_x_death(broker), f"{result.broken}\n{result.verdict}"


def test_a_confirm_that_is_believed_for_the_wrong_tag_is_caught(
    broker: PrivateBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    confirmed = Confirms.confirmed

    def believed(self: Confirms, tag: int, *, multiple: bool) -> None:
        confirmed(self, tag + 32 if tag else tag, multiple=True)

    monkeypatch.setattr(Confirms, "confirmed", believed)
    assert _loses_casts(_run(BROKER_KILLS, broker))


def test_without_those_bugs_the_run_passes(broker: PrivateBroker) -> None:
    for scenario in (CIRCLES, BROKER_KILLS):
        result = _run(scenario, broker)
        assert result.passed, f"{result.broken}\n{result.verdict}"


def _believes_x_death(broker: PrivateBroker) -> bool:
    """RabbitMQ before 4.0.1."""

    async def version() -> tuple[int, ...]:
        connection = await Connection.open(BrokerUrl.parse(broker.url), role="test", timeout=10)
        await connection.close()
        return connection.broker_version or ()

    return asyncio.run(version()) < (4, 0, 1)
