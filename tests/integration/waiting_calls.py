"""Functions that wait, and some that do not let go: for the tests of workers with several threads."""

from __future__ import annotations

import os
import random
import signal
import sys
import threading
import time
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from rpcsvc import CallCancelled, Registry, Retry, TimeLimitExceeded, current_call

registry = Registry()
_started: list[int] = []


def note(path: str, text: object) -> None:
    """One line, whole, however many threads write."""
    with Path(path).open("a") as file:
        file.write(f"{text}\n")


@registry.worker_init
def start() -> None:
    _started.append(os.getpid())


@registry.function
def where() -> list[int]:
    """The worker, and the thread."""
    return [os.getpid(), threading.get_ident()]


@registry.function
def wait(seconds: float, value: Any = None) -> Any:
    time.sleep(seconds)
    return value


@registry.function
def wait_noting(path: str, number: int, seconds: float) -> int:
    note(path, f"{number} {os.getpid()} {time.time()} begun")
    time.sleep(seconds)
    note(path, f"{number} {os.getpid()} {time.time()} ended")
    return number


@registry.function(idempotent=False)
def wait_once(path: str, number: int, seconds: float) -> int:
    return wait_noting(path, number, seconds)


@registry.function
def wait_in_steps(path: str, number: int = 0) -> str:
    """Say what ends it: it does not end by itself."""
    note(path, f"{number} begun")
    try:
        while True:
            time.sleep(0.005)
    except CallCancelled:
        note(path, f"{number} CallCancelled")
        raise


@registry.function(soft_time_limit=0.3)
def over_softly() -> None:
    while True:
        time.sleep(0.005)


@registry.function(soft_time_limit=0.3)
def give_what_there_is() -> str:
    try:
        while True:
            time.sleep(0.005)
    except TimeLimitExceeded as error:
        return str(error)


@registry.function(time_limit=0.5)
def over_hard(seconds: float = 60) -> None:
    time.sleep(seconds)


@registry.function
def die(path: str, seconds: float = 0.0) -> None:
    note(path, os.getpid())
    time.sleep(seconds)
    os.kill(os.getpid(), signal.SIGKILL)


@registry.function
def die_at_first(path: str) -> str:
    """Take the worker down the first time."""
    note(path, "run")
    if len(Path(path).read_text().splitlines()) == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return "alive"


@registry.function(max_attempts=3)
def die_thrice(path: str) -> None:
    die(path, 0.2)


@registry.function(retry=Retry(attempts=2))
def die_as_a_cast(path: str) -> None:
    die(path, 0.3)


@registry.function(memory_limit=200 * 2**20)
def hold(size: int, seconds: float) -> int:
    block = bytearray(os.urandom(1024)) * (size // 1024)
    time.sleep(seconds)
    return len(block)


@registry.function
def about_me(seconds: float) -> list[Any]:
    """What it is told of its own call, before and after a wait."""
    told = []
    for _ in range(2):
        call = current_call()
        assert call is not None
        told.append([call.id, call.method, None if call.remaining is None else round(call.remaining)])
        time.sleep(seconds)
    return told


@registry.function
def attempt() -> int:
    call = current_call()
    assert call is not None
    return call.attempt


@registry.function
def call_in_a_thread_of_its_own() -> bool:
    told: list[Any] = []
    thread = threading.Thread(target=lambda: told.append(current_call()))
    thread.start()
    thread.join()
    return told == [None]


@registry.function
def fork_and_return() -> int:
    """Both the worker and its child come back from here."""
    child = os.fork()
    if child:
        os.waitpid(child, 0)
    return 7


@registry.function
def draw() -> float:
    return random.random()


_mine: ContextVar[str] = ContextVar("mine", default="nobody's")


@registry.function
def set_mine(value: str) -> str:
    """What was there before."""
    before = _mine.get()
    _mine.set(value)
    return before


@registry.function(soft_time_limit=0.1)
def raise_after_a_sleep() -> None:
    """Raise just when the soft limit, which could not come before, does."""
    time.sleep(0.2)
    raise ValueError("after the sleep")


@registry.function
def leave() -> None:
    sys.exit(3)


@registry.function
def big(size: int) -> bytes:
    return bytes(size)


@registry.function
def hidden(path: str, seconds: float) -> None:
    """A function that does not let itself be stopped."""
    note(path, "begun")
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            while time.monotonic() < end:
                time.sleep(0.005)
        except CallCancelled:
            pass
    note(path, "through")


@registry.function
def started() -> int:
    return len(_started)
