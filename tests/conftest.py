"""The one broker of a test run: a real RabbitMQ, private, in a temporary folder. Without RabbitMQ the tests fail."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from rpcsvc.broker import PrivateBroker
from rpcsvc.broker.ports import random_free_port


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
