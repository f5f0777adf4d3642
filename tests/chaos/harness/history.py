"""What happened in a run: one event a line, as JSON, in files that many processes append to.

Rules: every time is `time.monotonic()`, which is one clock for all processes of a Linux machine. A line is written by
one `write` to a file opened for appending, and is shorter than PIPE_BUF, so lines of several processes never mix. A
call is known by its token, which is also its first argument, so that clients and workers speak of the same call.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeAlias

_LONGEST = 4000
"""Bytes of a line; PIPE_BUF is 4096 on Linux."""
_LONGEST_TEXT = 300


# ---- what a client writes


@dataclass(frozen=True, slots=True)
class Invoked:
    """A call is about to be made on one connection (`link`)."""

    at: float
    call: str
    link: str
    function: str
    timeout: float
    idempotent: bool


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The caller is about to give a call up."""

    at: float
    call: str


CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Ended:
    """A call has an outcome: `ok`, `CANCELLED` or the error's class. `right`: a result is the function's value."""

    at: float
    call: str
    outcome: str
    right: bool = True
    text: str = ""


@dataclass(frozen=True, slots=True)
class Unresolved:
    """The client waited beyond the call's deadline and gave it up: it hangs."""

    at: float
    call: str


@dataclass(frozen=True, slots=True)
class Measured:
    """What a client or server holds; `when` is "before" the faults or "after" them, with no call under way.

    Attributes:
        pending: calls that wait (of clients).
        fds: open file descriptors of all its processes.
        memory: resident bytes of its main process.
        zombies: children that ended and were not waited for.
        queued: messages in the queue that no server has taken (of the broker).
        late, duplicate, unknown: replies that found no call (of clients).
        ports: its own ends of its connections to the broker (of servers).
    """

    at: float
    who: str
    when: str
    pending: int = 0
    fds: int = 0
    memory: int = 0
    zombies: int = 0
    late: int = 0
    duplicate: int = 0
    unknown: int = 0
    ports: tuple[int, ...] = ()
    queued: int = 0


@dataclass(frozen=True, slots=True)
class Given:
    """The broker has confirmed a cast or an event: it is owed.

    Attributes:
        call: its token.
        idempotent: whether it may be done more than once.
        due: when it may begin at the earliest.
    """

    at: float
    call: str
    function: str
    idempotent: bool
    due: float


@dataclass(frozen=True, slots=True)
class Buried:
    """A cast was found among the dead letters, with the type of the error that is in it."""

    at: float
    call: str
    error: str


# ---- what a worker writes


@dataclass(frozen=True, slots=True)
class Started:
    """A function began."""

    at: float
    call: str
    pid: int


@dataclass(frozen=True, slots=True)
class Finished:
    """A function is about to return, or to raise."""

    at: float
    call: str
    pid: int
    raised: bool = False


# ---- what the stage writes


@dataclass(frozen=True, slots=True)
class Injected:
    """A fault begins."""

    at: float
    fault: str


@dataclass(frozen=True, slots=True)
class Cured:
    """A fault is over; from here on everything has to work again."""

    at: float
    fault: str


@dataclass(frozen=True, slots=True)
class Struck:
    """A worker was sent a signal."""

    at: float
    server: int
    pid: int
    signal: str


@dataclass(frozen=True, slots=True)
class PoolSeen:
    """The workers that a server has now; written when they change."""

    at: float
    server: int
    wanted: int
    pids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ServerEnded:
    """A server was sent a signal that ends it; `exit_code` is what it ended with, None if it did not end in time."""

    at: float
    server: int
    signal: str
    exit_code: int | None


@dataclass(frozen=True, slots=True)
class Orphaned:
    """A process of a server outlived it by more than it may."""

    at: float
    server: int
    pid: int


Event: TypeAlias = (
    Invoked
    | Given
    | Buried
    | Cancelled
    | Ended
    | Unresolved
    | Measured
    | Started
    | Finished
    | Injected
    | Cured
    | Struck
    | PoolSeen
    | ServerEnded
    | Orphaned
)

_TYPES: dict[str, type[Event]] = {
    cls.__name__: cls
    for cls in (
        Invoked,
        Given,
        Buried,
        Cancelled,
        Ended,
        Unresolved,
        Measured,
        Started,
        Finished,
        Injected,
        Cured,
        Struck,
        PoolSeen,
        ServerEnded,
        Orphaned,
    )
}

now = time.monotonic


class History:
    """Appends events to a file; from any thread, and after a fork from the child too."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)

    def write(self, event: Event) -> None:
        """One event, one line, one write."""
        line = encode(event)
        assert len(line) <= _LONGEST, f"{type(event).__name__} is too long for one write"
        os.write(self._file, line)

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    def __repr__(self) -> str:
        return f"<History in {self.path}>"


def encode(event: Event) -> bytes:
    """An event's line."""
    return json.dumps({"event": type(event).__name__, **asdict(event)}, separators=(",", ":")).encode() + b"\n"


def decode(line: bytes) -> Event:
    """The event of a line."""
    members = json.loads(line)
    cls = _TYPES[members.pop("event")]
    for name in ("pids", "ports"):
        if name in members:
            members[name] = tuple(members[name])
    return cls(**members)


def shortened(text: str) -> str:
    """An error's text, as far as it fits into a line whatever its characters."""
    return text.encode("ascii", "replace").decode()[:_LONGEST_TEXT]


def read(paths: Iterable[Path]) -> list[Event]:
    """All events of some files, in the order of time. A last line that its writer's death cut off is left out."""
    return sorted((event for path in paths for event in _of_file(path)), key=lambda event: event.at)


def _of_file(path: Path) -> Iterator[Event]:
    for line in path.read_bytes().splitlines(keepends=True):
        if line.endswith(b"\n"):
            yield decode(line)
