"""The one broker of a test run: a real RabbitMQ, private, in a temporary folder. Without RabbitMQ the tests fail."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from rpcsvc.broker import PrivateBroker
from rpcsvc.broker.ports import random_free_port
from rpcsvc.keeper import keep_all_processes

# A shell that starts the tests in its background has them ignore SIGINT, and with them every process that they start.
# Some of them send it, as a terminal does; those about an ignored one say so.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def nothing_outlives_the_tests() -> Iterator[None]:
    """Whatever a test starts ends with the run, also if that is killed."""
    with keep_all_processes():
        yield


@pytest.fixture(scope="session")
def broker() -> Iterator[PrivateBroker]:
    """A running private broker for the whole session. Who needs to stop or kill one starts one of their own."""
    # Not 5672: a test that forgets to say which broker it means must not find one by chance.
    with PrivateBroker.temporary(prefix="rpcsvc-test-", port=random_free_port()) as broker:
        yield broker
