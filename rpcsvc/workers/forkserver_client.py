"""The server process's side of the fork server: start it, ask it for workers, hear what became of them."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import json
import logging
import os
import secrets
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from .._version import __version__
from ..errors import RegistryFailed
from ..functions.retry import Retry
from ..host.signals import describe_exit
from ..host.surroundings import Surroundings
from .inside.dispatch import Rules
from .orphans import MARK
from .output import LogSettings
from .work import Handled, Loaded, Served, WorkerExit

log = logging.getLogger(__name__)

_RUN = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[2]); "
    "from rpcsvc.workers.forkserver import main; main(int(sys.argv[1]), sys.argv[3], int(sys.argv[4]))"
)
_SHORT = (errno.ETOOMANYREFS, errno.ENOBUFS, errno.ENOMEM, errno.EMFILE, errno.ENFILE)
"""What passing a descriptor on may want of the system. Not EAGAIN, which says that nobody reads the control socket."""
_END_WITHIN = 5.0
"""Seconds."""
_LAST_BREATH = 0.2
"""Seconds between the end of a process's sockets and its own."""
_ABOVE_STANDARD = 3
"""The lowest file descriptor that is not a standard stream's."""
_CLOSED_ITS_SOCKET = (
    "the process that imports it has closed its connection to the server: does the import close file descriptors that"
    " it has not opened (os.closerange, a library that makes daemons)?\n"
)


@dataclass(frozen=True, slots=True)
class ForkServerEvents:
    """What the owner of a fork server is told.

    Attributes:
        spawned: worker number, pid.
        unborn: a worker, by number, could not be made for want of something that may be there later; and of what.
        exited: how a worker ended.
        lost: the fork server itself has gone, unasked.
    """

    spawned: Callable[[int, int], None]
    unborn: Callable[[int, str], None]
    exited: Callable[[WorkerExit], None]
    lost: Callable[[], None]


