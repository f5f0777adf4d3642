"""Processes that functions start end with their worker: however it ends, and however they have detached themselves.

On Linux fork server and workers are subreapers (prctl(2), PR_SET_CHILD_SUBREAPER): a process whose parent ends becomes
the child of its nearest ancestor that is one. So

- what a function starts, and what that starts, stays below its worker, with sessions and double forks too;
- when a worker has ended, what was below it is the fork server's at that moment, and nothing else is but its workers
  and what the import has started. It is killed, and so is what becomes the fork server's by that, until none is left.

No list is kept and nobody is searched for; while its worker lives, a process is left alone.

A worker is given the zombies of processes that others have started. Those of its own are its functions', who may wait
for them at any time, and the kernel does not say which is which (`Zombies`).

Elsewhere than on Linux there is nothing of the kind. What can be seen below a worker is killed with it when the pool
kills it.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from .shortage import is_passing

MARK = "RPCSVC_FORK_SERVER"
"""The variable in the environment of a fork server, and so of all that is below it."""
_PR_SET_CHILD_SUBREAPER = 36
_TRACKER = b"resource_tracker"
_TRACKER_MAY_TAKE = 1.0
"""Seconds. It ends by itself when those have gone whose shared memory it tracks, and frees that. Killed it does not."""
_LOOK_AGAIN = 0.05
_STEP = 0.002
"""Seconds."""


def adopt() -> None:
    """Be the parent of what is left behind below this process; does nothing but on Linux."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def children_of(pid: int) -> list[int]:
    """The children of a process, zombies among them, in the order in which it got them.

    Raises:
        OSError: there is no descriptor to look with, or too little memory, for now.
    """
    found: list[int] = []
    try:
        for task in Path(f"/proc/{pid}/task").iterdir():
            found += map(int, (task / "children").read_bytes().split())
    except OSError as error:
        if is_passing(error):
            raise
        # No such process, no Linux, or one that is built without these files.
        import psutil  # noqa: PLC0415 a worker on Linux does not carry it

        with contextlib.suppress(psutil.Error):
            return [child.pid for child in psutil.Process(pid).children()]
    return found


def below(pid: int) -> set[int]:
    """All that is below a process, as far as it can be seen."""
    found: set[int] = set()
    left = children_of(pid)
    while left:
        child = left.pop()
        if child not in found:
            found.add(child)
            left += children_of(child)
    return found


