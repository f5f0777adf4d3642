"""Shortages that pass are told apart, told once, and tried again at growing distances."""

from __future__ import annotations

import errno
import logging

import pytest

from rpcsvc.workers.shortage import Shortage, is_passing


def test_what_passes_is_told_from_what_does_not() -> None:
    assert is_passing(OSError(errno.EAGAIN, "too many processes"))
    assert is_passing(MemoryError())
    assert not is_passing(OSError(errno.EPERM, "forbidden"))
    assert not is_passing(ValueError())
    assert not is_passing(None)


def test_so_is_an_error_that_comes_of_one() -> None:
    def fail() -> None:
        try:
            raise OSError(errno.EMFILE, "too many open files")
        except OSError:
            raise ImportError("no module") from None

    with pytest.raises(ImportError) as caught:
        fail()
    assert is_passing(caught.value)


def test_attempts_grow_apart_up_to_two_seconds() -> None:
    shortage = Shortage("no worker can be started")
    pauses = [shortage.met("fork: too many", 0.0) for _ in range(7)]
    assert pauses == [0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0]
    shortage.over()
    assert shortage.met("again", 0.0) == 0.1


def test_it_is_told_when_it_begins_each_minute_and_when_it_is_over(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    shortage = Shortage("no worker can be started")
    for now in (0.0, 1.0, 59.0, 61.0):
        shortage.met("fork: too many", now)
    assert shortage.why == "fork: too many"
    shortage.over()
    shortage.over()
    assert [record.getMessage() for record in caplog.records] == [
        "no worker can be started for now: fork: too many; tried again until there is room",
        "no worker can be started for now: fork: too many; tried again until there is room",
        "there is room again: fork: too many",
    ]
    assert shortage.why == ""
