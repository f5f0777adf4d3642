"""What each signal asks of a program that drains when it is told to stop."""

from __future__ import annotations

import pytest

from rpcsvc.host.stopping import Ask, StopRequests

TERM, INT = True, False


@pytest.mark.parametrize(
    ("signals", "asked"),
    [
        ([(0.0, TERM)], [Ask.DRAIN]),
        ([(0.0, INT)], [Ask.DRAIN]),
        # An echo: GNU timeout, a runner of many processes.
        ([(0.0, TERM), (0.0, TERM)], [Ask.DRAIN, Ask.NOTHING]),
        ([(0.0, TERM), (0.99, TERM)], [Ask.DRAIN, Ask.NOTHING]),
        ([(0.0, INT), (0.01, TERM)], [Ask.DRAIN, Ask.NOTHING]),
        # Meant.
        ([(0.0, TERM), (1.0, TERM)], [Ask.DRAIN, Ask.AT_ONCE]),
        ([(0.0, INT), (0.0, INT)], [Ask.DRAIN, Ask.AT_ONCE]),
        ([(0.0, INT), (500.0, INT)], [Ask.DRAIN, Ask.AT_ONCE]),
        ([(0.0, TERM), (0.01, INT)], [Ask.DRAIN, Ask.AT_ONCE]),
        ([(0.0, TERM), (60.0, INT)], [Ask.DRAIN, Ask.AT_ONCE]),
        ([(0.0, INT), (5.0, TERM)], [Ask.DRAIN, Ask.AT_ONCE]),
        # Echoes do not put off what is meant.
        ([(0.0, TERM), (0.5, TERM), (0.9, TERM), (1.2, TERM)], [Ask.DRAIN, Ask.NOTHING, Ask.NOTHING, Ask.AT_ONCE]),
        ([(0.0, TERM), (0.5, TERM), (0.6, INT)], [Ask.DRAIN, Ask.NOTHING, Ask.AT_ONCE]),
    ],
)
def test_a_sigterm_within_a_second_says_nothing_new_and_a_second_sigint_is_meant(
    signals: list[tuple[float, bool]], asked: list[Ask]
) -> None:
    now = 100.0
    requests = StopRequests(lambda: now)
    heard = []
    for at, may_be_an_echo in signals:
        now = 100.0 + at
        heard.append(requests.told(may_be_an_echo=may_be_an_echo))
    assert heard == asked
