"""Servers are replaced on purpose, as operators and Kubernetes do."""

from __future__ import annotations

import signal

from ..figures import Figures
from ..load import Load
from ..scenario import scenario
from ..stage import Stage

_GRACE = 4.0
"""Seconds from SIGTERM to SIGKILL."""


@scenario(
    "slow-drain",
    "SIGTERM, and SIGKILL 4 s later, of each server in turn after its successor is up; calls take up to 2 s",
    servers=2,
    workers=4,
    load=Load(mix={"tiny": 4, "nap": 2, "linger": 2, "linger_once": 2}, rate=12, timeouts=(15.0, 20.0), pack=False),
    figures=Figures(failed=0, reruns=0),
    short=5.0,
    calm=2.0,
)
def slow_drain(stage: Stage) -> None:
    for _ in stage.every(3.0):
        oldest = stage.servers.running[0]
        stage.servers.start()
        with stage.fault("a server is told to end"):
            stage.servers.stop(oldest, within=_GRACE)


@scenario(
    "short-grace",
    "SIGTERM, and SIGKILL 1 s later, while calls take up to 2 s: what is cut off runs again, or may have run",
    servers=2,
    workers=4,
    load=Load(mix={"tiny": 4, "nap": 2, "linger": 2, "linger_once": 2}, rate=12, timeouts=(15.0, 20.0), pack=False),
    allowed={"OutcomeUnknown"},
    # To be cut off is the point here.
    figures=Figures(undrained=None),
    short=5.0,
    calm=3.0,
)
def short_grace(stage: Stage) -> None:
    for _ in stage.every(3.0):
        oldest = stage.servers.running[0]
        stage.servers.start()
        with stage.fault("a server is told to end"):
            stage.servers.stop(oldest, within=1.0)


@scenario(
    "reload",
    "SIGHUP every two seconds: new workers take over, no call notices",
    load=Load(pack=False),
    figures=Figures(failed=0, reruns=0, refill=0.5, reconnects=0),
    short=5.0,
    calm=2.0,
)
def reload(stage: Stage) -> None:
    for _ in stage.every(2.0):
        for server in stage.servers.running:
            server.signal(signal.SIGHUP)