def kill(pids: Iterable[int]) -> None:
    """SIGKILL processes; one that has ended, or is another user's, is passed over."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)


class Orphans:
    """What is left of workers that have ended, in the fork server."""

    def __init__(self) -> None:
        self._of_the_import: set[int] = set()
        self._trackers: dict[int, float] = {}  # when each is killed
        self._is_blind = False

    def spare(self) -> None:
        """Leave alone what is below this process now: the import has started it."""
        with contextlib.suppress(OSError):  # an import that has left this process not one descriptor
            self._of_the_import = below(os.getpid())

    @property
    def timeout(self) -> float | None:
        """Seconds until something is to be ended; None says that nothing is."""
        return _LOOK_AGAIN if self._trackers or self._is_blind else None

    def reaped(self, pid: int) -> None:
        """A child of this process has ended, and its number may come again."""
        self._of_the_import.discard(pid)
        self._trackers.pop(pid, None)

    def end(self, workers: set[int]) -> bool:
        """Kill the children of this process that are neither workers nor spared; whether there are any, or may be.

        Each one's end may bring others, so this is to be called again when one has been reaped.
        """
        if sys.platform != "linux":
            return False
        try:
            children = children_of(os.getpid())
        except OSError:  # for want of something: then later
            self._is_blind = True
            return True
        self._is_blind = False
        left = [pid for pid in children if pid not in workers and pid not in self._of_the_import]
        now = time.monotonic()
        for pid in left:
            if pid not in self._trackers and _is_tracker(pid):
                self._trackers[pid] = now + _TRACKER_MAY_TAKE
        kill(pid for pid in left if self._trackers.get(pid, 0.0) <= now)
        return bool(left)

    def end_all(self, within: float) -> None:
        """End everything below this process, which is about to end itself, and reap it; but what is spared.

        Args:
            within: seconds; what does not end, because it hangs in the kernel or is another user's, is left.
        """
        end = time.monotonic() + within
        while time.monotonic() < end and self.end(set()):
            time.sleep(_STEP)
            with contextlib.suppress(ChildProcessError):
                while pid := os.waitpid(-1, os.WNOHANG)[0]:
                    self.reaped(pid)

    def terminate_the_imports(self) -> None:
        """Ask the processes that the import has started to end, and spare them no longer: the next `end_all` is theirs.

        Trackers of this process's own memory are spared still: they end when it has gone.
        """
        try:
            own = set(children_of(os.getpid())) & self._of_the_import
        except OSError:
            own = set()  # all of them are killed, without having been asked
        self._of_the_import = {pid for pid in own if _is_tracker(pid)}
        for pid in own - self._of_the_import:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGTERM)


def _is_tracker(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return _TRACKER in Path(f"/proc/{pid}/cmdline").read_bytes()
    return False


class Zombies:
    """The zombies of a worker.

    A function may wait for a child in a later call, so zombies are not reaped as they come. Reaped are those that
    certainly are no child of this process's making, because they are of a session that it could not have put them
    into, and the oldest of more than `_KEPT`. What multiprocessing has started is left to it: it would take such a
    process to be alive for ever.
    """

    _KEPT = 64
    _UNSEEN = 32
    """Looks that are left out while no child was ever seen: they would cost as much as a small call."""
    _EVERY = 1.0
    """Seconds, at least, between two looks at all of them."""

    def __init__(self) -> None:
        self._skip = self._UNSEEN if sys.platform == "linux" else sys.maxsize
        self._has_had_children = False
        self._next_look = 0.0

    def look(self) -> None:
        """Reap, if it is time for it. To be called while no function runs."""
        if self._skip:
            self._skip -= 1
            return
        if not self._has_had_children:
            self._skip = self._UNSEEN
        try:
            zombie = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return
        self._has_had_children = True
        if zombie is not None and time.monotonic() > self._next_look:
            self._next_look = time.monotonic() + self._EVERY
            with contextlib.suppress(OSError):  # no descriptor to look with: another time
                self._reap()

    def _reap(self) -> None:
        session, known = os.getsid(0), {child.pid for child in _multiprocessings()}
        zombies = {pid: of for pid in children_of(os.getpid()) if (of := _session_of_zombie(pid)) and pid not in known}
        adopted = [pid for pid, of in zombies.items() if of not in (session, pid)]
        others = [pid for pid in zombies if pid not in adopted]
        for pid in adopted + others[: -self._KEPT]:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)


def _session_of_zombie(pid: int) -> int:
    """The session that a zombie was of; 0 for what is none."""
    is_zombie, session = state_of(pid)
    return session if is_zombie else 0


def state_of(pid: int) -> tuple[bool, int]:
    """Whether a process is a zombie, and its session; 0 where that cannot be seen."""
    try:
        # The name, in brackets, may hold anything. Behind it: state, parent, group, session.
        state, _, _, session = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[:4]
    except (OSError, ValueError):
        return False, 0
    return state == b"Z", int(session)


def _multiprocessings() -> set[Any]:
    """What multiprocessing has started in this process, or in the one that this is a fork of."""
    started = getattr(sys.modules.get("multiprocessing.process"), "_children", None)
    return started if isinstance(started, set) else set()


def forget_multiprocessings() -> None:
    """In a new process: what its parent has started with multiprocessing is not to be ended with this process."""
    _multiprocessings().clear()


def terminate_multiprocessings() -> None:
    """Ask multiprocessing's processes to end, in a process that ends: it would wait for them.

    Those that do not end are killed when this process has gone, which is killed if it takes too long.
    """
    for child in list(_multiprocessings()):
        with contextlib.suppress(Exception):
            child.terminate()
