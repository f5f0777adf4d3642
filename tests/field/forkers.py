"""Functions that fork, by every way that Python has, and what their children do then."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import multiprocessing
import os
import select
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, NoReturn

from rpcsvc import Registry

registry = Registry()
FORK = multiprocessing.get_context("fork")
WAYS = {
    "returns": lambda: 7,
    "exits": lambda: sys.exit(0),
    "exits with 3": lambda: sys.exit(3),
    "exits with a sentence": lambda: sys.exit("enough"),
    "raises": lambda: raise_(ValueError("the child's")),
    "is interrupted": lambda: raise_(KeyboardInterrupt()),
    "closes a generator": lambda: raise_(GeneratorExit()),
}


def raise_(error: BaseException) -> NoReturn:
    raise error


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


def status_of(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@registry.function
def fork(how: str) -> Any:
    """The child ends in some way; the parent waits for it, and returns how."""
    child = os.fork()
    return status_of(child) if child else WAYS[how]()


@registry.function
def fork_in_c(how: str) -> Any:
    """The same, behind Python's back."""
    child = ctypes.PyDLL(None).fork()
    return status_of(child) if child else WAYS[how]()


@registry.function
def fork_in_a_thread(how: str) -> Any:
    """The same; what the thread was to do ends with it."""
    statuses: list[int] = []

    def run() -> None:
        child = os.fork()
        if child:
            statuses.append(status_of(child))
        else:
            WAYS[how]()

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return statuses


@registry.function(time_limit=30, soft_time_limit=20, memory_limit=2**33)
def fork_within_limits(path: str, gate: str) -> Any:
    """The child returns at once; the parent says so, and waits until a file named `gate` is there."""
    child = os.fork()
    if child:
        note(path, status_of(child))
        while not Path(gate).exists():
            time.sleep(0.01)
    return child


class Forks:
    """An object that forks when it goes."""

    def __del__(self) -> None:
        child = os.fork()
        if child:
            status_of(child)


@registry.function
def fork_in_a_finalizer() -> str:
    forks = Forks()
    forks.itself = forks  # type: ignore[attr-defined]
    del forks
    gc.collect()
    return "returned"


class Checked(type):
    def __instancecheck__(cls, _: object) -> bool:
        child = os.fork()
        return not child or status_of(child) == 0


class Argument(metaclass=Checked):
    pass


@registry.function
def fork_in_the_check(value: Argument) -> str:
    return "returned"


@registry.function
def count_and_fork(path: str, number: int) -> int:
    """Leave a trace; number 1 forks, and its child comes back."""
    note(path, number)
    if number == 1:
        child = os.fork()
        if child:
            status_of(child)
    return number


@registry.function
def print_and_fork() -> None:
    print("before,", end=" ")
    child = os.fork()
    if child:
        status_of(child)
        print("parent", flush=True)
    else:
        print("child,", end=" ")


@registry.function
def write_to_the_socket(*frames: bytes) -> str:
    """What a program does that takes a descriptor for another one."""
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            if os.readlink(f"/proc/self/fd/{name}").startswith("socket:"):
                for each in frames:
                    os.write(int(name), each)
    return "returned"


@registry.function
def read_from_the_socket() -> int:
    """Read what is to come, as far as it is there within half a second."""
    size = 0
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            if os.readlink(f"/proc/self/fd/{name}").startswith("socket:"):
                while select.select([int(name)], [], [], 0.5)[0]:
                    size += len(os.read(int(name), 65536))
    return size


# ---- what children inherit ------------------------------------------------------------------------------------------


def inherited() -> dict[str, Any]:
    """What a process has of its parent's."""
    signals = {name: signal.getsignal(getattr(signal, name)) for name in SIGNALS}
    return {
        "handlers": {name: getattr(handler, "name", repr(handler)) for name, handler in signals.items()},
        "blocked": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
        "wake-up": signal.set_wakeup_fd(-1),
        "sockets": sum(link.startswith("socket:") for link in links()),
    }


SIGNALS = ["SIGTERM", "SIGINT", "SIGHUP", "SIGCHLD", "SIGUSR1", "SIGUSR2", "SIGALRM"]


def links() -> list[str]:
    found = []
    for name in os.listdir("/proc/self/fd"):
        try:
            found.append(os.readlink(f"/proc/self/fd/{name}"))
        except FileNotFoundError:
            continue
    return found


def from_a_child() -> dict[str, Any]:
    """What a child has."""
    ours, childs = FORK.Pipe()
    with ours, childs:
        child = FORK.Process(target=lambda: childs.send(inherited()))
        child.start()
        found: dict[str, Any] = ours.recv()
        child.join()
    return found


@registry.function(soft_time_limit=20)
def what_a_child_has() -> Any:
    return from_a_child()


OF_THE_IMPORT = from_a_child()


@registry.function
def what_a_child_of_the_import_had() -> Any:
    return OF_THE_IMPORT


@registry.function
def what_a_child_has_of_the_functions_own() -> Any:
    """A handler that a function has set is its own business, and so is its children's."""
    was = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        return from_a_child()["handlers"]["SIGTERM"]
    finally:
        signal.signal(signal.SIGTERM, was)


@registry.function
def terminate(start: str) -> int:
    """The exit code of a child process that is terminated at once."""
    process = multiprocessing.get_context(start).Process(target=time.sleep, args=(60,))
    process.start()
    process.terminate()
    process.join()
    assert process.exitcode is not None
    return process.exitcode


@registry.function
def compute_in_a_pool(numbers: list[int]) -> list[int]:
    with FORK.Pool(4) as pool:
        return pool.map(abs, numbers)


@registry.function
def compute_in_an_executor(numbers: list[int]) -> list[int]:
    with ProcessPoolExecutor(2, mp_context=FORK) as pool:
        return list(pool.map(abs, numbers))


@registry.function
def terminate_a_program(**options: Any) -> int:
    program = subprocess.Popen(["sleep", "60"], preexec_fn=os.setsid if options.get("setsid") else None)
    program.terminate()
    return program.wait()
