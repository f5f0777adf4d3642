"""What servers tell of their own life, to whoever hears `rpcsvc.#`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
from support.ctl import RabbitCtl
from support.processes import ServerProcess

from rpcsvc import Event, FunctionRaised, RpcClient, Subscription, WorkerLost
from rpcsvc.broker import PrivateBroker
from rpcsvc.testing import scaled, wait_until


@pytest.fixture
def hearing(broker: PrivateBroker) -> Iterator[Subscription]:
    with RpcClient(broker.url) as client, client.subscribe("rpcsvc.#") as events:
        yield events


def heard(events: Subscription, queue: str, topic: str) -> dict[str, Any]:
    """The next event of that topic by a server of that queue."""
    while True:
        event: Event = events.get(timeout=scaled(20))
        body = event.body or {}  # of those of before 0.3
        if event.topic == topic and body.get("queue") == queue:
            assert event.time is not None
            return dict(body)


def test_servers_tell_of_their_own_life(broker: PrivateBroker, queue: str, hearing: Subscription) -> None:
    with ServerProcess(broker.url, "--queue", queue, "--workers", "1") as server:
        started = heard(hearing, queue, "rpcsvc.server.started")
        assert (started["pid"], started["workers"]) == (server.process.pid, 1)
        assert {"host", "version", "functions", "handlers"} <= started.keys()
        with RpcClient(broker.url, queue=queue, timeout=scaled(20)) as client:
            assert client.call("echo", 7) == 7
            with contextlib.suppress(FunctionRaised):
                client.call("raise_error", "oh")
            failed = heard(hearing, queue, "rpcsvc.call.failed")
            assert (failed["method"], failed["code"], failed["error_type"]) == ("raise_error", -32000, "LookupError")
            assert "oh" in failed["error"]
            with contextlib.suppress(WorkerLost):
                client.call("exit_hard", 3)
            lost = heard(hearing, queue, "rpcsvc.worker.lost")
            assert (lost["exit_code"], lost["signal"], lost["why"]) == (3, None, "during a call")
            client.cast("raise_error", "oh", message_id="m-1")
            dead = heard(hearing, queue, "rpcsvc.cast.dead")
            assert (dead["method"], dead["message_id"], dead["attempts"]) == ("raise_error", "m-1", 1)
            RabbitCtl(broker).delete_queue(queue)
            heard(hearing, queue, f"rpcsvc.queue.deleted.{queue}")
            wait_until(lambda: client.call("echo", 8) == 8)
        server.stop()
        heard(hearing, queue, "rpcsvc.server.stopped")
