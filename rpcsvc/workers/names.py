"""The names of processes, as `ps` and `top` show them.

The command line is the memory that the kernel put it into when the program started; `ps` reads it there, so a process
may write another one over it, as long as that is no longer. Linux only. Elsewhere, and where /proc is missing or may
not be written to, processes keep the command line that they were started with, and nothing else is missing.
"""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

_PR_SET_NAME = 15
_ARG_START, _ARG_END = 48, 49
"""Places in /proc/self/stat, from 1; proc(5)."""


class CommandLine:
    """Where this process, and any that is forked from it, has its command line."""

    def __init__(self, proc: Path = Path("/proc/self")) -> None:
        self._memory = proc / "mem"
        self._start, self._size = _place(proc)

    def show(self, text: str) -> None:
        """Have this process shown by that text, cut where there is no room for it."""
        if self._size < 3:
            return
        # A last byte that is not NUL tells Linux that this is a text, which ends with the first NUL (as setproctitle(3)
        # of other systems leaves it), and no longer a list of arguments.
        title = text.encode(errors="replace")[: self._size - 2].ljust(self._size - 1, b"\0") + b"."
        try:
            with open(self._memory, "r+b", buffering=0) as memory:
                os.pwrite(memory.fileno(), title, self._start)
        except OSError:
            self._size = 0

    def __repr__(self) -> str:
        return f"<CommandLine of {self._size} bytes>"


def _place(proc: Path) -> tuple[int, int]:
    """The address and the size of the command line; size 0 where it is not known for sure."""
    try:
        # The name of the program, which may hold anything, stands in parentheses.
        fields = (proc / "stat").read_bytes().rpartition(b")")[2].split()
        start, end = int(fields[_ARG_START - 3]), int(fields[_ARG_END - 3])
        shown = (proc / "cmdline").read_bytes()
        with open(proc / "mem", "rb", buffering=0) as memory:
            held = os.pread(memory.fileno(), len(shown), start)
    except (OSError, ValueError, IndexError, OverflowError):
        return 0, 0
    return (start, end - start) if shown and held == shown and len(shown) == end - start else (0, 0)


def name_this_thread(name: str) -> None:
    """Give the calling thread a name of up to 15 bytes, which is the process's where it is the first."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_NAME, name.encode()[:15])
