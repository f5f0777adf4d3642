"""How much memory a worker has taken for itself.

Counted is private memory that is present or swapped out, without what the process had when it began: that is shared
with the fork server, page by page until written to. Mapped files and memory shared on purpose do not count, because
the kernel can take the first back and the second is not the worker's own. What earlier calls left behind counts.

On Linux this is read from /proc in some microseconds, and an address space limit can be set beside it
(`RLIMIT_DATA`). Elsewhere the resident set is what there is.
"""

from __future__ import annotations

import contextlib
import os
import resource
import sys

_PAGE = resource.getpagesize()
_LEAST_RESERVE = 512 * 2**20


def private_bytes(pid: int) -> int:
    """The private memory of a process; 0 if it has gone."""
    if sys.platform != "linux":
        import psutil  # noqa: PLC0415 a worker on Linux does not carry it

        try:
            return int(psutil.Process(pid).memory_info().rss)
        except psutil.Error:
            return 0
    try:
        with open(f"/proc/{pid}/status", "rb") as file:
            status = file.read()
    except OSError:
        return 0
    return 1024 * sum(_kibibytes(status, name) for name in (b"\nRssAnon:", b"\nVmSwap:"))


def _kibibytes(status: bytes, name: bytes) -> int:
    start = status.find(name)
    return 0 if start < 0 else int(status[start + len(name) :].split(None, 1)[0])


class Ceiling:
    """A limit that the kernel holds a worker to while a call runs, for those that take memory faster than one can look.

    It is above the limit of the call, because it counts addresses, used or not: libraries reserve more than they use.

    Attributes:
        at_start: the private memory of this process when this was made, in bytes.
    """

    def __init__(self) -> None:
        """For this process, which has not run a call yet."""
        self.at_start = private_bytes(os.getpid())
        self._soft, self._hard = resource.getrlimit(resource.RLIMIT_DATA)
        self._file: int | None = None
        with contextlib.suppress(FileNotFoundError, PermissionError):  # no /proc: no second limit
            self._file = os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)

    def put_up(self, limit: int) -> None:
        """Let this process take what is left of `limit` bytes and a reserve: as much again, at least 512 MiB."""
        if self._file is None:
            return
        _, resident, shared, _, _, data, _ = os.pread(self._file, 200, 0).split()
        taken = (int(resident) - int(shared)) * _PAGE - self.at_start
        ceiling = int(data) * _PAGE + max(0, limit - taken) + max(limit, _LEAST_RESERVE)
        if self._soft != resource.RLIM_INFINITY:
            ceiling = min(ceiling, self._soft)
        resource.setrlimit(resource.RLIMIT_DATA, (ceiling, self._hard))

    def take_down(self) -> None:
        """Let it take what it likes."""
        if self._file is not None:
            resource.setrlimit(resource.RLIMIT_DATA, (self._soft, self._hard))
