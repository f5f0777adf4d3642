"""The fork server: a small process that imports the registry once and forks a worker whenever the pool asks for one.

A fork of a process that has everything loaded takes milliseconds and shares its memory. This process stays
single-threaded and computes nothing, so that forking it is safe; it is also the parent that reaps every worker and
tells how each ended.

On the control socket, JSON lines. From the pool:

    {"target": "MODULE:NAME", "rules": {…}, "workers": 4}   once, first, with the descriptor of Progress
    {"spawn": 3}                                            with the worker's end of a socket pair as ancillary data
    {"kill": 4711}                                          SIGKILL, by pid; only a worker not reaped yet is signalled
    {"interrupt": 4711}                                     CANCEL_SIGNAL, likewise

To the pool:

    {"loaded": {"fib": {"idempotent": true, "max_attempts": 1}, …}} | {"failed": "traceback…"}      once
    {"spawned": 3, "pid": 4711}
    {"exited": 4711, "code": -9}                            as os.waitstatus_to_exitcode gives it

The end of the control socket means that the server is gone, however it went: every worker is killed, and this process
ends.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import json
import os
import selectors
import signal
import socket
import sys
import traceback
from dataclasses import dataclass
from types import ModuleType
from typing import Any, NoReturn

from ..dispatch import Rules
from ..errors import ConfigurationError
from ..memory import keep_large_blocks
from ..names import check_registry
from ..registry import Registry
from . import worker
from .interrupts import CANCEL_SIGNAL
from .progress import Progress

_PR_SET_PDEATHSIG = 1
_MAX_FDS = 16


def load_registry(target: str) -> Registry:
    """Import `MODULE:NAME` and return the registry it names.

    Raises:
        ConfigurationError: `target` is malformed, or there is no such module, or it names no Registry.
        Exception: whatever the import raises.
    """
    module_name, _, name = check_registry(target).partition(":")
    module = _imported(module_name)
    found: Any = module
    for part in name.split("."):
        if not hasattr(found, part):
            raise ConfigurationError(f"{target!r}: there is no {part!r} in {module_name}{_registries_of(module)}")
        found = getattr(found, part)
    if not isinstance(found, Registry):
        raise ConfigurationError(f"{target!r} is a {type(found).__name__}, not a rpcsvc.Registry")
    if not len(found):
        raise ConfigurationError(f"{target!r} holds no functions")
    return found


def _imported(name: str) -> ModuleType:
    """The module; one that is not there is told apart from one whose own imports fail."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise
        raise ConfigurationError(
            f"No module named {error.name!r}. It is looked for in the folder where the server is started "
            f"({os.getcwd()}), then where {sys.executable} looks: start the server where the module is, or install it "
            "into that Python"
        ) from None


def _registries_of(module: ModuleType) -> str:
    names = [name for name, value in vars(module).items() if isinstance(value, Registry)]
    return f"; it has {', '.join(f'{module.__name__}:{name}' for name in names)}" if names else ""


@dataclass(frozen=True, slots=True)
class _Birth:
    """What a forked child needs to become a worker."""

    channel: socket.socket
    number: int


