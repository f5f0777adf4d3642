"""Tutorial five, topics: what fits a pattern, once, however many of one's patterns it fits."""

from __future__ import annotations

import pytest
from support.processes import wait_until
from support.terminal import Start

READY = "[*] Waiting for logs."
LOGS = {
    "kern.critical": "A critical kernel error",
    "kern.info": "커널이 시작되었다",
    "cron.critical": "No time left",
    "cron.daily.info": "Rotated",
    "anonymous.info": "Hello World!",
}
ASKED = {
    "#": [*LOGS],
    "kern.*": ["kern.critical", "kern.info"],
    "*.critical": ["kern.critical", "cron.critical"],
    "kern.* *.critical": ["kern.critical", "kern.info", "cron.critical"],
    "cron.#": ["cron.critical", "cron.daily.info"],
    "*.info": ["kern.info", "anonymous.info"],
}


def emit_all(start: Start, program: str, **options: str) -> None:
    for topic, message in LOGS.items():
        emitter = start(program, topic, message, **options)
        assert emitter.wait() == 0, emitter.output
        assert emitter.lines == [f"[x] Sent {topic}:{message}"]


def shown(topics: list[str]) -> list[str]:
    return [f"[x] {topic}:{LOGS[topic]}" for topic in topics]


def test_each_subscriber_hears_once_what_fits_any_of_its_patterns(ours: Start) -> None:
    subscribers = {patterns: ours("five/receive_logs_topic.py", *patterns.split()) for patterns in ASKED}
    for subscriber in subscribers.values():
        subscriber.wait_for(READY)
    emit_all(ours, "five/emit_log_topic.py")
    for patterns, topics in ASKED.items():
        wait_until(lambda: subscribers[patterns].lines[1:] == shown(topics))  # noqa: B023 asked at once


@pytest.mark.parametrize("emitter", ["ours", "the original's"])
def test_subscribers_of_both_makes_hear_what_either_emits(ours: Start, original: Start, emitter: str) -> None:
    theirs = {patterns: original("receive_logs_topic", *patterns.split()) for patterns in ("#", "kern.* *.critical")}
    for end in theirs.values():
        end.wait_for(READY)
    of_ours = {
        patterns: ours("five/receive_logs_topic.py", *patterns.split(), exchange="topic_logs") for patterns in theirs
    }
    for end in of_ours.values():
        end.wait_for(READY)
    if emitter == "ours":
        emit_all(ours, "five/emit_log_topic.py", exchange="topic_logs")
    else:
        emit_all(original, "emit_log_topic")
    for patterns, topics in ASKED.items():
        for end in (theirs.get(patterns), of_ours.get(patterns)):
            if end is not None:
                wait_until(lambda: end.lines[1:] == shown(topics))  # noqa: B023 asked at once


def test_who_asks_for_nothing_is_told_what_to_ask_for(ours: Start) -> None:
    subscriber = ours("five/receive_logs_topic.py")
    assert subscriber.wait() == 1
    assert "Usage: " in subscriber.output
