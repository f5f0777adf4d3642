"""Events that pools handle: each once, however many pools there are; with the retries and dead letters of casts."""

from __future__ import annotations

import os
import signal
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pika
import pytest
from support.ctl import RabbitCtl
from support.processes import ServerProcess, wait_until

from rpcsvc import RpcClient
from rpcsvc.broker import PrivateBroker
from rpcsvc.wire.letters import Letter


@pytest.fixture
def word() -> str:
    """One that no other test has in its topics."""
    return uuid.uuid4().hex[:12]


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    return tmp_path / "trace"


@pytest.fixture
def channel(broker: PrivateBroker) -> Iterator[Any]:
    with pika.BlockingConnection(pika.URLParameters(broker.url)) as connection:
        yield connection.channel()


@pytest.fixture
def client(broker: PrivateBroker) -> Iterator[RpcClient]:
    with RpcClient(broker.url) as client:
        yield client


@pytest.fixture
def serve(broker: PrivateBroker, queue: str) -> Iterator[Callable[..., ServerProcess]]:
    with ExitStack() as stack:

        def serve(*options: str, registry: str = "handling:registry", **how: Any) -> ServerProcess:
            options = ("--queue", queue, "--workers", "2", *options)
            return stack.enter_context(ServerProcess(broker.url, *options, registry=registry, **how))

        yield serve
    ctl = RabbitCtl(broker)
    for name in ctl.queues():
        if name.startswith(queue):
            ctl.delete_queue(name)


def lines(trace: Path) -> list[str]:
    return trace.read_text().splitlines() if trace.exists() else []


def wait_for(trace: Path, count: int) -> list[str]:
    wait_until(lambda: len(lines(trace)) >= count, within=20)
    return lines(trace)


def test_each_event_is_handled_once_however_many_pools_serve_the_queue(
    client: RpcClient, serve: Callable[..., ServerProcess], trace: Path, word: str
) -> None:
    pools = [serve(), serve("--no-casts")]
    assert "events for note, fail_twice, raise_always, kill_worker, kill_worker_once" in pools[0].output
    for number in range(100):
        client.publish(f"{word}.handled.once", {"trace": str(trace), "number": number})
    assert sorted(wait_for(trace, 100)) == sorted(f"{word}.handled.once {number}" for number in range(100))


def test_what_is_published_while_no_pool_runs_is_handled_when_one_does(
    client: RpcClient, serve: Callable[..., ServerProcess], trace: Path, word: str
) -> None:
    serve().stop()
    client.publish(f"{word}.handled.once", {"trace": str(trace), "number": 1})
    serve()
    assert wait_for(trace, 1) == [f"{word}.handled.once 1"]


def test_a_handler_that_raises_is_tried_again_with_what_the_event_was(
    client: RpcClient, serve: Callable[..., ServerProcess], trace: Path, word: str
) -> None:
    serve()
    client.publish(f"{word}.tried", {"trace": str(trace)}, headers={"trace": "t"}, message_id="m-1")
    assert wait_for(trace, 3) == [
        f"event 1 {word}.tried False {{'trace': 't'}} m-1",
        f"event 2 {word}.tried True {{'trace': 't'}} m-1",
        f"event 3 {word}.tried True {{'trace': 't'}} m-1",
    ]


def letter(channel: Any, queue: str) -> Letter:
    said, body = wait_until(
        lambda: (got := channel.basic_get(f"{queue}.dead", auto_ack=True))[0] and (got[1], got[2]), within=20
    )
    return Letter.read(body, said.headers, said.message_id)


