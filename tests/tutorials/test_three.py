"""Tutorial three, publish/subscribe: each line of a log to everybody who listens, on the screen and in a file."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.processes import wait_until
from support.terminal import Start

READY = "[*] Waiting for logs."


def test_one_log_comes_to_every_subscriber_on_the_screen_and_in_a_file(ours: Start, tmp_path: Path) -> None:
    file = tmp_path / "logs_from_rabbit.log"
    screens = [ours("three/receive_logs.py"), ours("three/receive_logs.py")]
    subscribers = [*screens, ours("three/receive_logs.py", to=file)]
    for subscriber in subscribers:
        subscriber.wait_for(READY)
    for message in ("info: it began", "warnung: größer als nötig"):
        emitter = ours("three/emit_log.py", message)
        assert emitter.wait() == 0, emitter.output
        assert emitter.lines == [f"[x] Sent {message}"]
    for subscriber in subscribers:
        subscriber.wait_for("größer als nötig")
        assert subscriber.lines[1:] == ["[x] info: it began", "[x] warnung: größer als nötig"]
        assert subscriber.stop() == 0, subscriber.output
    assert "[x] info: it began" in file.read_text("utf-8")


def test_a_log_that_nobody_hears_is_no_error_and_gone(ours: Start) -> None:
    assert ours("three/emit_log.py", "unheard").wait() == 0
    subscriber = ours("three/receive_logs.py")
    subscriber.wait_for(READY)
    assert ours("three/emit_log.py", "heard").wait() == 0
    subscriber.wait_for("[x] heard")
    assert "unheard" not in subscriber.output


@pytest.mark.parametrize("emitter", ["ours", "the original's"])
def test_subscribers_of_both_makes_hear_what_either_emits(ours: Start, original: Start, emitter: str) -> None:
    theirs = original("receive_logs")
    theirs.wait_for(READY)
    subscriber = ours("three/receive_logs.py", exchange="logs")
    subscriber.wait_for(READY)
    for message in ("info: it began", "경고: 느리다"):
        if emitter == "ours":
            assert ours("three/emit_log.py", message, exchange="logs").wait() == 0
        else:
            assert original("emit_log", message).wait() == 0
    for end in (theirs, subscriber):
        wait_until(lambda end=end: end.lines[1:] == ["[x] info: it began", "[x] 경고: 느리다"])
