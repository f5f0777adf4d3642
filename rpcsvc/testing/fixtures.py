"""Fixtures of pytest. A `conftest.py` asks for them: pytest_plugins = ["rpcsvc.testing.fixtures"]

They are no entry point, so that pytest imports nothing of rpcsvc in projects that do not ask.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from ..broker import PrivateBroker
from ..host.keeper import keep_all_processes
from .proxy import FaultProxy


@pytest.fixture(scope="session")
def rpcsvc_processes() -> Iterator[None]:
    """Whatever the tests start ends with their run, also if that is killed."""
    with keep_all_processes():
        yield


@pytest.fixture(scope="session")
def rpcsvc_broker(rpcsvc_processes: None) -> Iterator[PrivateBroker]:
    """A RabbitMQ of this run's own (of this process's own, where tests run in several); its URL is `.url`."""
    with PrivateBroker.temporary(prefix="rpcsvc-test-") as broker:
        yield broker


@pytest.fixture
def rpcsvc_queue() -> str:
    """The name of a queue that no other test uses."""
    return f"test-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def rpcsvc_network(rpcsvc_broker: PrivateBroker) -> Iterator[FaultProxy]:
    """A network between one test and the broker, to be broken: connect to `.url(rpcsvc_broker.url)`."""
    with FaultProxy("127.0.0.1", rpcsvc_broker.port) as proxy:
        yield proxy
