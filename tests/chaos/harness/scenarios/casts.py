"""Casts and events, which the broker has confirmed before anything breaks: each is done, whatever breaks then."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
import uuid

from rpcsvc import RpcClient
from rpcsvc.errors import RpcError

from ..casting import Caster, Subscriber
from ..checker import Rules
from ..figures import Figures
from ..history import Given, History, now
from ..load import Load
from ..scenario import scenario
from ..stage import Stage

FEW_CALLS = Load(clients=1, threads=1, rate=10.0, timeouts=(20.0, 30.0), wait_for_server=15.0)
PATIENCE = 120.0


@scenario(
    "casts",
    "workers are killed each second, the broker once, a server once, among casts",
    servers=2,
    workers=3,
    load=FEW_CALLS,
    allowed={"OutcomeUnknown", "WorkerLost"},
    rules=Rules(most_starts=9),
    # What must not run twice, and was running when its worker went, is a dead letter.
    figures=Figures(buried=None, refill=None, queued=1_000_000, least_given=100),
    short=4.0,
)
def casts(stage: Stage) -> None:
    with Caster(stage.broker.url, stage.queue, stage.folder) as caster:
        third = stage.remaining / 3
        broker_at: float = stage.remaining - third
        server_at: float = stage.remaining - 2 * third
        for _ in stage.every(1.0):
            if stage.remaining < broker_at:
                broker_at = -1.0
                with stage.fault("the broker is killed"):
                    stage.broker.kill()
                    stage.broker.start()
            elif stage.remaining < server_at:
                server_at = -1.0
                stage.servers.start()
                with stage.fault("a server is killed"):
                    stage.servers.kill(stage.servers.running[0])
            else:
                with stage.fault("a worker is killed"):
                    stage.strike(signal.SIGKILL)
        caster.stop()
        caster.wait_until_done(patience=PATIENCE + 2 * stage.seconds)


@scenario(
    "delays",
    "the broker is killed while casts wait in the levels of delay",
    servers=1,
    workers=4,
    load=FEW_CALLS,
    allowed={"OutcomeUnknown"},
    figures=Figures(queued=1_000_000, least_given=100),
    short=5.0,
)
def delays(stage: Stage) -> None:
    seconds = max(3, int(stage.remaining))
    most = min(10_000, 200 * seconds)
    with Caster(
        stage.broker.url, stage.queue, stage.folder, most=most, delay=(seconds, 2 * seconds), mix={"tiny": 1.0}
    ) as caster:
        caster.wait_until_given(most, patience=PATIENCE)
        with stage.fault("the broker is killed"):
            stage.broker.kill()
            stage.broker.start()
        caster.wait_until_done(patience=PATIENCE + 2 * seconds)


@scenario(
    "events",
    "the broker is restarted while events are published to a durable subscriber",
    load=FEW_CALLS,
    allowed={"OutcomeUnknown"},
    figures=Figures(queued=1_000_000, least_given=100),
    short=4.0,
)
def events(stage: Stage) -> None:
    name = f"chaos-{uuid.uuid4().hex[:8]}"
    subscriber = Subscriber(stage.broker.url, stage.folder, "chaos.#", name=name)
    history = History(stage.folder / "published.jsonl")
    stopping = threading.Event()
    published: list[str] = []

    def publish() -> None:
        with RpcClient(stage.broker.url, timeout=60.0, connect_timeout=60.0) as client:
            while not stopping.is_set():
                token = f"event-{uuid.uuid4().hex}"
                with contextlib.suppress(RpcError):
                    client.publish("chaos.event", token)
                    history.write(Given(now(), token, "event", idempotent=True, due=0.0))
                    published.append(token)

    threads = [threading.Thread(target=publish, daemon=True) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in stage.every(10.0):
        stage.sleep(1.0)
        with stage.fault("the broker is stopped"):
            stage.rabbitmqctl.stop_app()
            stage.rabbitmqctl.start_app()
    stopping.set()
    for thread in threads:
        thread.join()
    end = now() + PATIENCE
    while subscriber.heard < len(published) and now() < end:
        time.sleep(0.2)
    subscriber.close()
    history.close()
