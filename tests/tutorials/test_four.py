"""Tutorial four, routing: info, warning and error, each to who asked for it."""

from __future__ import annotations

import pytest
from support.processes import wait_until
from support.terminal import Start, Terminal

READY = "[*] Waiting for logs."
LOGS = {"info": "it began", "warning": "오래 걸린다", "error": "it broke"}


def emit_all(start: Start, program: str, **options: str) -> None:
    for severity, message in LOGS.items():
        emitter = start(program, severity, message, **options)
        assert emitter.wait() == 0, emitter.output
        assert emitter.lines == [f"[x] Sent {severity}:{message}"]


def hears(subscriber: Terminal, *severities: str) -> bool:
    return subscriber.lines[1:] == [f"[x] {severity}:{LOGS[severity]}" for severity in severities]


def test_each_subscriber_hears_the_severities_that_it_asked_for(ours: Start) -> None:
    asked = [("error",), ("warning", "error"), ("info", "warning", "error")]
    subscribers = [ours("four/receive_logs_direct.py", *severities) for severities in asked]
    for subscriber in subscribers:
        subscriber.wait_for(READY)
    emit_all(ours, "four/emit_log_direct.py")
    for subscriber, severities in zip(subscribers, asked, strict=True):
        wait_until(lambda: hears(subscriber, *severities))  # noqa: B023 asked at once


@pytest.mark.parametrize("emitter", ["ours", "the original's"])
def test_subscribers_of_both_makes_hear_what_either_emits(ours: Start, original: Start, emitter: str) -> None:
    theirs = original("receive_logs_direct", "warning", "error")
    theirs.wait_for(READY)
    subscriber = ours("four/receive_logs_direct.py", "warning", "error", exchange="direct_logs")
    subscriber.wait_for(READY)
    if emitter == "ours":
        emit_all(ours, "four/emit_log_direct.py", exchange="direct_logs")
    else:
        emit_all(original, "emit_log_direct")
    for end in (theirs, subscriber):
        wait_until(lambda: hears(end, "warning", "error"))  # noqa: B023 asked at once


def test_who_asks_for_nothing_is_told_what_to_ask_for(ours: Start) -> None:
    subscriber = ours("four/receive_logs_direct.py")
    assert subscriber.wait() == 1
    assert "Usage: " in subscriber.output
