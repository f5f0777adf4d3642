"""The one broker of a test run: a real RabbitMQ, private, in a temporary folder. Without RabbitMQ the tests fail."""

from __future__ import annotations

import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from rpcsvc.broker import PrivateBroker
from rpcsvc.broker.ports import random_free_port

# A shell that starts the tests in its background has them ignore SIGINT, and with them every process that they start.
# Some of them send it, as a terminal does; those about an ignored one say so.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def broker() -> Iterator[PrivateBroker]:
    """A running private broker for the whole session. Who needs to stop or kill one starts one of their own."""
    folder = Path(tempfile.mkdtemp(prefix="rpcsvc-test-"))
    try:
        # Not 5672: a test that forgets to say which broker it means must not find one by chance.
        with PrivateBroker(folder, port=random_free_port()) as broker:
            yield broker
    finally:
        shutil.rmtree(folder, ignore_errors=True)