def test_one_that_is_given_up_is_a_letter_of_its_queue(
    client: RpcClient, serve: Callable[..., ServerProcess], channel: Any, queue: str, trace: Path, word: str
) -> None:
    serve()
    client.publish(f"{word}.fatal", {"trace": str(trace)}, message_id="m-1")
    found = letter(channel, queue)
    assert (found.message_id, found.attempts, found.error_type) == ("m-1", 1, "LookupError")
    assert found.came_from is not None
    assert found.came_from.startswith(f"{queue}.on.raise_always.")
    assert found.headers["rpcsvc-topic"] == f"{word}.fatal"
    # Put back where it came from, it is handled again with its topic.
    said = pika.BasicProperties(headers=dict(found.headers), content_type="application/json")
    channel.basic_publish("", found.came_from, found.body, said)
    assert wait_for(trace, 2) == ["raised", "raised"]
    assert letter(channel, queue).headers["rpcsvc-topic"] == f"{word}.fatal"


def test_one_whose_worker_dies_is_handled_by_another(
    client: RpcClient, serve: Callable[..., ServerProcess], trace: Path, word: str
) -> None:
    serve()
    client.publish(f"{word}.killing", {"trace": str(trace)})
    assert len(set(wait_for(trace, 2))) == 2


def test_one_that_must_not_be_handled_twice_is_a_letter_instead(
    client: RpcClient, serve: Callable[..., ServerProcess], channel: Any, queue: str, trace: Path, word: str
) -> None:
    serve()
    client.publish(f"{word}.killing.once", {"trace": str(trace)})
    assert letter(channel, queue).error.endswith("while it computed this call; its function must not run twice")
    assert len(lines(trace)) == 1


def test_one_is_handled_though_its_server_is_killed(
    client: RpcClient, serve: Callable[..., ServerProcess], trace: Path, word: str
) -> None:
    killed = serve()
    for number in range(50):
        client.publish(f"{word}.handled.once", {"trace": str(trace), "number": number})
    killed.process.send_signal(signal.SIGKILL)
    killed.process.wait()
    serve()
    wait_until(lambda: len(set(lines(trace))) == 50, within=20)


REGISTRY = """
from pathlib import Path
from rpcsvc import Registry
registry = Registry()
@registry.on("{word}.{topic}", exchange={exchange!r})
def {name}(event):
    with Path({trace!r}).open("a") as file:
        file.write(f"{name} {{event.body}}\\n")
"""


def test_a_reload_brings_other_handlers_and_leaves_those_that_were(
    client: RpcClient,
    serve: Callable[..., ServerProcess],
    tmp_path: Path,
    trace: Path,
    word: str,
    broker: PrivateBroker,
    channel: Any,
) -> None:
    module = tmp_path / "shop.py"
    module.write_text(REGISTRY.format(word=word, topic="old", name="old", trace=str(trace), exchange=None))
    server = serve(registry="shop:registry", cwd=tmp_path)
    assert "no functions" in server.output
    client.publish(f"{word}.old", 1)
    assert wait_for(trace, 1) == ["old 1"]
    module.write_text(REGISTRY.format(word=word, topic="new", name="fresh", trace=str(trace), exchange=None))
    os.utime(module, (2_000_000_000, 2_000_000_000))
    server.process.send_signal(signal.SIGHUP)
    wait_until(lambda: "reloaded: fresh" in server.output, within=20)
    (fresh,) = wait_until(lambda: [name for name in RabbitCtl(broker).queues() if ".on.fresh." in name])
    wait_until(lambda: channel.queue_declare(fresh, passive=True).method.consumer_count, within=20)
    client.publish(f"{word}.old", 2)
    client.publish(f"{word}.new", 3)
    assert wait_for(trace, 2) == ["old 1", "fresh 3"]


def test_events_of_others_are_handled_too(
    serve: Callable[..., ServerProcess], tmp_path: Path, trace: Path, channel: Any, word: str
) -> None:
    channel.exchange_declare(word, "fanout")
    try:
        (tmp_path / "logs.py").write_text(
            REGISTRY.format(word=word, topic="any", name="log", trace=str(trace), exchange=word)
        )
        serve(registry="logs:registry", cwd=tmp_path)
        channel.basic_publish(word, "", b"disk full")
        assert wait_for(trace, 1) == ["log disk full"]
    finally:
        channel.exchange_delete(word)
