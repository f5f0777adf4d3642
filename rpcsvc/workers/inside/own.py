"""What is a process's own, and does not cross a fork that other people's code makes.

The fork server imports a registry, its workers run functions, and either may fork: `os.fork`, multiprocessing, process
pools. A child is a copy of everything: of signal handlers, which would make it deaf to SIGTERM; of sockets, which it
would hold open; of memory that is shared on purpose; and of the stack, at whose bottom our loop waits for the import or
the function to return. So each of our processes says what is its own (`Belongings`), and a child gives it up in the
moment of its birth, before any other code runs: it has what a child of a plain Python program has. What the functions
themselves have set, handlers for example, stays theirs.

A child that comes back from the function ends there (`leave`), as a program does that comes to its end.

Around the fork the signals that are handled here wait: one that reaches the child in its first microseconds meets its
own dispositions, not ours. What was printed is flushed before, lest both print it.

Programs that are started with exec (subprocess) get nothing of all this from the kernel already. A fork made behind
Python's back, by C code, is not seen here.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from types import FrameType
from typing import Any, NoReturn, TypeAlias

from .. import output
from . import exceptions as raising

Handler: TypeAlias = Callable[[int, FrameType | None], Any]

_PR_SET_PDEATHSIG = 1


@dataclass(slots=True)
class Belongings:
    """What a process of ours has for itself.

    Attributes:
        pid: the process that it is of.
    """

    pid: int = field(default_factory=os.getpid)
    _handlers: dict[int, tuple[Handler, Any]] = field(default_factory=dict)  # ours, and what children have
    _give_up: list[Callable[[], object]] = field(default_factory=list)

    @staticmethod
    def of_this_process() -> Belongings:
        """Those that are held."""
        assert _held is not None
        return _held

    def handle(self, number: int, handler: Handler) -> Any:
        """Handle a signal; what was there before. If others had set that, it is what their children will have."""
        found = signal.signal(number, handler)
        ours, theirs = self._handlers.get(number, (None, found))
        self._handlers[number] = handler, theirs if found == ours else found
        return found

    def add(self, give_up: Callable[[], object]) -> None:
        """Have this called in a child: something is closed, or let go."""
        self._give_up.append(give_up)

    def hold(self) -> None:
        """From now on this is what this process has."""
        global _held, _is_registered  # noqa: PLW0603 what a process has is one thing for all of it
        _held = self
        if not _is_registered:
            os.register_at_fork(before=_before, after_in_parent=_in_parent, after_in_child=_in_child)
            _is_registered = True

    @property
    def signals(self) -> set[int]:
        """Those that are handled."""
        return set(self._handlers)

    def pass_on(self) -> Belongings:
        """In a child that is one of ours: it handles the same signals, and has nothing else of it."""
        self._let_go()
        return Belongings(_handlers=dict(self._handlers))

    def give_up(self) -> None:
        """In a child that others have made: have none of it."""
        self._let_go()
        for number, (ours, theirs) in self._handlers.items():
            if signal.getsignal(number) == ours:
                signal.signal(number, signal.SIG_DFL if theirs is None else theirs)

    def _let_go(self) -> None:
        for give_up in self._give_up:
            with contextlib.suppress(Exception):
                give_up()


@dataclass(frozen=True, slots=True)
class _Fork:
    """A fork under way.

    Attributes:
        mask: the signals that the thread had blocked.
        by_main_thread: whether the child's parent thread is one that lives as long as its process.
        ours: whether the child is one of our processes.
    """

    mask: set[int]
    by_main_thread: bool
    ours: bool


_held: Belongings | None = None
_is_registered = False
_forks: dict[int, _Fork] = {}  # by thread: two may fork at the same time
_our_forks: set[int] = set()  # threads


def fork() -> int:
    """Fork one of our own processes, which holds what `Belongings.pass_on` leaves it.

    Python's warning of threads is not wanted here; `-W error` would make an error of it.
    """
    me = threading.get_ident()
    _our_forks.add(me)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            return os.fork()
    finally:
        _our_forks.discard(me)


def _before() -> None:
    if _held is None:
        return
    output.flush()
    me = threading.get_ident()
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, _held.signals)
    _forks[me] = _Fork(mask, threading.current_thread() is threading.main_thread(), me in _our_forks)


def _in_parent() -> None:
    fork = _forks.pop(threading.get_ident(), None)
    if fork is not None:
        signal.pthread_sigmask(signal.SIG_SETMASK, fork.mask)


def _in_child() -> None:
    global _held
    fork = _forks.pop(threading.get_ident(), None)
    if fork is None or _held is None:
        return
    held, _held = _held, None
    _forks.clear()
    if fork.ours:
        held.pass_on().hold()
    else:
        raising.strayed = True
        held.give_up()
    if fork.by_main_thread:
        die_with(held.pid)
    signal.pthread_sigmask(signal.SIG_SETMASK, fork.mask)


def die_with(parent: int) -> None:
    """Have the kernel kill this process when the thread that forked it ends; does nothing but on Linux.

    Args:
        parent: the process of that thread.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() not in (parent, 0):  # it ended in between; 0 is a parent in another namespace
            os._exit(1)


def leave_if_strayed(error: BaseException | None = None) -> None:
    """End this process if others have made it, and it has come back.

    Args:
        error: as for `leave`.
    """
    if _held is None or os.getpid() != _held.pid:
        leave(error)


def outlive_the_parent() -> None:
    """Undo `die_with`."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, 0)


def leave(error: BaseException | None) -> NoReturn:
    """End this process, which is a child that has come back, as a Python program ends; exit handlers are its parent's.

    Args:
        error: what its function has raised; None if it returned.
    """
    code = 1
    try:
        code = _exit_code(error)
        output.flush()
    finally:
        os._exit(code)


def _exit_code(error: BaseException | None) -> int:
    if error is None:
        return 0
    if isinstance(error, SystemExit):
        if error.code is None:
            return 0
        if isinstance(error.code, int):
            return error.code & 0xFF
        print(error.code, file=sys.stderr)
    else:
        traceback.print_exception(error)
    return 1
