"""The server process's side of the fork server: start it, ask it for workers, hear what became of them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from ..dispatch import Rules
from ..errors import RegistryFailed
from ..supervision import WorkerExit

log = logging.getLogger(__name__)

_RUN = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[2]); "
    "from rpcsvc.workers.forkserver import main; main(int(sys.argv[1]))"
)


@dataclass(frozen=True, slots=True)
class ForkServerEvents:
    """What the owner of a fork server is told.

    Attributes:
        spawned: worker number, pid.
        exited: how a worker ended.
        lost: the fork server itself has gone, unasked.
    """

    spawned: Callable[[int, int], None]
    exited: Callable[[WorkerExit], None]
    lost: Callable[[], None]


@dataclass(frozen=True, slots=True)
class Served:
    """What the server knows of a function that its workers serve.

    Attributes:
        idempotent: whether running it twice for one call does no harm.
        max_attempts: how often a call is tried whose worker dies over it.
    """

    idempotent: bool
    max_attempts: int = 1


class ForkServer:
    """One fork server process."""

    def __init__(self, target: str, rules: Rules, events: ForkServerEvents) -> None:
        self._target = target
        self._rules = rules
        self._events = events
        self._loop = asyncio.get_running_loop()
        self._loaded: asyncio.Future[dict[str, Served]] = self._loop.create_future()
        self._received = b""
        self._stopping = False
        self._control, theirs = socket.socketpair()
        self._control.setblocking(False)
        with theirs:
            # A session of its own: Ctrl-C in a terminal is for the server process, which drains.
            self._process = subprocess.Popen(  # noqa: S603 our own interpreter
                [sys.executable, "-c", _RUN, str(theirs.fileno()), json.dumps([os.path.abspath(p) for p in sys.path])],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        self._loop.add_reader(self._control.fileno(), self._readable)
        # A worker that hangs in the middle of its fork holds the other end of the control socket, which then tells of
        # no end. A file descriptor of the process does.
        self._alive = os.pidfd_open(self.pid) if sys.platform == "linux" else None
        if self._alive is not None:
            self._loop.add_reader(self._alive, self._lost)

    @property
    def pid(self) -> int:
        """The fork server's process id."""
        return self._process.pid

    async def load(self, workers: int, progress_fd: int) -> dict[str, Served]:
        """Have the registry imported; its functions by name.

        Args:
            workers: how many numbers there will be.
            progress_fd: the descriptor of their `Progress`, which this closes on our side.

        Raises:
            RegistryFailed: it cannot be imported.
        """
        try:
            self._send({"target": self._target, "rules": asdict(self._rules), "workers": workers}, progress_fd)
        finally:
            os.close(progress_fd)
        return await self._loaded

    def spawn(self, number: int, channel: socket.socket) -> None:
        """Ask for a worker that serves on `channel`, which this closes on our side."""
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
        self._loop.call_soon(self._lost)

    async def stop(self, timeout: float = 5.0) -> None:
        """Close the control socket: the fork server kills what is left of its workers, and ends."""
        self._stopping = True
        self._close()
        try:
            await asyncio.to_thread(self._process.wait, timeout)
        except subprocess.TimeoutExpired:
            self._process.kill()
            await asyncio.to_thread(self._process.wait)

    def _send(self, message: dict[str, Any], *fds: int) -> None:
        data = json.dumps(message).encode() + b"\n"
        try:
            # An order is smaller than the socket's buffer by far, so it goes out whole or not at all.
            socket.send_fds(self._control, [data], fds)
        except OSError as error:
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
            case {"exited": int(pid), "code": int(code)}:
                self._events.exited(WorkerExit.from_wait_status(pid, code))
            case {"loaded": dict(functions)}:
                if not self._loaded.done():
                    self._loaded.set_result({name: Served(**facts) for name, facts in functions.items()})
            case {"failed": str(text)}:
                if not self._loaded.done():
                    self._loaded.set_exception(RegistryFailed(self._target, text))

    def _lost(self) -> None:
        self._close()
        if self._stopping:
            return
        self._stopping = True
        # Its workers are of its process group. Linux kills them with their parent, but not one that hangs in the
        # middle of its fork. It itself may have closed its socket only.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        code = self._process.wait()
        if not self._loaded.done():
            exit_ = WorkerExit.from_wait_status(self.pid, code)
            text = f"the process that imports it ended before it was done: {exit_}\n"
            self._loaded.set_exception(RegistryFailed(self._target, text))
        else:
            self._events.lost()

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
