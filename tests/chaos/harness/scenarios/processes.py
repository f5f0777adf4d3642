"""Processes are killed, stopped and restarted."""

from __future__ import annotations

import signal

from ..figures import Figures
from ..load import Load
from ..scenario import scenario
from ..stage import Stage


@scenario("kill-workers", "SIGKILL of a random worker each second", allowed={"WorkerLost"}, calm=2.0)
def kill_workers(stage: Stage) -> None:
    for _ in stage.every(1.0):
        with stage.fault("a worker is killed"):
            stage.strike(signal.SIGKILL)


@scenario(
    "stop-workers",
    "SIGSTOP of a random worker every two seconds; time limits end what it computes",
    server_options=("--time-limit", "1.5"),
    # A worker that is stopped while it has nothing to do is noticed by the call that it is given next, after two
    # seconds. That call may go on to another one that is stopped too, so it needs more than the usual time.
    load=Load(timeouts=(6.0, 9.0)),
    allowed={"TimeLimitExceeded"},
    calm=3.0,
)
def stop_workers(stage: Stage) -> None:
    for _ in stage.every(2.0):
        with stage.fault("a worker is stopped"):
            stage.strike(signal.SIGSTOP)


@scenario(
    "kill-server",
    "SIGKILL of one of two servers every three seconds; it is started again after one",
    servers=2,
    workers=2,
    allowed={"OutcomeUnknown"},
    calm=2.0,
)
def kill_server(stage: Stage) -> None:
    for _ in stage.every(3.0):
        victim = stage.chance.choice(stage.servers.running)
        with stage.fault("a server is killed"):
            stage.servers.kill(victim)
        stage.sleep(1.0)
        stage.servers.start()


@scenario(
    "rolling-restart",
    "SIGTERM of two servers in turn, each after its successor is up: nothing fails, nothing runs twice",
    servers=2,
    workers=2,
    # Calls that travel together may be computed twice when one of them is slow, which has nothing to do with restarts.
    load=Load(pack=False),
    figures=Figures(failed=0, reruns=0),
    calm=1.0,
)
def rolling_restart(stage: Stage) -> None:
    for _ in stage.every(2.0):
        oldest = stage.servers.running[0]
        stage.servers.start()
        with stage.fault("a server is told to end"):
            stage.servers.stop(oldest)
