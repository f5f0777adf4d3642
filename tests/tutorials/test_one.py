"""Tutorial one, "Hello World!": one message, from a program that sends it to one that receives it."""

from __future__ import annotations

import pytest
from support.processes import wait_until
from support.terminal import Start

READY = "[*] Waiting for messages."


def test_what_our_sender_sends_our_receiver_receives(ours: Start) -> None:
    receiver = ours("one/receive.py")
    receiver.wait_for(READY)
    sender = ours("one/send.py")
    assert sender.wait() == 0, sender.output
    assert sender.lines == ["[x] Sent 'Hello World!'"]
    receiver.wait_for("[x] Received Hello World!")
    assert receiver.stop() == 0, receiver.output


def test_a_greeting_waits_for_a_receiver_that_is_away(ours: Start) -> None:
    first = ours("one/receive.py")
    first.wait_for(READY)
    assert first.stop() == 0, first.output
    assert ours("one/send.py").wait() == 0
    ours("one/receive.py").wait_for("[x] Received Hello World!")


@pytest.mark.parametrize("older", [False, True], ids=["quorum", "not durable"])
def test_the_originals_sender_feeds_our_receiver(ours: Start, original: Start, older: bool) -> None:
    assert original("send", older=older).wait() == 0
    receiver = ours("one/receive.py")
    receiver.wait_for("[x] Received Hello World!")
    for _ in range(2):
        assert original("send", older=older).wait() == 0, "the queue is as the original declares it"
    wait_until(lambda: receiver.lines.count("[x] Received Hello World!") == 3)


def test_the_originals_sender_and_our_receiver_may_come_in_any_order(ours: Start, original: Start) -> None:
    receiver = ours("one/receive.py")
    receiver.wait_for(READY)
    sender = original("send")
    assert sender.wait() == 0, sender.output
    receiver.wait_for("[x] Received Hello World!")


def test_our_receiver_and_the_originals_share_a_queue(ours: Start, original: Start) -> None:
    theirs = original("receive")
    theirs.wait_for(READY)
    receiver = ours("one/receive.py")
    receiver.wait_for(READY)
    for _ in range(6):  # the broker gives to each in turn
        assert original("send").wait() == 0
    wait_until(lambda: sum(end.lines.count("[x] Received Hello World!") for end in (theirs, receiver)) == 6)
    for end in (theirs, receiver):
        assert "[x] Received Hello World!" in end.lines
