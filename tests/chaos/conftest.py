"""The chaos tests have brokers of their own where they break them."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.processes import ServerProcess

from rpcsvc.broker import PrivateBroker
from rpcsvc.testing import FaultProxy


@contextmanager
def another_broker() -> Iterator[PrivateBroker]:
    with PrivateBroker.temporary(prefix="rpcsvc-chaos-") as broker:
        yield broker


@pytest.fixture
def own_broker() -> Iterator[PrivateBroker]:
    """A broker for one test alone, to be changed at will."""
    with another_broker() as broker:
        yield broker


@pytest.fixture(scope="session")
def _spare_broker() -> Iterator[PrivateBroker]:
    with another_broker() as broker:
        yield broker


@pytest.fixture
def spare_broker(_spare_broker: PrivateBroker) -> PrivateBroker:
    """A broker to be stopped, killed and started at will; what is set in it stays as it is."""
    if not _spare_broker.status().running:
        _spare_broker.start()
    return _spare_broker


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
