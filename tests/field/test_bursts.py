"""A burst of tiny calls from a client that knows nothing yet does not travel as one message a call."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from support.processes import ServerProcess, wait_until

from rpcsvc import AsyncRpcClient, RpcClient
from rpcsvc.broker import PrivateBroker
from rpcsvc.client.link import CallLink
from rpcsvc.client.messages import Message

CALLS = 5000


@pytest.fixture
def messages(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The queues of what clients in this process publish."""
    published: list[str] = []
    publish = CallLink.publish

    def counted(self: CallLink, message: Message, body: bytes, seconds: float) -> bool:
        published.append(message.queue)
        return publish(self, message, body, seconds)

    monkeypatch.setattr(CallLink, "publish", counted)
    return published


def test_the_first_calls_of_a_client_share_messages(
    broker: PrivateBroker, server: ServerProcess, messages: list[str]
) -> None:
    with RpcClient(broker.url, queue=server.queue) as client:
        futures = [client.submit("echo", n) for n in range(CALLS)]
        assert [future.result(30) for future in futures] == list(range(CALLS))

    assert len(messages) < CALLS / 10


def test_so_do_those_of_a_gather(broker: PrivateBroker, server: ServerProcess, messages: list[str]) -> None:
    async def main() -> list[int]:
        async with AsyncRpcClient(broker.url, queue=server.queue) as client:
            return await asyncio.gather(*(client.call("echo", n) for n in range(CALLS)))

    assert asyncio.run(main()) == list(range(CALLS))
    assert len(messages) < CALLS / 10


def test_slow_calls_of_a_burst_keep_every_worker_busy(
    broker: PrivateBroker, server: ServerProcess, tmp_path: Path
) -> None:
    """Were the others held back until the first is answered, one worker would have nothing to do."""
    begun, gate = tmp_path / "begun", tmp_path / "gate"
    with RpcClient(broker.url, queue=server.queue) as client:
        futures = [client.submit("pass_gate", str(begun), f"{n}\n", str(gate)) for n in range(20)]
        wait_until(lambda: begun.exists() and len(begun.read_text().splitlines()) >= 2)
        gate.touch()
        assert len([future.result(20) for future in futures]) == 20


def test_the_time_out_of_a_message_of_a_map_does_not_count_while_others_of_it_are_computed(
    broker: PrivateBroker, server: ServerProcess
) -> None:
    with RpcClient(broker.url, queue=server.queue) as client:
        assert list(client.map("nap", [0.8] * 8, timeout=2)) == [0.8] * 8
