"""The broker closes connections, stops and is killed.

Calls have time until it is back, so that only those that must not run twice have an excuse.
"""

from __future__ import annotations

from ..checker import Rules
from ..load import Load
from ..scenario import scenario
from ..stage import Stage

PATIENT = Load(timeouts=(20.0, 30.0), wait_for_server=15.0)
"""Calls that outlast a broker's restart, on a busy machine too."""


@scenario(
    "close-connections",
    "the broker closes every connection, every five seconds",
    allowed={"OutcomeUnknown"},
    # A call is sent three times at most, and each of those may be delivered again.
    rules=Rules(most_starts=9, aftermath=2.0),
    short=2.0,
)
def close_connections(stage: Stage) -> None:
    for _ in stage.every(5.0):
        with stage.fault("connections are closed"):
            stage.rabbitmqctl.close_all_connections()


@scenario(
    "broker-restart",
    "RabbitMQ stops inside its node, and starts again after up to six seconds, every fifteen",
    load=PATIENT,
    allowed={"OutcomeUnknown"},
    rules=Rules(aftermath=5.0),
    short=1.0,
)
def broker_restart(stage: Stage) -> None:
    for _ in stage.every(15.0):
        with stage.fault("the broker is stopped"):
            stage.rabbitmqctl.stop_app()
            # The longer it is away, the longer are the pauses between attempts to reach it.
            stage.sleep(stage.chance.uniform(0.0, 6.0))
            stage.rabbitmqctl.start_app()


@scenario(
    "broker-kill",
    "SIGKILL of the broker, which is started again after up to six seconds, every twenty",
    load=PATIENT,
    allowed={"OutcomeUnknown"},
    rules=Rules(aftermath=5.0),
    short=1.0,
)
def broker_kill(stage: Stage) -> None:
    for _ in stage.every(20.0):
        with stage.fault("the broker is killed"):
            stage.broker.kill()
            stage.sleep(stage.chance.uniform(0.0, 6.0))
            stage.broker.start()
