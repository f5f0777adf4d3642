"""What refuses us is told from what is merely away: the first ends things at once, the second is tried again."""

from __future__ import annotations

import contextlib
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pika
import pytest
from support.begun import begun
from support.ctl import RabbitCtl
from support.processes import ServerProcess, wait_until

from rpcsvc import AuthenticationFailed, ConnectionFailed, ConnectionLost, RpcClient
from rpcsvc.broker import PrivateBroker
from rpcsvc.testing import Direction, FaultProxy, scaled

NO_BROKER = 6


@contextmanager
def listener(answer: bytes | None) -> Iterator[str]:
    """Something that takes TCP connections, and says `answer`, or nothing, and no more; its URL."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken: list[socket.socket] = []

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    taken.append(connection)
                    if answer is not None:
                        connection.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"amqp://127.0.0.1:{server.getsockname()[1]}/"
        server.shutdown(socket.SHUT_RDWR)
        thread.join()
        for connection in taken:
            connection.close()


class TestAtTheStart:
    @pytest.mark.parametrize(
        "answer", [None, b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x00" * 1000, b"AMQP\x00\x01\x00\x00"]
    )
    def test_what_is_no_broker_is_given_up_after_the_connect_timeout(self, answer: bytes | None) -> None:
        with listener(answer) as url:
            started = time.monotonic()
            with pytest.raises(ConnectionFailed) as caught:
                RpcClient(url, connect_timeout=1.0)
            assert time.monotonic() - started < scaled(2)
            assert not isinstance(caught.value, AuthenticationFailed)
            assert url.split("@")[-1].removeprefix("amqp://") in str(caught.value)

    def test_a_server_gives_it_up_too(self, queue: str) -> None:
        with (
            listener(None) as url,
            ServerProcess(url, "--connect-timeout", "1", "--workers", "1", ready=False) as server,
        ):
            assert server.wait(within=30) == NO_BROKER
            assert "said no more" in server.output or "in time" in server.output

    def test_a_server_waits_for_a_broker_that_is_not_up_yet(
        self, broker: PrivateBroker, queue: str, network: FaultProxy
    ) -> None:
        network.refuse()
        options = ("--connect-timeout", "60", "--workers", "1", "--queue", queue)
        with ServerProcess(network.url(broker.url), *options, ready=False) as server:
            wait_until(lambda: "no connection yet" in server.output, within=30)
            network.heal()
            wait_until(lambda: "ready:" in server.output, within=30)

    @pytest.mark.parametrize(
        ("change", "sentence"),
        [
            (lambda url: url.replace("rpcsvc:", "rpcsvc:no"), "refuses user 'rpcsvc' or the password"),
            (lambda url: url + "elsewhere", "no virtual host 'elsewhere'"),
        ],
        ids=["password", "virtual host"],
    )
    def test_a_server_that_is_refused_ends_at_once_and_says_why(
        self, broker: PrivateBroker, queue: str, change: Callable[[str], str], sentence: str
    ) -> None:
        started = time.monotonic()
        with ServerProcess(change(broker.url), "--connect-timeout", "60", "--queue", queue, ready=False) as server:
            assert server.wait(within=30) == NO_BROKER
            assert time.monotonic() - started < scaled(30)
            assert sentence in server.output

    def test_a_server_whose_queue_is_exclusive_to_somebody_else_ends_at_once(
        self, broker: PrivateBroker, queue: str
    ) -> None:
        with pika.BlockingConnection(pika.URLParameters(broker.url)) as connection:
            connection.channel().queue_declare(queue, exclusive=True)
            with ServerProcess(broker.url, "--connect-timeout", "60", "--queue", queue, ready=False) as server:
                assert server.wait(within=30) == NO_BROKER
                assert "belongs to another connection alone" in server.output

    @pytest.mark.parametrize("direction", list(Direction))
    def test_a_connection_that_breaks_in_the_middle_of_the_handshake_is_no_refusal(
        self, broker: PrivateBroker, network: FaultProxy, server: ServerProcess, queue: str, direction: Direction
    ) -> None:
        # Each attempt is cut a little later: before, in and after the authentication.
        for count in (1, 8, 100, 300, 400, 500, 520, 540, 560, 600):
            network.cut_after(count, direction)
            with RpcClient(network.url(broker.url), queue=queue, connect_timeout=20) as client:
                assert client.call("fib", 30) == 832040
        network.heal()


class TestLater:
    def test_a_changed_password_ends_the_server_and_fails_calls_with_its_sentence(
        self, broker: PrivateBroker, queue: str, tmp_path: Path
    ) -> None:
        ctl = RabbitCtl(broker)
        with (
            ctl.vhost(queue) as url,
            ServerProcess(url, "--workers", "1", "--queue", queue) as server,
            RpcClient(url, queue=queue, timeout=20) as client,
        ):
            running = begun(client, tmp_path, 60.0)
            ctl.change_password(queue, "another")
            ctl.close_all_connections(queue)
            assert server.wait() == NO_BROKER
            assert f"refuses user '{queue}' or the password" in server.output
            with pytest.raises(ConnectionLost, match=f"refuses user '{queue}'"):
                running.result(timeout=5)  # it was sent: whether it has run nobody knows
            started = time.monotonic()
            with pytest.raises(AuthenticationFailed):
                client.call("fib", 30)
            assert time.monotonic() - started < scaled(2)
            # The user may come back as it was.
            ctl.change_password(queue, url.split(":")[2].split("@")[0])
            with ServerProcess(url, "--workers", "1", "--queue", queue):
                assert client.call("fib", 30) == 832040

    def test_a_broker_that_is_stopped_and_started_in_its_node_interrupts_nobody_for_long(
        self, broken_broker: PrivateBroker, queue: str
    ) -> None:
        with (
            ServerProcess(broken_broker.url, "--workers", "2", "--queue", queue) as server,
            RpcClient(broken_broker.url, queue=queue, timeout=60, connect_timeout=40, wait_for_server=30) as client,
        ):
            assert client.call("fib", 30) == 832040
            RabbitCtl(broken_broker).stop_app()
            try:
                calls = [client.submit("echo", number) for number in range(100)]
            finally:
                RabbitCtl(broken_broker).start_app()
            cured = time.monotonic()
            assert client.call("fib", 30) == 832040
            assert time.monotonic() - cured < scaled(6)
            assert [call.result() for call in calls] == list(range(100))
            assert server.process.poll() is None

    def test_connections_that_are_closed_while_they_are_being_made_are_made_again(
        self, broker: PrivateBroker, queue: str
    ) -> None:
        with ServerProcess(broker.url, "--workers", "2", "--queue", queue) as server:
            stop = threading.Event()
            closings: list[float] = []

            def close_again_and_again() -> None:
                while not stop.wait(random.uniform(0.1, 0.3)):
                    RabbitCtl(broker).close_all_connections()
                    closings.append(time.monotonic())

            closing = threading.Thread(target=close_again_and_again)
            closing.start()
            try:
                while len(closings) < 15:
                    with (
                        RpcClient(broker.url, queue=queue, connect_timeout=30, wait_for_server=20) as client,
                        contextlib.suppress(ConnectionLost),  # three times lost under one call
                    ):
                        assert client.call("echo", "x", timeout=20) == "x"
            finally:
                stop.set()
                closing.join()
            with RpcClient(broker.url, queue=queue, wait_for_server=10) as client:
                assert client.call("fib", 30) == 832040
            assert server.process.poll() is None
