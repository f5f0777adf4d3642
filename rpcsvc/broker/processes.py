"""Which processes belong to a node, and how they end.

A node is more than one process: the Erlang VM, its helpers (erl_child_setup, inet_gethost), and epmd, which detaches
itself and would outlive it. All of them carry the node's folder in their environment, and nobody else does; so a pid
that has been given to another process, or another node's epmd, is never mistaken for ours.
"""

from __future__ import annotations

import time
from pathlib import Path

import psutil

from ..deadline import Deadline
from .config import MARK

_STEP = 0.02
_CLOCK_SLACK = 5.0
"""Seconds by which two readings of one process's start may differ: they are counted from a clock that can be set."""


def started_at(pid: int) -> float:
    """When the process started, in seconds since 1970; 0.0 if there is none."""
    try:
        return float(psutil.Process(pid).create_time())
    except psutil.Error:
        return 0.0


def belongs(pid: int, created: float, folder: Path) -> bool:
    """Whether the process `pid`, started at `created` (see `started_at`), is alive and of the node in `folder`."""
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        try:
            environ = process.environ()
        except psutil.AccessDenied:
            environ = {}
        if environ:
            return bool(environ.get(MARK) == str(folder))
        # In the middle of an exec, or of its end, a process shows no environment.
        return bool(abs(process.create_time() - created) <= _CLOCK_SLACK)
    except (psutil.Error, OSError, ValueError, OverflowError):
        return False


def of_node(folder: Path) -> list[psutil.Process]:
    """Every process of the node in `folder` that can be seen to be one."""
    return marked(MARK, str(folder))


def marked(name: str, value: str) -> list[psutil.Process]:
    """Every process, that can be seen to be one, in whose environment the variable `name` has this value."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(name) == value and _is_alive(process):
                found.append(process)
        except (psutil.Error, OSError):
            continue  # it has ended, or it is another user's
    return found


def kill_all(folder: Path, *, timeout: float = 10.0) -> list[psutil.Process]:
    """SIGKILL every process of the node in `folder`, and wait for their end; what is left after `timeout` seconds."""
    return kill_marked(MARK, str(folder), timeout=timeout)


def kill_marked(name: str, value: str, *, timeout: float = 10.0) -> list[psutil.Process]:
    """As `kill_all`, for every process in whose environment the variable `name` has this value."""
    deadline = Deadline.after(timeout)
    left: list[psutil.Process] = []
    quiet = 0
    # Two looks that find nothing: in the middle of an exec a process is not seen.
    while quiet < 2 and not deadline.expired:
        found = marked(name, value)
        for process in found:
            _kill(process)
        left = [process for process in {*left, *found} if _is_alive(process)]
        quiet = 0 if found or left else quiet + 1
        time.sleep(_STEP)
    return left


def _is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def _kill(process: psutil.Process) -> None:
    try:
        process.kill()
    except psutil.Error:
        return
