"""Whether a server is there, where looking at the queue is forbidden, impossible, or tells no truth."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pika
import pytest
from foreign import ForeignServer, squares
from support.ctl import RabbitCtl
from support.processes import ServerProcess, wait_until

from rpcsvc import NoServer, RpcClient, RpcTimeout
from rpcsvc.broker import PrivateBroker
from rpcsvc.settings import BrokerUrl
from rpcsvc.testing import scaled


@pytest.fixture
def modest(broker: PrivateBroker, queue: str) -> Iterator[str]:
    """The URL of a caller without any right on the queue: RabbitMQ 4.2.6, 4.3 and later refuse it a look."""
    password = secrets.token_hex()
    ctl = RabbitCtl(broker)
    ctl.add_user(queue, password)
    ctl.permit(queue, r"^amq\.gen-.*$", r"^(amq\.default|rpcsvc\.control|amq\.gen-.*)$", r"^amq\.gen-.*$")
    yield replace(BrokerUrl.parse(broker.url), user=queue, password=password).reveal()
    ctl.delete_user(queue)


def refuses_looks(url: str, queue: str) -> bool:
    """Whether this broker refuses that user a look at that queue."""
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        try:
            connection.channel().queue_declare(queue, passive=True)
        except pika.exceptions.ChannelClosedByBroker as error:
            return error.reply_code == 403
        return False


def refusals(broker: PrivateBroker, queue: str) -> int:
    """How often the broker has refused something on that queue, by its log."""
    logs = [path.read_text("utf-8", "replace") for path in Path(broker.folder).rglob("*.log")]
    return sum(log.count(f"access to queue '{queue}'") for log in logs)


def test_a_caller_that_may_not_look_calls_all_the_same_and_does_not_ask_again(
    broker: PrivateBroker, queue: str, modest: str
) -> None:
    with (
        ServerProcess(broker.url, "--workers", "2", "--queue", queue),
        RpcClient(modest, queue=queue, timeout=30) as client,
    ):
        assert client.call("fib", 100) == 354224848179261915075
        assert [future.result() for future in [client.submit("echo", n) for n in range(500)]] == list(range(500))
        assert list(client.map("fib", range(10))) == [0, 1, 1, 2, 3, 5, 8, 13, 21, 34]
        assert client.call("nap", 2.5) == 2.5, "longer than any interval between looks"
        assert client.call("fib", 30) == 832040
    assert refusals(broker, queue) <= 1


def test_to_a_caller_that_may_not_look_a_queue_that_does_not_exist_is_no_server(
    broker: PrivateBroker, queue: str, modest: str
) -> None:
    with RpcClient(modest, queue=queue, timeout=30) as client:
        started = time.monotonic()
        with pytest.raises(NoServer, match="does not exist"):
            client.call("fib", 30)
        assert time.monotonic() - started < scaled(2)


def test_a_caller_that_may_not_look_waits_for_a_queue_if_it_is_told_to(
    broker: PrivateBroker, queue: str, modest: str
) -> None:
    with RpcClient(modest, queue=queue, timeout=60, wait_for_server=30) as client:
        waiting = [client.submit("echo", number) for number in range(50)]
        time.sleep(0.5)
        assert not any(call.done() for call in waiting)
        with ServerProcess(broker.url, "--workers", "2", "--queue", queue):
            assert [call.result() for call in waiting] == list(range(50))


def test_to_a_caller_that_may_not_look_a_queue_that_nobody_serves_is_a_time_out(
    broker: PrivateBroker, queue: str, modest: str
) -> None:
    with pika.BlockingConnection(pika.URLParameters(broker.url)) as connection:
        connection.channel().queue_declare(queue, durable=True)
        with RpcClient(modest, queue=queue, timeout=2) as client:
            with pytest.raises(RpcTimeout if refuses_looks(modest, queue) else NoServer):
                client.call("fib", 30)
            assert client.pending == 0
        connection.channel().queue_delete(queue)


def test_a_queue_that_is_its_servers_alone_is_called_all_the_same_until_it_goes(
    broker: PrivateBroker, queue: str
) -> None:
    """A look at an exclusive queue is refused (405) on every broker, whoever asks."""
    unknown = {"jsonrpc": "2.0", "id": None, "error": {"code": -32601, "message": "Method not found"}}
    with RpcClient(broker.url, queue=queue, timeout=20) as client:
        with ForeignServer(broker.url, queue, squares(lambda _: unknown), exclusive=True):
            assert client.call("square", 7) == 49
            assert [future.result() for future in [client.submit("square", n) for n in range(100)]] == [
                n * n for n in range(100)
            ]
            assert list(client.map("square", range(30))) == [n * n for n in range(30)]
        with RpcClient(broker.url, queue=queue, timeout=20) as another, pytest.raises(NoServer):
            another.call("square", 7)


class Leader:
    """The leader of a quorum queue, which can be kept from answering."""

    def __init__(self, broker: PrivateBroker, queue: str, folder: Path) -> None:
        self._ctl = RabbitCtl(broker)
        self._name = f"'%2F_{queue}'"
        self._go = folder / "go"

    def suspend(self) -> None:
        """Let it answer nobody until `resume`."""
        wait = (
            f'fun Wait() -> case filelib:is_file("{self._go}") of true -> ok; false -> timer:sleep(5), Wait() end end'
        )
        self._ctl.erlang(
            f"P = whereis({self._name}), sys:suspend(P), W = {wait},"
            " spawn(fun() -> group_leader(whereis(init), self()), W(), sys:resume(P) end)"
        )

    def resume(self) -> None:
        """Let it answer again."""
        self._go.touch()


def test_a_quorum_queue_whose_leader_cannot_be_asked_for_a_moment_has_its_server_still(
    broker: PrivateBroker, queue: str, tmp_path: Path
) -> None:
    """Such a queue is reported without messages and consumers, and once is not believed."""
    unknown = {"jsonrpc": "2.0", "id": None, "error": {"code": -32601, "message": "Method not found"}}
    leader = Leader(broker, queue, tmp_path)
    quorum = {"x-queue-type": "quorum"}
    with (
        ForeignServer(broker.url, queue, squares(lambda _: unknown), arguments=quorum, durable=True),
        RpcClient(broker.url, queue=queue, timeout=20) as client,
    ):
        leader.suspend()
        try:
            call = client.submit("square", 7)
            wait_until(lambda: client._thread.link._route.evidence.absence is not None or call.done())
            threading.Event().wait(0.3)  # so that an earlier patience would be at its end
        finally:
            leader.resume()
        assert call.result() == 49
    with pika.BlockingConnection(pika.URLParameters(broker.url)) as connection:
        connection.channel().queue_delete(queue)
