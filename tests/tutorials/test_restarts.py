"""Programs of the tutorials over a restart of the broker."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.processes import wait_until
from support.terminal import Start

from rpcsvc.broker import PrivateBroker


@pytest.fixture
def own_broker() -> Iterator[PrivateBroker]:
    """A broker for one test alone."""
    with PrivateBroker.temporary(prefix="rpcsvc-tutorials-") as broker:
        yield broker


@pytest.fixture
def url(own_broker: PrivateBroker) -> str:
    """Where the programs of this file find their broker."""
    return own_broker.url


def test_a_subscriber_goes_on_after_a_restart_of_the_broker(own_broker: PrivateBroker, ours: Start) -> None:
    subscriber = ours("three/receive_logs.py")
    subscriber.wait_for("[*] Waiting for logs.")
    own_broker.stop()
    own_broker.start()

    def heard() -> bool:
        assert ours("three/emit_log.py", "after it").wait() == 0
        return "[x] after it" in subscriber.lines

    wait_until(heard)
