"""A server for a whole module of tests, and a client for each test, on the session's broker."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.processes import ServerProcess
from support.traces import Trace

from rpcsvc import RpcClient
from rpcsvc.broker import PrivateBroker


@pytest.fixture
def queue() -> str:
    """The name of a queue that no other test uses."""
    return f"test-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def trace(tmp_path: Path) -> Trace:
    """Which calls of `trace` and `trace_once` began."""
    return Trace(tmp_path)


@pytest.fixture(scope="module")
def server(broker: PrivateBroker) -> Iterator[ServerProcess]:
    """A server of the troublesome functions with three workers, on the default queue."""
    with ServerProcess(broker.url, "--workers", "3") as server:
        yield server
        print(server.output)  # pytest shows it beside a failure


@pytest.fixture
def client(broker: PrivateBroker, server: ServerProcess) -> Iterator[RpcClient]:
    with RpcClient(broker.url, timeout=20) as client:
        yield client
        assert client.pending == 0, "every call has ended when a test ends"
