"""Functions that start processes, in every way to detach one from the worker, and leave them running."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path
from typing import Any

import psutil

from rpcsvc import Registry

registry = Registry()
FORK = multiprocessing.get_context("fork")
KEPT: list[Any] = []
SLEEP = [sys.executable, "-c", "import time; time.sleep(3000)"]


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


def sleep(path: str) -> None:
    note(path, os.getpid())
    time.sleep(3000)


def ignore_everything(path: str) -> None:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    sleep(path)


def detached(path: str) -> None:
    """A daemon, as the books make one: two forks and a session, and nothing of its parent's environment."""
    middle = os.fork()
    if middle == 0:
        os.setsid()
        if os.fork() == 0:
            note(path, os.getpid())
            os.execve("/bin/sleep", ["sleep", "3000"], {})
        os._exit(0)
    os.waitpid(middle, 0)


def tree(path: str, depth: int = 3) -> None:
    """A process that has two children, each of which has two."""
    if depth:
        for _ in range(2):
            if os.fork() == 0:
                os.setsid()
                tree(path, depth - 1)
    sleep(path)


def in_the_background(path: str) -> None:
    subprocess.run(f"sleep 3000 & echo $! >> '{path}'", shell=True, check=True)


def start(how: str, path: str) -> None:
    match how:
        case "a program":
            KEPT.append(program := subprocess.Popen(["sleep", "3000"]))
            note(path, program.pid)
        case "a program in a session of its own":
            KEPT.append(program := subprocess.Popen(["sleep", "3000"], start_new_session=True))
            note(path, program.pid)
        case "a program in the background of a shell":
            in_the_background(path)
        case "a process":
            KEPT.append(process := FORK.Process(target=sleep, args=(path,)))
            process.start()
        case "a process that ignores signals":
            KEPT.append(process := FORK.Process(target=ignore_everything, args=(path,)))
            process.start()
        case "a process of a fork server":
            KEPT.append(process := multiprocessing.get_context("forkserver").Process(target=sleep, args=(path,)))
            process.start()
        case "a daemon":
            detached(path)
        case "a tree of sessions":
            if os.fork() == 0:
                tree(path)


WAYS = {
    "a program": 1,
    "a program in a session of its own": 1,
    "a program in the background of a shell": 1,
    "a process": 1,
    "a process that ignores signals": 1,
    "a process of a fork server": 1,
    "a daemon": 1,
    "a tree of sessions": 15,
}
"""Each way to start processes, and how many there are then."""


def start_all(folder: str) -> None:
    """Start processes in every way; their pids are in a file for each."""
    for how, count in WAYS.items():
        path = Path(folder) / how
        start(how, str(path))
        while not path.exists() or path.read_text().count("\n") < count:
            time.sleep(0.01)
    (Path(folder) / "started").touch()


@registry.function
def start_and_return(folder: str) -> int:
    start_all(folder)
    return os.getpid()


@registry.function
def start_and_wait(folder: str) -> None:
    """Wait for ever, whatever comes."""
    start_all(folder)
    while True:
        try:
            time.sleep(3000)
        except BaseException:
            continue


@registry.function(time_limit=0.3)
def wait_within_a_limit() -> None:
    time.sleep(3000)


@registry.function
def start_and_crash(folder: str) -> None:
    start_all(folder)
    os._exit(7)


@registry.function(time_limit=1)
def run(seconds: int) -> None:
    subprocess.run(["sleep", str(seconds)], check=False)


@registry.function
def helper() -> int:
    """A helper that is started once, and answers for as long as its worker lives; its pid."""
    if not KEPT:
        KEPT.append(subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE))
    cat = KEPT[0]
    cat.stdin.write(b"line\n")
    cat.stdin.flush()
    assert cat.stdout.readline() == b"line\n"
    assert cat.poll() is None
    return int(cat.pid)


@registry.function
def share(size: int) -> str:
    """The name of a piece of shared memory that nobody gives back; Python's tracker does, when the worker has gone."""
    KEPT.append(memory := SharedMemory(create=True, size=size))
    return memory.name


@registry.function
def leave_zombies(count: int, how: str) -> None:
    """Short daemons, or short programs that nobody waits for."""
    for _ in range(count):
        if how == "daemons":
            middle = os.fork()
            if middle == 0:
                os.setsid()
                os.fork()
                os._exit(0)
            os.waitpid(middle, 0)
        else:
            subprocess.run("true &", shell=True, check=True)


@registry.function
def start_short(how: str) -> None:
    """A process that ends at once, to be waited for by another call."""
    if how == "a program":
        KEPT.append(subprocess.Popen(["sh", "-c", "exit 3"]))
    else:
        KEPT.append(process := FORK.Process(target=os._exit, args=(3,)))
        process.start()


@registry.function
def status_of_short() -> int:
    kept = KEPT.pop()
    if isinstance(kept, subprocess.Popen):
        return kept.wait()
    kept.join()
    assert kept.exitcode is not None
    return kept.exitcode


@registry.function
def zombies() -> int:
    children = psutil.Process().children()
    return sum(child.status() == psutil.STATUS_ZOMBIE for child in children)
