"""What ends a call softly in a thread: it hits the function or nothing, and is over when the function is."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from rpcsvc.errors import CallCancelled, TimeLimitExceeded
from rpcsvc.testing import scaled, wait_until
from rpcsvc.workers.inside.exceptions import SoftLimit, StopCall
from rpcsvc.workers.inside.stops import Clock, Stopped, Ticket, soft_limit


class Call:
    """A function that runs in a thread of its own; after it, some more code that must not be hit."""

    def __init__(self, function: Callable[[], Any]) -> None:
        self.ticket: Ticket | None = None
        self.outcome: Any = None
        self.after = 0
        self._thread = threading.Thread(target=self._run, args=(function,))
        self._thread.start()
        wait_until(lambda: self.ticket is not None)

    def _run(self, function: Callable[[], Any]) -> None:
        ticket = Ticket()
        try:
            self.ticket = ticket
            self.outcome = ticket.run(function)
        except BaseException as error:
            self.outcome = error
        for _ in range(2000):
            self.after += 1

    def stop(self, error: type[BaseException] = Stopped) -> bool:
        assert self.ticket is not None
        return self.ticket.stop(error)

    def end(self) -> Any:
        self._thread.join()
        assert self.after == 2000, "what comes after the function was not hit"
        return self.outcome


def steps() -> None:
    while True:
        time.sleep(0.001)


def test_a_function_that_runs_gets_the_exception_once() -> None:
    call = Call(steps)
    assert call.stop()
    assert not call.stop()
    error = call.end()
    assert isinstance(error, StopCall)
    assert isinstance(error, CallCancelled)
    assert str(error) == "the call was cancelled"


def test_one_that_has_ended_is_not_hit() -> None:
    call = Call(lambda: "done")
    assert call.end() == "done"
    assert not call.stop()


def test_one_that_catches_it_gives_what_it_has() -> None:
    def give_in() -> str:
        try:
            steps()
        except CallCancelled:
            return "what there is"
        raise AssertionError

    call = Call(give_in)
    assert call.stop()
    assert call.end() == "what there is"


@pytest.mark.parametrize("pause", [0.0, 0.0002, 0.0005, 0.001])
def test_whoever_comes_at_the_last_moment_hits_the_function_or_nothing(pause: float) -> None:
    outcomes = set()
    for _ in range(200):
        call = Call(lambda: time.sleep(pause))
        time.sleep(pause)
        was_hit = call.stop()
        outcome = call.end()
        assert outcome is None or (was_hit and isinstance(outcome, Stopped))
        outcomes.add((was_hit, outcome is None))
    assert outcomes <= {(True, True), (True, False), (False, True)}


STOPPED_AND_TRACED = """
import sys, threading, time
from rpcsvc.workers.inside.stops import Stopped, Ticket

ticket = Ticket()

def function():
    threading.Thread(target=ticket.stop, args=(Stopped,)).start()
    while True:
        time.sleep(0.001)

try:
    ticket.run(function)
except Stopped:
    sys.settrace(lambda *_: None)
    (lambda: print("traced"))()
"""


def test_a_thread_in_which_a_call_was_stopped_can_be_traced() -> None:
    """Python 3.11 hangs where something is marked as to be raised, and is not; no signal interrupts it."""
    done = subprocess.run(
        [sys.executable, "-c", STOPPED_AND_TRACED], capture_output=True, text=True, timeout=scaled(20), check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "traced\n", "")


def test_a_soft_limit_tells_how_long_it_was() -> None:
    error = soft_limit(1.5)()
    assert isinstance(error, SoftLimit)
    assert isinstance(error, TimeLimitExceeded)
    assert (error.message, error.data) == ("ran longer than its soft limit of 1.5 s", {"seconds": 1.5, "soft": True})


def test_the_clock_stops_each_when_its_time_is_up_and_not_what_is_over() -> None:
    clock = Clock()
    clock.start()
    for _ in range(2):  # it sleeps in between
        calls = [Call(steps) for _ in range(4)]
        began = time.monotonic()
        limits = [0.3, 0.05, 0.15, 60.0]
        for call, seconds in zip(calls, limits, strict=True):
            assert call.ticket is not None
            clock.set(call.ticket, seconds, soft_limit(seconds))
        for call, seconds in zip(calls[:3], limits[:3], strict=True):
            assert f"{seconds:g} s" in str(call.end())
        assert time.monotonic() - began >= 0.3
        assert calls[3].ticket is not None
        clock.unset(calls[3].ticket)
        clock.unset(calls[3].ticket)
        assert calls[3].stop()
        assert isinstance(calls[3].end(), Stopped)
        wait_until(lambda: clock._sleeps)
