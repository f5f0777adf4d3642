"""The fork server: a small process that imports the registry once and forks a worker whenever the pool asks for one.

A fork of a process that has everything loaded takes milliseconds and shares its memory. This process stays
single-threaded and computes nothing, so that forking it is safe; it is also the parent that reaps every worker and
tells how each ended.

On the control socket, JSON lines. From the pool:

    {"target": "MODULE:NAME", "rules": {…}, "workers": 4,   once, first, with the descriptor of the
     "preload": true, "log": {…}}                        scoreboard
    {"spawn": 3}                                            with the worker's end of a socket pair as ancillary data
    {"kill": 4711}                                          SIGKILL, by pid; only a worker not reaped yet is signalled
    {"interrupt": 4711}                                     CANCEL_SIGNAL, likewise

To the pool:

    {"loaded": {"fib": {"idempotent": true, "max_attempts": 1}, …}} | {"failed": "traceback…"}      once
    {"told": "a sentence for the server's log"}
    {"spawned": 3, "pid": 4711}
    {"unborn": 3, "why": "…"}                               for want of something that may be there later
    {"exited": 4711, "code": -9}                            as os.waitstatus_to_exitcode gives it

The end of the control socket means that the server is gone, however it went: every worker is killed with what its
functions have started (`orphans`), and this process ends. In the middle of an import, which may take for ever, the
kernel ends it (on Linux).
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import json
import os
import selectors
import signal
import socket
import sys
import time
from dataclasses import dataclass
from typing import Any, NoReturn

from .._version import __version__
from ..functions.registration import Registry
from ..host.malloc import keep_large_blocks
from ..host.signals import describe_exit
from ..host.streams import fill_closed
from . import output
from .inside import main as worker
from .inside.dispatch import Rules
from .inside.interrupts import CANCEL_SIGNAL
from .inside.own import Belongings, die_with, fork, outlive_the_parent
from .loading import SignalState, load_registry, threads_lost_by_a_fork, try_to_load
from .names import CommandLine, name_this_thread
from .orphans import Orphans, Zombies, adopt, below, forget_multiprocessings, kill, terminate_multiprocessings
from .scoreboard import Scoreboard
from .shortage import is_passing
from .work import WorkerExit

_MAX_FDS = 16
_SIGNALS = (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP, CANCEL_SIGNAL)
"""Those that the fork server, or a worker before its first call, is not to be ended by."""
_FORK_AGAIN = 0.5
"""Seconds."""
_END_WITHIN = 3.0
"""Seconds; less than the server waits for this process's end."""
_NAMED = 5
_THREADS = (
    "the import of {target} has left {threads} running ({names}). Workers are forked from the process that has"
    " imported it, and have not got them: a function that needs one, of OpenMP for instance, hangs. Start them in the"
    " first call or in @registry.worker_init, have each worker import the registry (--preload no), or keep libraries"
    " to one thread (--blas-threads 1)"
)


@dataclass(frozen=True, slots=True)
class _Birth:
    """What a forked child needs to become a worker."""

    channel: socket.socket
    number: int