class _ForkServer:
    """The loop of the fork server process."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._received = b""
        self._fds: list[int] = []
        self._workers: set[int] = set()
        self._wakeup, self._signalled = socket.socketpair()
        self._registry: Registry | None = None
        self._rules = Rules()
        self._progress: Progress | None = None

    def run(self) -> _Birth | None:
        """Serve the pool. Returns None when the server is gone, or, in a forked child, what it needs to go on."""
        self._signalled.setblocking(False)
        self._wakeup.setblocking(False)
        signal.set_wakeup_fd(self._signalled.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda *_: None)
        with selectors.DefaultSelector() as selector:
            selector.register(self._control, selectors.EVENT_READ)
            selector.register(self._wakeup, selectors.EVENT_READ)
            while True:
                ready = {key.fileobj for key, _ in selector.select()}
                if self._wakeup in ready:
                    self._drain_wakeup()
                    self._reap()
                if self._control in ready:
                    if not self._receive():
                        self._kill_all()
                        return None
                    birth = self._obey()
                    if birth is not None:
                        return birth

    def become_worker(self, birth: _Birth) -> NoReturn:
        """In the forked child."""
        assert self._registry is not None
        assert self._progress is not None
        worker.serve(birth.channel, self._registry, self._rules, self._progress.of(birth.number))
        sys.exit(0)

    # ---- the control socket

    def _receive(self) -> bool:
        try:
            data, fds, _, _ = socket.recv_fds(self._control, 65536, _MAX_FDS)
        except ConnectionError:
            return False
        self._received += data
        self._fds += fds
        return bool(data)

    def _obey(self) -> _Birth | None:
        while b"\n" in self._received:
            line, self._received = self._received.split(b"\n", 1)
            order = json.loads(line)
            if "spawn" in order:
                birth = self._spawn(order["spawn"])
                if birth is not None:
                    return birth
            elif "kill" in order:
                self._signal(order["kill"], signal.SIGKILL)
            elif "interrupt" in order:
                self._signal(order["interrupt"], CANCEL_SIGNAL)
            else:
                self._load(order)
        return None

    def _tell(self, message: dict[str, Any]) -> None:
        with contextlib.suppress(OSError):  # the server is gone; the end of the control socket is seen next
            self._control.sendall(json.dumps(message).encode() + b"\n")

    def _load(self, order: dict[str, Any]) -> None:
        self._rules = Rules(**order["rules"])
        progress_fd = self._fds.pop(0)
        self._progress = Progress(progress_fd, order["workers"])
        os.close(progress_fd)
        try:
            self._registry = load_registry(order["target"])
        except ConfigurationError as error:
            self._tell({"failed": f"{error}\n"})
        except BaseException:
            self._tell({"failed": traceback.format_exc()})
        else:
            # What is loaded now lives as long as its workers: the collector need not touch, and so copy, those pages.
            gc.collect()
            gc.freeze()
            served = {f.name: {"idempotent": f.idempotent, "max_attempts": f.max_attempts} for f in self._registry}
            self._tell({"loaded": served})

    # ---- workers

    def _spawn(self, number: int) -> _Birth | None:
        channel = socket.socket(fileno=self._fds.pop(0))
        channel.setblocking(True)
        _flush_streams()
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            self._forget_the_parent(parent)
            return _Birth(channel, number)
        channel.close()
        self._workers.add(pid)
        self._tell({"spawned": number, "pid": pid})
        return None

    def _forget_the_parent(self, parent: int) -> None:
        _die_with_the_parent(parent)
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for end in (self._control, self._wakeup, self._signalled):
            end.close()

    def _signal(self, pid: int, number: int) -> None:
        # A pid in this set is not reaped yet, so it cannot have been given to another process.
        if pid in self._workers:
            os.kill(pid, number)

    def _kill_all(self) -> None:
        for pid in self._workers:
            os.kill(pid, signal.SIGKILL)

    def _drain_wakeup(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while self._wakeup.recv(4096):
                pass

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid in self._workers:
                self._workers.discard(pid)
                self._tell({"exited": pid, "code": os.waitstatus_to_exitcode(status)})


def _flush_streams() -> None:
    """So that nothing printed before a fork is printed by both. Where it goes may be full, broken or closed."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()


def _die_with_the_parent(parent: int) -> None:
    """Have the kernel kill this process when the fork server ends, even in the middle of a computation."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended in between
        os._exit(1)


def main(control_fd: int) -> NoReturn:
    """The fork server's entry point, given the file descriptor of the control socket."""
    keep_large_blocks()
    control = socket.socket(fileno=control_fd)
    control.set_inheritable(False)
    server = _ForkServer(control)
    birth = server.run()
    if birth is not None:
        server.become_worker(birth)
    sys.exit(0)
