"""Programs of the tutorials over a restart of the broker."""

from __future__ import annotations

import pytest
from support.processes import wait_until
from support.terminal import Start

from rpcsvc.broker import PrivateBroker

READY = "[*] Waiting for messages."


@pytest.mark.long
def test_a_subscriber_goes_on_after_a_restart_of_the_broker(broken_broker: PrivateBroker, ours: Start) -> None:
    subscriber = ours("three/receive_logs.py")
    subscriber.wait_for("[*] Waiting for logs.")
    broken_broker.stop()
    broken_broker.start()

    def heard() -> bool:
        assert ours("three/emit_log.py", "after it").wait() == 0
        return "[x] after it" in subscriber.lines

    wait_until(heard)


def test_tasks_outlive_a_restart_of_the_broker(broken_broker: PrivateBroker, ours: Start, original: Start) -> None:
    first = ours("two/worker.py")
    first.wait_for(READY)
    assert first.stop() == 0, first.output
    for sender in (ours("two/new_task.py", "of ours"), original("new_task", "of the original's")):
        assert sender.wait() == 0, sender.output
    broken_broker.stop()
    broken_broker.start()
    worker = ours("two/worker.py")
    wait_until(lambda: worker.lines.count("[x] Done") == 2, within=20)
    assert {"[x] Received of ours", "[x] Received of the original's"} < set(worker.lines)


@pytest.mark.long
def test_a_pool_goes_on_after_a_restart_of_the_broker(broken_broker: PrivateBroker, ours: Start) -> None:
    worker, receiver = ours("two/worker.py"), ours("one/receive.py")
    for end in (worker, receiver):
        end.wait_for(READY)
    broken_broker.stop()
    broken_broker.start()
    for sender in (ours("two/new_task.py", "after it"), ours("one/send.py")):
        assert sender.wait() == 0, sender.output
    worker.wait_for("[x] Received after it")
    receiver.wait_for("[x] Received Hello World!")
