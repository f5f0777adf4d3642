"""What is said of signals."""

from __future__ import annotations

import signal

import pytest

from rpcsvc.host.signals import describe_exit


@pytest.mark.parametrize(
    ("exit_code", "signal_number", "words"),
    [
        (None, int(signal.SIGKILL), "by SIGKILL"),
        (None, 250, "by signal 250"),
        (3, None, "with exit code 3"),
        (0, None, "with exit code 0"),
        (None, None, "for a reason that is not known"),
    ],
)
def test_the_end_of_a_process_is_told_in_words(exit_code: int | None, signal_number: int | None, words: str) -> None:
    assert describe_exit(exit_code, signal_number) == words
