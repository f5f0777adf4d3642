"""Functions that do what functions do at their worst. The server of the integration tests serves them."""

from __future__ import annotations

import ctypes
import os
import random
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

from rpcsvc import Registry, TimeLimitExceeded
from rpcsvc.functions import registry as built_in

registry = Registry(default="fib")
registry.include(built_in)


@registry.function
def exit_hard(code: int) -> None:
    os._exit(code)


@registry.function
def segfault() -> None:
    ctypes.string_at(0)


@registry.function
def exit_politely(code: int) -> None:
    sys.exit(code)


@registry.function
def kill_myself(signal_number: int) -> None:
    os.kill(os.getpid(), signal_number)
    time.sleep(60)


@registry.function
def raise_error(message: str) -> None:
    raise LookupError(message)


@registry.function
def return_a_lock() -> Any:
    return threading.Lock()


@registry.function
def hang_up(seconds: float) -> int:
    """Close every descriptor but the standard ones, which takes the worker's socket away, and stay alive."""
    os.closerange(3, 1024)
    time.sleep(seconds)
    return os.getpid()


@registry.function
def pid() -> int:
    return os.getpid()


@registry.function
def write_then_sleep(path: str, text: str, seconds: float) -> str:
    """Leave a trace of every start, then take a while."""
    with Path(path).open("a") as file:
        file.write(text + "\n")
    time.sleep(seconds)
    return text


def write(path: str, text: object) -> None:
    """One line, whole, however many processes write."""
    with Path(path).open("a") as file:
        file.write(f"{text}\n")


@registry.function
def nap(seconds: float) -> float:
    """Sleep; unlike `time.sleep`, not at all for none."""
    if seconds:
        time.sleep(seconds)
    return seconds


@registry.function
def pause(gate: str) -> str:
    """Wait until a file of that name is there; not at all for none."""
    while gate and not Path(gate).exists():
        time.sleep(0.02)
    return gate


@registry.function
def trace(path: str, number: int, fatal: int = -1, slow: int = -1) -> int:
    """Leave a trace of the start and give the number back; the fatal one ends the process, the slow one takes long."""
    write(path, f"{number} {os.getpid()}")
    if number == fatal:
        os._exit(7)
    if number == slow:
        time.sleep(60)
    return number


@registry.function(idempotent=False)
def trace_once(path: str, number: int, fatal: int = -1, slow: int = -1) -> int:
    """The same, and must not run twice."""
    return trace(path, number, fatal, slow)


@registry.function
def trace_large(path: str, number: int, size: int) -> str:
    """The same, with a result of so many bytes."""
    trace(path, number)
    return "x" * size


@registry.function(idempotent=False)
def trace_large_once(path: str, number: int, size: int) -> str:
    """The same, and must not run twice."""
    return trace_large(path, number, size)


@registry.function
def large_or_slow(size: int, seconds: float) -> str:
    """Sleep, for no time at all if it is 0, and give so many letters back."""
    nap(seconds)
    return "x" * size


@registry.function(idempotent=False)
def trace_large_later(path: str, number: int, size: int, seconds: float) -> str:
    """The same, after a while."""
    trace(path, number)
    time.sleep(seconds)
    return "x" * size


@registry.function(idempotent=False)
def write_once_then_sleep(path: str, text: str, seconds: float) -> str:
    """The same as `write_then_sleep`, and must not run twice."""
    return write_then_sleep(path, text, seconds)


@registry.function
def pass_gate(path: str, text: str, gate: str) -> str:
    """Leave a trace of every start, then wait until a file named `gate` is there."""
    write(path, text)
    while not Path(gate).exists():
        time.sleep(0.02)
    return text


@registry.function(idempotent=False)
def pass_gate_once(path: str, text: str, gate: str) -> str:
    """The same, and must not run twice."""
    return pass_gate(path, text, gate)


@registry.function(time_limit=0.5)
def hold_on(how: str) -> None:
    """Do not come back, in one way or another."""
    match how:
        case "a loop":
            while True:
                pass
        case "C code that keeps the interpreter's lock":
            ctypes.PyDLL(None).sleep(60)
        case "a deadlock":
            lock = threading.Lock()
            lock.acquire()
            lock.acquire()
        case "a stopped process":
            os.kill(os.getpid(), signal.SIGSTOP)


@registry.function
def never_mind() -> None:
    """Catch every exception that comes, and go on."""
    while True:
        try:
            time.sleep(60)
        except BaseException:
            continue


@registry.function(time_limit=0.5)
def double_slowly(number: int) -> int:
    """Twice the number; 13 takes for ever."""
    while number == 13:
        pass
    return 2 * number


@registry.function(soft_time_limit=0.3, time_limit=5)
def tidy_up(path: str, catch: bool) -> str:
    """Work until told to stop, and leave a note behind."""
    try:
        while True:
            pass
    except TimeLimitExceeded:
        if catch:
            return "what there was by then"
        raise
    finally:
        write(path, "tidied")


@registry.function
def fork_a_daemon() -> int:
    """Leave a child behind that holds whatever this process has open."""
    child = os.fork()
    if child == 0:
        time.sleep(60)
        os._exit(0)
    return child


@registry.function
def random_number() -> float:
    return random.random()


@registry.function
def large(size: int) -> bytes:
    return b"x" * size


@registry.function
def print_something(text: str) -> None:
    print(text, flush=True)


def die_at_first(path: str, number: int, deaths: int) -> int:
    """End the process, the first so many times that it is called with this number."""
    write(path, number)
    if Path(path).read_text().split().count(str(number)) <= deaths:
        os._exit(7)
    return number


registry.add(die_at_first)
registry.add(die_at_first, name="die_at_first_3", max_attempts=3)