class ForkServer:
    """One fork server process.

    Args:
        target: the registry, MODULE:NAME.
        rules: what its workers may do.
        surroundings: what it starts in.
        events: what its owner is told.

    Raises:
        OSError: it cannot be started, perhaps for a shortage that passes.
    """

    def __init__(self, target: str, rules: Rules, surroundings: Surroundings, events: ForkServerEvents) -> None:
        self._target = target
        self._rules = rules
        self._surroundings = surroundings
        self._events = events
        self._loop = asyncio.get_running_loop()
        self._loaded: asyncio.Future[Loaded] = self._loop.create_future()
        self._received = b""
        self._mark = secrets.token_hex(8)
        self._stopping = self._destroyed = False
        self._control, theirs = socket.socketpair()
        try:
            self._control.setblocking(False)
            with theirs:
                self._process = self._started(theirs)
        except BaseException:
            self._control.close()
            raise
        self._loop.add_reader(self._control.fileno(), self._readable)
        # A worker that hangs in the middle of its fork holds the other end of the control socket, which then tells of
        # no end. A file descriptor of the process does.
        self._alive = _process_descriptor(self.pid)
        if self._alive is not None:
            self._loop.add_reader(self._alive, self._lost)

    def _started(self, control: socket.socket) -> subprocess.Popen[bytes]:
        # Its number must not be a standard stream's, which may be closed here and will be opened there.
        fd = fcntl.fcntl(control.fileno(), fcntl.F_DUPFD_CLOEXEC, _ABOVE_STANDARD)
        stdin = _empty_input()
        try:
            arguments = (str(fd), json.dumps(self._surroundings.search_path), __version__, str(os.getpid()))
            # A session of its own: Ctrl-C in a terminal is for the server process, which drains.
            return subprocess.Popen(  # noqa: S603 our own interpreter
                self._surroundings.command(_RUN, *arguments),
                pass_fds=[fd],
                stdin=stdin,
                start_new_session=True,
                cwd=self._surroundings.folder.to_enter,
                env={**self._surroundings.environment(), MARK: self._mark},
            )
        finally:
            os.close(stdin)
            os.close(fd)

    @property
    def pid(self) -> int:
        """The fork server's process id."""
        return self._process.pid

    async def load(self, workers: int, scoreboard_fd: int) -> Loaded:
        """Have the registry imported; what is in it.

        Args:
            workers: how many numbers there will be.
            scoreboard_fd: the descriptor of their `Scoreboard`, which this closes on our side.

        Raises:
            RegistryFailed: it cannot be imported.
        """
        order = {
            "target": self._target,
            "rules": asdict(self._rules),
            "workers": workers,
            "preload": self._surroundings.preload,
            "log": asdict(LogSettings.of_this_process()),
        }
        try:
            self._send(order, scoreboard_fd)
        except OSError as error:
            raise RegistryFailed(self._target, f"its process cannot be told to import it: {error}\n") from error
        finally:
            os.close(scoreboard_fd)
        return await self._loaded

    def spawn(self, number: int, channel: socket.socket) -> None:
        """Ask for a worker that serves on `channel`, which this closes on our side.

        Raises:
            OSError: for a shortage that may pass.
        """
        with channel:
            self._send({"spawn": number}, channel.fileno())

    def kill(self, pid: int) -> None:
        """Have a worker killed; nothing happens if it has ended."""
        self._send({"kill": pid})

    def interrupt(self, pid: int) -> None:
        """Have a worker sent `CANCEL_SIGNAL`; nothing happens if it has ended."""
        self._send({"interrupt": pid})

    def destroy(self) -> None:
        """Kill it and its workers: it does not do what it is told. Its owner hears that it is lost."""
        self._destroyed = True
        self._loop.call_soon(self._lost)

    async def stop(self, timeout: float = 5.0) -> None:
        """Close the control socket: the fork server kills what is left of its workers and below them, and ends."""
        self._stopping = True
        self._close()
        self._loaded.cancel()  # nobody will tell
        try:
            await asyncio.to_thread(self._process.wait, timeout)
        except subprocess.TimeoutExpired:
            self._process.kill()
            await asyncio.to_thread(self._process.wait)
        if self._process.returncode:
            await self.end_what_is_left()

    async def end_what_is_left(self) -> set[int]:
        """When it has ended otherwise than by itself: kill what its workers' functions have started.

        Returns:
            The pids of those that may be this process's children now, and then are to be reaped.
        """
        from .leftovers import children_of_session, end_marked  # noqa: PLC0415 most servers never need it

        ended = await asyncio.to_thread(end_marked, self._mark, _END_WITHIN)
        return ended | children_of_session(self.pid)

    def _send(self, message: dict[str, Any], *fds: int) -> None:
        data = json.dumps(message).encode() + b"\n"
        try:
            # An order is smaller than the socket's buffer by far, so it goes out whole or not at all.
            socket.send_fds(self._control, [data], fds)
        except OSError as error:
            if fds and error.errno in _SHORT:
                raise
            # Gone, or stopped for so long that the buffer is full: either way it serves no more.
            log.error("the fork server takes no orders: %s", error)
            self.destroy()

    def _readable(self) -> None:
        try:
            data = self._control.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._lost()
            return
        self._received += data
        while b"\n" in self._received:
            line, self._received = self._received.split(b"\n", 1)
            self._heard(json.loads(line))

    def _heard(self, message: dict[str, Any]) -> None:
        match message:
            case {"spawned": int(number), "pid": int(pid)}:
                self._events.spawned(number, pid)
            case {"unborn": int(number), "why": str(why)}:
                self._events.unborn(number, why)
            case {"told": str(text)}:
                log.warning("%s", text)
            case {"exited": int(pid), "code": int(code)}:
                self._events.exited(WorkerExit.from_wait_status(pid, code))
            case {"loaded": dict(functions), "handlers": dict(handlers)}:
                if not self._loaded.done():
                    self._loaded.set_result(self._told(functions, handlers))
            case {"failed": str(text)}:
                if not self._loaded.done():
                    self._loaded.set_exception(RegistryFailed(self._target, text))

    def _told(self, functions: dict[str, Any], handlers: dict[str, Any]) -> Loaded:
        return Loaded(
            {name: self._served(**facts) for name, facts in functions.items()},
            {
                name: Handled(name, tuple(told["patterns"]), told["exchange"], self._served(**told["served"]))
                for name, told in handlers.items()
            },
        )

    def _served(self, *, time_limit: float | None, retry: list[Any] | None, **facts: Any) -> Served:
        limit = self._rules.time_limit if time_limit is None else time_limit
        return Served(time_limit=limit, retry=None if retry is None else Retry(*retry), **facts)

    def _lost(self) -> None:
        is_loaded = self._loaded.done()
        has_closed = not is_loaded and not self._destroyed and not self._stopping and self._runs_on()
        self._close()
        if self._stopping:
            return
        self._stopping = True
        # Its workers are of its process group. Linux kills them with their parent, but not one that hangs in the
        # middle of its fork. It itself may have closed its socket only.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        exit_ = WorkerExit.from_wait_status(self.pid, self._process.wait())
        if is_loaded:
            self._events.lost()
            return
        how = describe_exit(exit_.exit_code, exit_.signal_number)
        text = _CLOSED_ITS_SOCKET if has_closed else f"the process that imports it ended before it was done, {how}\n"
        self._loaded.set_exception(RegistryFailed(self._target, text))

    def _runs_on(self) -> bool:
        """Whether it has closed its socket and is not about to end."""
        try:
            self._process.wait(_LAST_BREATH)
        except subprocess.TimeoutExpired:
            return True
        return False

    def _close(self) -> None:
        if self._alive is not None:
            self._loop.remove_reader(self._alive)
            os.close(self._alive)
            self._alive = None
        if self._control.fileno() >= 0:
            self._loop.remove_reader(self._control.fileno())
            self._control.close()

    def __repr__(self) -> str:
        return f"<ForkServer {self.pid} of {self._target}>"


def _empty_input() -> int:
    """A descriptor with nothing to read."""
    try:
        return os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        reading, writing = os.pipe()
        os.close(writing)
        return reading


def _process_descriptor(pid: int) -> int | None:
    """A descriptor that is readable when the process has ended; None where the system has none to give."""
    if sys.platform != "linux":
        return None
    with contextlib.suppress(OSError):  # an old kernel, a container that forbids it, too many open files
        return os.pidfd_open(pid)
    return None
