"""The broker has no memory or no disk left, and takes nothing from whoever publishes."""

from __future__ import annotations

import math
from collections.abc import Callable

from ..checker import Rules
from ..figures import Figures
from ..load import Load
from ..scenario import scenario
from ..stage import Stage

_LASTS = 5.0
"""Seconds of an alarm, and of the pause after it."""
_OPTIONS = {
    # Some calls are over before the alarm is, others outlast it.
    "load": Load(rate=60.0, timeouts=(1.0, 8.0), pack=False),
    "allowed": {"RpcTimeout"},
    # The broker stops in the middle of the first message that a connection publishes in an alarm, and says so then; on
    # a busy machine another one goes out before that is heard. It reads on when the alarm is over, and the message's
    # `expiration` counts from then. When the alarm begins in the fault depends on how long `rabbitmqctl` takes.
    "rules": Rules(held_up=math.inf, most_held_up=2, aftermath=5.0),
    "figures": Figures(least_ok=0.3),
    "short": 3.0,
}


def _alarms(stage: Stage, name: str, alarm: Callable[[bool], None]) -> None:
    while stage.remaining:
        with stage.fault(name):
            try:
                alarm(True)
                stage.sleep(_LASTS)
            finally:
                alarm(False)  # whatever comes, or the next run would begin in it
        stage.sleep(_LASTS)


@scenario("memory-alarm", "the broker has no memory left, for five seconds in ten", **_OPTIONS)
def memory_alarm(stage: Stage) -> None:
    _alarms(stage, "no memory", stage.rabbitmqctl.set_memory_alarm)


@scenario("disk-alarm", "the broker has no disk left, for five seconds in ten", **_OPTIONS)
def disk_alarm(stage: Stage) -> None:
    _alarms(stage, "no disk", stage.rabbitmqctl.set_disk_alarm)
