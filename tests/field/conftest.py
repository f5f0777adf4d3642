"""What the field found: inputs on which this or a like library failed once, each as a test on the real broker.

A file is a kind of fault.
"""

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
    return f"field-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def trace(tmp_path: Path) -> Trace:
    """Which calls of `trace` and `trace_once` began."""
    return Trace(tmp_path)


@pytest.fixture(scope="module")
def server(broker: PrivateBroker) -> Iterator[ServerProcess]:
    """A server of the troublesome functions with two workers, on a queue of this file's own."""
    with ServerProcess(broker.url, "--workers", "2", "--queue", f"field-{uuid.uuid4().hex[:12]}") as server:
        yield server
        print(server.output)  # pytest shows it beside a failure


@pytest.fixture
def client(broker: PrivateBroker, server: ServerProcess) -> Iterator[RpcClient]:
    """A client of that server."""
    with RpcClient(broker.url, queue=server.queue, timeout=20) as client:
        yield client
