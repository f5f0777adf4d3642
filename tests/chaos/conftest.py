"""The chaos tests use the helpers of the integration tests, and brokers of their own where they break them."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from rpcsvc.broker import PrivateBroker

sys.path.insert(0, str(Path(__file__).parent.parent / "integration"))


@pytest.fixture
def own_broker() -> Iterator[PrivateBroker]:
    """A broker for one test alone, to be stopped, killed and started at will."""
    with tempfile.TemporaryDirectory(prefix="rpcsvc-chaos-") as folder, PrivateBroker(Path(folder)) as broker:
        yield broker
