"""What the chaos tests share. The session's broker is theirs to break: one test runs at a time in a process."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.processes import ServerProcess

from rpcsvc.broker import PrivateBroker
from rpcsvc.testing import FaultProxy


@pytest.fixture
def queue() -> str:
    return f"chaos-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def network(broker: PrivateBroker) -> Iterator[FaultProxy]:
    with FaultProxy("127.0.0.1", broker.port) as proxy:
        yield proxy


@pytest.fixture
def server(broker: PrivateBroker, queue: str, tmp_path: Path) -> Iterator[ServerProcess]:
    """A server with a network that is well. The files that its calls wait for stay until it has ended."""
    with ServerProcess(broker.url, "--workers", "2", "--queue", queue) as server:
        yield server
        print(server.output)
