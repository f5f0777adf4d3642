"""The one broker of a test run: a real RabbitMQ, private, in a temporary folder. Without RabbitMQ the tests fail."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
from collections.abc import Iterator

import pytest

from rpcsvc.amqp import Connection
from rpcsvc.broker import PrivateBroker
from rpcsvc.host.keeper import keep_all_processes
from rpcsvc.settings import BrokerUrl
from rpcsvc.wire.sizes import broker_default

# A shell that starts the tests in its background has them ignore SIGINT, and with them every process that they start;
# `nohup` has them ignore SIGHUP. Some of them send these, as a terminal does; those about an ignored one say so.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

# Hundreds of interpreters start in a run; without compiled modules each takes half a second more of a CPU.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False


BEGIN_WITH = (
    "test_planted_bugs.py",
    "test_scenarios.py",
    "test_half_open.py",
    "test_alarms.py",
    "test_ends_with_us.py",
)
"""Files of tests that take many seconds each. Those that run last are to be short: who has none left takes from others,
from the end of what they have."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest first. Tests that run in several processes have the same names in each of them."""
    items.sort(key=lambda item: item.path.name not in BEGIN_WITH)
    for item in items:
        if " at 0x" in item.nodeid:
            raise pytest.UsageError(f"{item.nodeid} is named by an address, another one in each process; give it an id")


def pytest_collection_finish() -> None:
    """Modules and tests stay to the end: the garbage collector, which looks at all there is, need not look at them."""
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def nothing_outlives_the_tests() -> Iterator[None]:
    """Whatever a test starts ends with the run, also if that is killed."""
    with keep_all_processes():
        yield


@pytest.fixture(scope="session")
def broker() -> Iterator[PrivateBroker]:
    """A running private broker for the whole session. Who stops or kills it starts it again."""
    with PrivateBroker.temporary(prefix="rpcsvc-test-") as broker:
        yield broker


@pytest.fixture
def broken_broker(broker: PrivateBroker) -> Iterator[PrivateBroker]:
    """The session's broker, to be stopped, killed and started at will: afterwards it runs. What is set in it stays."""
    yield broker
    broker.start()


@pytest.fixture(scope="session")
def broker_version(broker: PrivateBroker) -> tuple[int, ...]:
    """Which RabbitMQ this run is with."""

    async def ask() -> tuple[int, ...]:
        connection = await Connection.open(BrokerUrl.parse(broker.url), role="test", timeout=10)
        version = connection.broker_version
        await connection.close()
        assert version is not None
        return version

    return asyncio.run(ask())


@pytest.fixture(scope="session")
def message_limit(broker_version: tuple[int, ...]) -> int:
    """The largest message in bytes that clients and servers send to this run's broker."""
    return broker_default(broker_version)
