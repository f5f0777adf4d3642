"""The proxy does to connections what it is told, until it is healed. The far end sends back whatever it gets."""

from __future__ import annotations

import socket
import socketserver
import threading
import time
from collections.abc import Iterator

import pytest

from rpcsvc.testing import Direction, FaultProxy, wait_until


class Echo(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        while data := self.request.recv(65536):
            self.request.sendall(data)


@pytest.fixture(scope="module")
def target() -> Iterator[int]:
    """The port of a server that sends back whatever it is sent."""

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            """A reset is what these tests are about."""

    with Server(("127.0.0.1", 0), Echo) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


@pytest.fixture
def network(target: int) -> Iterator[FaultProxy]:
    with FaultProxy("127.0.0.1", target) as network:
        yield network


@pytest.fixture
def line(network: FaultProxy) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", network.port), timeout=20) as line:
        assert says(line, b"first")
        yield line


def says(line: socket.socket, data: bytes) -> bool:
    """Whether all of it comes back."""
    line.sendall(data)
    back = b""
    while len(back) < len(data) and (piece := line.recv(65536)):
        back += piece
    return back == data


def takes_a_connection(network: FaultProxy) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", network.port), timeout=20) as another:
            return says(another, b"here")
    except OSError:
        return False


def test_without_a_fault_everything_comes_back(network: FaultProxy, line: socket.socket) -> None:
    assert says(line, b"x" * 300_000)
    assert network.connections == 1


def test_a_url_of_the_target_leads_through_it(target: int, network: FaultProxy) -> None:
    assert network.url(f"amqp://u:p@127.0.0.1:{target}/%2F") == f"amqp://u:p@127.0.0.1:{network.port}/%2F"


@pytest.mark.parametrize("direction", list(Direction), ids=lambda direction: direction.value)
def test_a_stall_holds_everything_back_until_it_is_healed(
    network: FaultProxy, line: socket.socket, direction: Direction
) -> None:
    network.stall(direction)
    line.settimeout(0.1)
    with pytest.raises(TimeoutError):
        says(line, b"held")
    network.heal()
    line.settimeout(20)
    assert line.recv(4) == b"held"


def test_a_delay_is_one_of_each_direction_that_is_named(network: FaultProxy, line: socket.socket) -> None:
    network.delay(0.05)
    started = time.monotonic()
    assert says(line, b"slow")
    assert time.monotonic() - started >= 0.1


def test_a_reset_ends_connections_and_lets_new_ones_come(network: FaultProxy, line: socket.socket) -> None:
    network.reset_all()
    with pytest.raises(ConnectionResetError):
        says(line, b"gone")
    assert takes_a_connection(network)


def test_who_is_refused_is_reset_until_it_is_healed(network: FaultProxy, line: socket.socket) -> None:
    network.refuse()
    with pytest.raises(ConnectionResetError):
        says(line, b"gone")
    assert not takes_a_connection(network)
    assert network.refused == 1
    network.heal()
    wait_until(lambda: takes_a_connection(network))
    assert network.refused == 1


def test_a_cut_comes_in_the_middle_of_what_is_sent_and_is_one_connections_alone(
    network: FaultProxy, line: socket.socket
) -> None:
    network.cut_after(4, Direction.DOWN)
    line.sendall(b"too much")
    assert line.recv(4) == b"too "
    with pytest.raises(ConnectionResetError):
        line.recv(4)
    assert takes_a_connection(network)
