"""Too much is asked of the servers, or nobody waits for what they do."""

from __future__ import annotations

from ..checker import Rules
from ..figures import Figures
from ..load import Load
from ..scenario import scenario
from ..stage import Stage

_STEP = 0.025
"""Seconds that a call takes of a worker under overload."""
_WORKERS = 2
CAPACITY = _WORKERS / _STEP
"""Calls a second."""


@scenario(
    "overload",
    "ten times the calls that the pool can make, each with 200 ms; in between, half of what it can make",
    workers=_WORKERS,
    load=Load(clients=2, threads=0, mix={"step": 1}, rate=CAPACITY / 2, most_open=1000, pack=False),
    allowed={"RpcTimeout"},
    # Of two hundred milliseconds, a start may be half that too late: the message's way, and a machine that is busy.
    rules=Rules(most_starts=1, start_slack=0.1, aftermath=5.0),
    figures=Figures(least_ok=0.05, least_offered=5 * CAPACITY, least_useful=CAPACITY / 2, memory=32 << 20),
    calm=7.0,
)
def overload(stage: Stage) -> None:
    # Several times, so that the pool has to find its way back as well as to endure.
    for _ in stage.every(20.0):
        with stage.fault("overload"):
            stage.change_load(rate=10 * CAPACITY, timeouts=(0.2, 0.2))
            stage.sleep(10.0)
            stage.change_load(rate=CAPACITY / 2, timeouts=(3.0, 6.0))


TIMED_OUT = 100_000 / 60
"""Calls a second."""


@scenario(
    "time-outs",
    "a hundred thousand calls a minute run into time-outs of 10 to 50 ms: nothing of them stays anywhere",
    load=Load(clients=3, threads=2, mix={"nap": 1, "burn": 1, "tiny": 1}, rate=30, most_open=1000),
    allowed={"RpcTimeout"},
    rules=Rules(most_starts=2, stop_slack=2.0, aftermath=5.0),
    figures=Figures(least_ok=0.0, memory=32 << 20, fds=4),
    calm=7.0,
)
def time_outs(stage: Stage) -> None:
    wanted = stage.calls + int(TIMED_OUT * stage.remaining)
    with stage.fault("time-outs that are too short"):
        # Blocking threads are held by their time-outs; futures and coroutines keep the pace.
        stage.change_load(rate=1.1 * TIMED_OUT, timeouts=(0.01, 0.05), mix={"dawdle": 1})
        stage.until(lambda: stage.calls >= wanted)
        stage.change_load(rate=30, timeouts=(3.0, 6.0), mix={"nap": 1, "burn": 1, "tiny": 1})


@scenario(
    "cancel",
    "most calls are given up at random moments, queued or running: they stop, the others go on",
    load=Load(rate=32, mix={"doze": 2, "stubborn": 0.05, "nap": 2, "once": 1, "tiny": 3}, cancelled=0.8, threads=0),
    # A call that does not stop by itself has two seconds before its worker is killed.
    rules=Rules(most_starts=2, stop_slack=3.5),
    figures=Figures(least_ok=0.3, failed=0),
    calm=2.0,
)
def cancel(stage: Stage) -> None:
    stage.sleep(stage.remaining)
