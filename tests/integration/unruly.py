"""Functions for the tests of the worker pool: they run long, hold on, hide exceptions, take memory."""

from __future__ import annotations

import functools
import inspect
import os
import resource
import signal
import time
from pathlib import Path
from typing import Any

from rpcsvc import CallCancelled, Registry, TimeLimitExceeded

registry = Registry()


def note(path: str, text: object) -> None:
    """One line, whole, however many processes write."""
    with Path(path).open("a") as file:
        file.write(f"{text}\n")


@registry.function
def pid() -> int:
    return os.getpid()


@registry.function
def echo(value: Any) -> Any:
    return value


@registry.function
def work(path: str) -> None:
    """Say when it begins and when it has been stopped; it does not end by itself."""
    note(path, "begun")
    try:
        while True:
            pass
    except CallCancelled:
        note(path, "CallCancelled")
        raise
    finally:
        note(path, "tidied")


@registry.function
def work_on(path: str, number: int, seconds: float) -> int:
    """Say that it begins, and take a while."""
    note(path, number)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass
    return number


class SlowlyChecked(type):
    def __instancecheck__(cls, path: object) -> bool:
        note(str(path), "checking")
        time.sleep(0.3)
        return True


class SlowPath(metaclass=SlowlyChecked):
    """Whether something is one takes a while to tell."""


@registry.function
def work_after_a_slow_check(path: SlowPath) -> None:
    work(str(path))


@registry.function
def give_in(path: str) -> str:
    """End with a result when it is called off."""
    try:
        note(path, "begun")
        while True:
            pass
    except CallCancelled:
        return "what there was"


@registry.function
def hold_on(path: str, how: str) -> None:
    """Do not come back, in one way or another."""
    note(path, os.getpid())
    match how:
        case "hides every exception":
            while True:
                try:
                    time.sleep(60)
                except BaseException:
                    continue
        case "C code that keeps the interpreter's lock":
            sum(range(10**12))
        case "a stopped process":
            os.kill(os.getpid(), signal.SIGSTOP)
        case "does not take the signal":
            signal.signal(signal.SIGUSR2, signal.SIG_IGN)
            time.sleep(60)


@registry.function(soft_time_limit=0.5)
def tidy_up_slowly(path: str) -> None:
    """Clear up for a while, whatever ended it, and note every exception."""
    try:
        note(path, "begun")
        while True:
            pass
    except (CallCancelled, TimeLimitExceeded) as error:
        note(path, type(error).__mro__[1].__name__)
        try:
            end = time.monotonic() + 0.6
            while time.monotonic() < end:
                pass
            note(path, "tidied")
        except (CallCancelled, TimeLimitExceeded) as second:
            note(path, f"and then {type(second).__mro__[1].__name__}")
        raise


c_sleep = functools.partial(time.sleep)  # without a frame of its own
c_sleep.__signature__ = inspect.signature(lambda seconds: None)  # type: ignore[attr-defined]
registry.function(name="c_sleep", check=False)(c_sleep)

MIB = 2**20
_kept: list[bytes] = []


@registry.function
def keep(mebibytes: int) -> int:
    """Take memory and do not give it back."""
    _kept.append(b"x" * (mebibytes * MIB))
    return os.getpid()


@registry.function(memory_limit=64 * MIB)
def grow(mebibytes: int, how: str = "and give it back") -> int:
    """Take so much, a MiB at a time."""
    blocks = [b"x" * MIB for _ in range(mebibytes)]
    match how:
        case "slowly":
            while True:
                time.sleep(0.005)
                blocks.append(b"x" * MIB)
        case "a loop in C":
            sum(range(10**12))
        case "a stopped process":
            os.kill(os.getpid(), signal.SIGSTOP)
        case "as fast as it can":
            while True:
                blocks.append(b"x" * (16 * MIB))
        case "hiding every exception":
            while True:
                try:
                    blocks.append(b"x" * (16 * MIB))
                except BaseException:
                    continue
    return mebibytes


@registry.function(memory_limit=64 * MIB)
def ask_for(mebibytes: int) -> int:
    """Ask for so much at once; nothing is written to it, so no page of it is there."""
    return len(bytes(mebibytes * MIB))


@registry.function
def allowed() -> tuple[int, int]:
    """What the kernel allows this process."""
    return resource.getrlimit(resource.RLIMIT_DATA)