class _ForkServer:
    """The loop of the fork server process."""

    def __init__(self, control: socket.socket, server_version: str) -> None:
        self._control = control
        self._server_version = server_version
        self._received = b""
        self._fds: list[int | None] = []
        self._workers: set[int] = set()
        self._orphans = Orphans()
        self._wakeup, self._signalled = socket.socketpair()
        self._own = Belongings()
        self._signals = SignalState(self._own, dict.fromkeys(_SIGNALS, worker.ignore), self._signalled.fileno())
        self._command_line = CommandLine()
        self._target = ""
        self._registry: Registry | None = None
        self._rules = Rules()
        self._scoreboard: Scoreboard | None = None
        self._log = output.LogSettings()

    def run(self) -> _Birth | None:
        """Serve the pool. Returns None when the server is gone, or, in a forked child, what it needs to go on."""
        self._signalled.setblocking(False)
        self._wakeup.setblocking(False)
        for end in (self._control, self._wakeup, self._signalled):
            self._own.add(end.close)
        self._own.hold()
        self._signals.set()
        adopt()
        with selectors.DefaultSelector() as selector:
            selector.register(self._control, selectors.EVENT_READ)
            selector.register(self._wakeup, selectors.EVENT_READ)
            while True:
                ready = {key.fileobj for key, _ in selector.select(self._orphans.timeout)}
                if self._wakeup in ready:
                    self._drain_wakeup()
                    self._reap()
                elif self._orphans.timeout is not None:
                    self._orphans.end(self._workers)
                if self._control in ready:
                    if not self._receive():
                        self._end()
                        return None
                    birth = self._obey()
                    if birth is not None:
                        return birth

    def become_worker(self, birth: _Birth) -> NoReturn:
        """In the forked child."""
        assert self._scoreboard is not None
        adopt()
        forget_multiprocessings()
        who = f"worker {birth.number + 1}"
        name_this_thread(f"rpcsvc-w{birth.number + 1}")
        self._command_line.show(f"rpcsvc: {who} of {self._target}")
        output.rename_log(self._log, who)
        try:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # the server wants no answer
                worker.serve(
                    birth.channel, self._load_in_worker, self._rules, self._scoreboard.row(birth.number), Zombies()
                )
        finally:
            birth.channel.detach()  # open to the very end: a worker without its socket is one that is lost
        terminate_multiprocessings()
        sys.exit(0)

    def _load_in_worker(self) -> Registry:
        return load_registry(self._target) if self._registry is None else self._registry

    # ---- the control socket

    def _receive(self) -> bool:
        try:
            data, fds, flags, _ = socket.recv_fds(self._control, 65536, _MAX_FDS)
        except OSError:
            return False
        self._received += data
        # Each order that brings a descriptor brings one. Where no number was free for it, it is lost.
        self._fds += fds or ([None] if flags & socket.MSG_CTRUNC else [])
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
        scoreboard_fd = self._fds.pop(0)
        if self._server_version != __version__:
            self._tell({"failed": _other_version(self._server_version)})
            return
        if scoreboard_fd is None:
            self._tell({"failed": "the fork server has no more file descriptors (ulimit -n)\n"})
            return
        self._target, self._rules = order["target"], Rules(**order["rules"])
        self._scoreboard = Scoreboard(scoreboard_fd, order["workers"], self._rules.threads)
        os.close(scoreboard_fd)
        self._log = output.LogSettings(**order["log"])
        self._command_line.show(f"rpcsvc: fork server of {self._target}")
        output.set_up_logging(self._log, "import")
        if not order["preload"]:
            answer = self._look_at_registry()
            self._orphans.end(self._workers)  # what the import has started for that look
            outlive_the_parent()
            self._tell(answer)
            return
        self._registry, answer = try_to_load(self._target)
        self._orphans.spare()
        outlive_the_parent()
        self._tell_of_what_the_import_did()
        name_this_thread("rpcsvc-fork")  # after the import: threads have the name of the one that starts them
        # What is loaded now lives as long as its workers: the collector need not touch, and so copy, those pages.
        gc.collect()
        gc.freeze()
        self._tell(answer)

    def _tell_of_what_the_import_did(self) -> None:
        changed = self._signals.set()
        if changed:
            self._tell({"told": f"the import of {self._target} has changed {', '.join(changed)}; set again"})
        threads = threads_lost_by_a_fork()
        if threads:
            names = ", ".join(threads[:_NAMED]) + (", …" if len(threads) > _NAMED else "")
            many = "1 thread" if len(threads) == 1 else f"{len(threads)} threads"
            self._tell({"told": _THREADS.format(target=self._target, threads=many, names=names)})

    def _look_at_registry(self) -> dict[str, Any]:
        """What it holds, found out in a process that ends: this one stays as it is."""
        ours, theirs = os.pipe()
        pid = self._fork_patiently()
        if pid == 0:
            os.close(ours)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            _, answer = try_to_load(self._target)
            output.flush()
            with open(theirs, "wb") as pipe:
                pipe.write(json.dumps(answer).encode())
            os._exit(0)
        os.close(theirs)
        with open(ours, "rb") as pipe:
            told = pipe.read()
        _, status = os.waitpid(pid, 0)
        if told:
            answer = json.loads(told)
            assert isinstance(answer, dict)
            return answer
        exit_ = WorkerExit.from_wait_status(pid, os.waitstatus_to_exitcode(status))
        how = describe_exit(exit_.exit_code, exit_.signal_number)
        return {"failed": f"the process that imports it ended before it was done, {how}\n"}

    def _fork_patiently(self) -> int:
        """Fork, if need be later; the server waits for a while, and then has this process killed."""
        while True:
            try:
                return fork()
            except OSError as error:
                if not is_passing(error):
                    raise
                self._tell({"told": f"the registry cannot be imported for now: fork: {error}"})
                time.sleep(_FORK_AGAIN)

    # ---- workers

    def _spawn(self, number: int) -> _Birth | None:
        fd = self._fds.pop(0)
        if fd is None:
            self._tell({"unborn": number, "why": "the fork server has no more file descriptors (ulimit -n)"})
            return None
        channel = socket.socket(fileno=fd)
        channel.setblocking(True)
        try:
            pid = fork()
        except OSError as error:
            if not is_passing(error):
                raise
            channel.close()
            self._tell({"unborn": number, "why": f"fork: {error}"})
            return None
        if pid == 0:
            return _Birth(channel, number)
        channel.close()
        self._workers.add(pid)
        self._tell({"spawned": number, "pid": pid})
        return None

    def _close(self) -> None:
        signal.set_wakeup_fd(-1)
        for end in (self._control, self._wakeup, self._signalled):
            end.close()

    def _signal(self, pid: int, number: int) -> None:
        # A pid in this set is not reaped yet, so it cannot have been given to another process.
        if pid in self._workers:
            with_it = below(pid) if number == signal.SIGKILL and sys.platform != "linux" else ()
            os.kill(pid, number)
            kill(with_it)

    def _end(self) -> None:
        """End the workers, and what is left of them. What the import has started is asked to end, and has its turn
        when exit handlers have run, which may wait for it."""
        self._close()
        for pid in self._workers:
            self._signal(pid, signal.SIGKILL)
        self._orphans.end_all(_END_WITHIN)
        self._orphans.terminate_the_imports()

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
                break
            self._orphans.reaped(pid)
            if pid in self._workers:
                self._workers.discard(pid)
                self._tell({"exited": pid, "code": os.waitstatus_to_exitcode(status)})
        self._orphans.end(self._workers)

    def end_the_imports_processes(self) -> None:
        """The last thing that this process does; nothing in a worker, which is a copy of it."""
        if os.getpid() == self._own.pid:
            self._orphans.end_all(_END_WITHIN)


def _other_version(server_version: str) -> str:
    return (
        f"rpcsvc {__version__} is installed here now, and the server that runs is {server_version}:"
        f" restart it to use the new one\n"
    )


def main(control_fd: int, server_version: str = "an earlier one", server_pid: int = 0) -> NoReturn:
    """The fork server's entry point.

    Args:
        control_fd: the file descriptor of the control socket.
        server_version: of this package, in the server process.
        server_pid: the server process's id.
    """
    fill_closed()
    output.buffer_lines()
    keep_large_blocks()
    control = socket.socket(fileno=control_fd)
    control.set_inheritable(False)
    control.setblocking(True)
    if server_pid:
        die_with(server_pid)
    server = _ForkServer(control, server_version)
    atexit.register(server.end_the_imports_processes)  # the first to be registered is the last to be called
    birth = server.run()
    if birth is not None:
        server.become_worker(birth)
    sys.exit(0)
