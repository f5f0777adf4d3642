"""What a process starts ends with it, also when it is killed: a second process that does nothing but wait for that.

    starter ──pipe──> keeper     orders as JSON lines; the end of the pipe, or another parent, means the starter is gone
       │                 └──> ends what was not let go: processes, by a mark in their environment; a private broker
       └──> whatever it starts   and its folder

A process cannot clean up after its own SIGKILL, and what it started runs in sessions of its own, so that Ctrl-C in a
terminal does not reach it. The keeper is started with the first thing that is to be kept, before that is, and ends
with the last. It belongs to nobody's terminal, holds no stream of its starter's open, and knows only what to end.

This is the starter's side; the other is `keeping`. A mark is a random word, which no other process carries.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

MARK = "RPCSVC_ENDS_WITH"
"""The variable in the environment of processes that end with another one."""


@contextlib.contextmanager
def keep_processes() -> Iterator[dict[str, str]]:
    """For as long as this block runs: what is started with these variables is killed if this process goes.

    Yields:
        what is to be added to the environment of each such process. Those that they start inherit it.
    """
    mark = secrets.token_hex(8)
    with _kept({"processes": mark}):
        yield {MARK: mark}


@contextlib.contextmanager
def keep_broker(folder: Path, *, remove: bool = False) -> Iterator[None]:
    """For as long as this block runs: the private broker in `folder` ends if this process goes.

    Args:
        remove: whether to remove the folder too. A node whose folder stays is stopped in order.
    """
    with _kept({"broker": str(folder), "remove": remove}):
        yield


@contextlib.contextmanager
def keep_all_processes() -> Iterator[None]:
    """As `keep_processes`, for whatever this process starts with its own environment. For a program's main function."""
    with keep_processes() as mark:
        before = os.environ.get(MARK)
        os.environ.update(mark)  # of this process itself the system shows the environment that it began with
        try:
            yield
        finally:
            del os.environ[MARK]
            if before is not None:
                os.environ[MARK] = before


@contextlib.contextmanager
def keep_folder(folder: Path) -> Iterator[None]:
    """For as long as this block runs: the folder is removed if this process goes. Whoever leaves it, removes it."""
    with _kept({"folder": str(folder)}):
        yield


class _Keeper:
    """The keeper of this process: started with the first thing to keep, and ended with the last."""

    def __init__(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._kept = 0
        self._number = 0

    def is_of_this_process(self) -> bool:
        """Whether the keeper is this process's, not a parent's that was inherited by a fork."""
        return self._pid == os.getpid()

    def keep(self, what: dict[str, Any]) -> int:
        """Have something kept; its number."""
        with self._lock:
            if self._process is None:
                self._process = _start()
            self._kept += 1
            self._number += 1
            self._tell({"keep": self._number, **what})
            return self._number

    def let_go(self, number: int) -> None:
        """Let go of what has been ended, or is not to be."""
        with self._lock:
            self._tell({"let_go": number})
            self._kept -= 1
            if not self._kept and self._process is not None:
                process, self._process = self._process, None
                assert process.stdin is not None
                with contextlib.suppress(OSError):
                    process.stdin.close()
                process.wait()

    def _tell(self, order: dict[str, Any]) -> None:
        if self._process is None or self._process.stdin is None:
            return
        with contextlib.suppress(OSError):  # it was killed; then nobody cleans up after us
            self._process.stdin.write(json.dumps(order).encode() + b"\n")
            self._process.stdin.flush()


_keeper = _Keeper()


@contextlib.contextmanager
def _kept(what: dict[str, Any]) -> Iterator[None]:
    global _keeper  # noqa: PLW0603 one for each process
    if not _keeper.is_of_this_process():
        _keeper = _Keeper()
    keeper = _keeper
    number = keeper.keep(what)
    try:
        yield
    finally:
        if keeper.is_of_this_process():  # a fork leaves its parent's things to its parent
            keeper.let_go(number)


def _start() -> subprocess.Popen[bytes]:
    environ = {name: value for name, value in os.environ.items() if name != MARK}
    return subprocess.Popen(  # noqa: S603 our own interpreter
        [sys.executable, "-m", f"{__package__}.keeping"],
        env={**environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
        start_new_session=True,
    )
