"""How often an outage is spoken of, and what somebody else's text may do to a log: nothing."""

from __future__ import annotations

import logging

import pytest

from rpcsvc.errors import FunctionRaised
from rpcsvc.host import logs
from rpcsvc.host.logs import Outage, note_failures, one_line, tell_failed, use_seconds


class Clock:
    """Seconds, moved by hand."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_an_outage_is_said_at_once_then_ever_more_seldom_and_its_end_once(clock: Clock) -> None:
    outage = Outage(clock)
    outage.begins()
    said = []
    for tenth in range(20 * 60 * 10):  # tried ten times a second for twenty minutes
        clock.now = 1000.0 + tenth / 10
        if outage.fails():
            said.append(round(clock.now - 1000.0))
    assert said == [0, 5, 15, 35, 75, 155, 315, 615, 915]
    clock.now = 2200.0
    assert outage.ends() == 1200.0
    assert outage.ends() is None


def test_each_outage_begins_anew(clock: Clock) -> None:
    outage = Outage(clock)
    assert [outage.fails(), outage.fails()] == [True, False]
    clock.now += 6
    assert outage.fails()
    outage.ends()
    clock.now += 0.1
    outage.begins()
    assert [outage.fails(), outage.fails()] == [True, False]
    clock.now += 5.5
    assert outage.fails()


def test_what_never_failed_has_no_end(clock: Clock) -> None:
    assert Outage(clock).ends() is None


def test_a_call_that_failed_is_told_on_one_line(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "rpcsvc"):
        tell_failed("call 7 of fib", FunctionRaised("fib raised ValueError: a\nb"))
    assert caplog.messages == ["call 7 of fib failed: fib raised ValueError: a\\nb"]


def test_a_call_that_failed_is_told_with_its_time_where_that_is_known(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rpcsvc.host.logs._seconds", None)  # as it is put back
    use_seconds(lambda: 0.51234)
    with caplog.at_level(logging.INFO, "rpcsvc"):
        tell_failed("call 7 of fib", FunctionRaised("no"))
    assert caplog.messages == ["call 7 of fib failed: no (after 0.512 s)"]


def test_a_failure_is_noted_for_the_process_or_where_somebody_keeps_it_for_a_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(logs, "failures", [])
    monkeypatch.setattr(logs, "_note", None)
    tell_failed("call 7 of fib", FunctionRaised("no"))
    tell_failed("call 8 of fib", FunctionRaised("no"))
    assert logs.failures == ["call 7 of fib"]
    noted: list[None] = []
    note_failures(lambda: noted.append(None))
    logs.failures.clear()
    tell_failed("call 9 of fib", FunctionRaised("no"))
    assert (noted, logs.failures) == ([None], [])


def test_a_log_that_raises_ends_no_call() -> None:
    def refuse(_: logging.LogRecord) -> bool:
        raise RuntimeError

    logger = logging.getLogger("rpcsvc.host.logs")
    logger.addFilter(refuse)
    logger.setLevel(logging.INFO)
    try:
        tell_failed("call 7 of fib", FunctionRaised("no"))
    finally:
        logger.removeFilter(refuse)
        logger.setLevel(logging.NOTSET)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("as it is, grüße", "as it is, grüße"),
        ("two\nlines\r\x1b[31m", "two\\nlines\\r\\x1b[31m"),
        ("x" * 1000, "x" * 300 + "…"),
    ],
)
def test_somebody_elses_text_stays_on_its_line(text: str, shown: str) -> None:
    assert one_line(text) == shown
