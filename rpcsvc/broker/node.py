"""PrivateBroker: one RabbitMQ node, its start, its state, its end.

What is true is on the disk and in the process table, not in the object: any number of PrivateBroker objects, in any
processes, may stand for the node of one folder. Rules:

- node.json is there only while the node runs: written when it is ready, removed before it is told to end.
- start and stop hold the folder's lock; kill does not wait for it.
- Whatever fails or is interrupted in a start takes along what it started.
"""

from __future__ import annotations

import contextlib
import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, MappingProxyType, TracebackType
from typing import Self

from ..deadline import Deadline, check_timeout
from ..errors import BrokerError, BrokerStartFailed
from ..host.keeper import keep_broker
from ..host.signals import stop_signals
from ..host.stopping import Ask, StopRequests
from ..settings import BrokerUrl, broker_folder
from ..settings.kinds import PORT
from . import files, install, ports, processes
from .config import Layout, check_folder
from .launch import BadMoment, Launch, excerpt, printed_text

_ATTEMPTS = 3
_POLL = 0.1
_STEP = 0.02
_START_TIMEOUT = 60.0
_STOP_TIMEOUT = 30.0


@dataclass(frozen=True, slots=True)
class NodeStatus:
    """A look at a node. `url` shows no password in `str` and `repr`; `url.reveal()` does."""

    running: bool
    pid: int | None
    port: int | None
    url: BrokerUrl | None
    folder: Path
    log: Path


class PrivateBroker:
    """A RabbitMQ node of one's own, reached from this host only.

        with PrivateBroker() as broker:
            ...  # broker.url

    Args:
        folder: where everything of the node is kept; default: the folder of the user's state.
        port: the AMQP port. Default: the one it had last, else 5672, else a free one.
        config: lines of rabbitmq.conf, added to the node's own or in place of them.

    Leaving the `with` block stops the node, also if somebody else had started it. So does the end of a process in the
    block, by SIGKILL too: a second process waits for that. A node that `start` started outlives its starter.
    """

    def __init__(
        self, folder: Path | None = None, *, port: int | None = None, config: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        if port is not None:
            PORT.check("port", port)
        # Resolved: the folder's name is what its processes are known by, and it must not have two.
        self._layout = Layout(check_folder((broker_folder() if folder is None else folder).expanduser().resolve()))
        self._port = port
        self._config = dict(config)
        self._is_temporary = False
        self._block = contextlib.ExitStack()

    @classmethod
    @contextlib.contextmanager
    def temporary(
        cls,
        *,
        prefix: str = "rpcsvc-",
        port: int | None = None,
        config: Mapping[str, str] = MappingProxyType({}),
    ) -> Iterator[PrivateBroker]:
        """A running node in a temporary folder, which goes with it, also if this process is killed. Main use: tests.

        The end of the block kills it: nothing of it is to stay, and to end in order takes a second.

        Args:
            prefix: of the folder's name.
            port: the AMQP port. Default: a free one, and another one if somebody takes that meanwhile. Not 5672: a
                program that forgets to say which broker it means finds none by chance.
            config: as of PrivateBroker.
        """
        with tempfile.TemporaryDirectory(prefix=prefix, ignore_cleanup_errors=True) as folder:
            broker = cls(Path(folder), port=port, config=config)
            broker._is_temporary = True
            with broker:
                yield broker

    def __repr__(self) -> str:
        running = files.read_running(self._layout)
        state = "stopped" if running is None else f"running at {running.url}, pid {running.pid}"
        return f"<PrivateBroker in {self.folder}: {state}>"

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as block:
            block.enter_context(keep_broker(self.folder, remove=self._is_temporary))
            self.start()
            self._block = block.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._block:
            if self._is_temporary:
                self.kill()
            else:
                self.stop()

    # ---- what it is

    @property
    def folder(self) -> Path:
        """Where everything of the node is kept."""
        return self._layout.folder

    @property
    def url(self) -> str:
        """The node's URL with the password in it; of a stopped node the one it had.

        It will have that one again, if its port is free then.

        Raises:
            BrokerError: it was never started.
        """
        return self._known_url().reveal()

    @property
    def port(self) -> int:
        """The AMQP port, of a stopped node the one it had. Raises BrokerError if it was never started."""
        return self._known_url().port

    @property
    def pid(self) -> int:
        """The process id of the Erlang VM. Raises BrokerError if the node does not run."""
        running = files.read_running(self._layout)
        if running is None:
            raise BrokerError(f"no broker runs in {self.folder}; start it: rpcsvc broker start")
        return running.pid

    def status(self) -> NodeStatus:
        """Whether the node runs, and where."""
        running = files.read_running(self._layout)
        if running is None:
            return NodeStatus(False, None, None, None, self.folder, self._layout.log)
        return NodeStatus(True, running.pid, running.url.port, running.url, self.folder, self._layout.log)

    def _known_url(self) -> BrokerUrl:
        running = files.read_running(self._layout)
        if running is not None:
            return running.url
        credentials = files.read_credentials(self._layout)
        if credentials is None or credentials.port is None:
            raise BrokerError(f"the broker in {self.folder} was never started; start it: rpcsvc broker start")
        return credentials.url(credentials.port)

    # ---- what it does

    def start(self, timeout: float = _START_TIMEOUT) -> None:
        """Start the node, detached from this process; return when it takes AMQP connections. A running one stays.

        Args:
            timeout: seconds, for all of it.

        Raises:
            BrokerNotInstalled: RabbitMQ's programs are not on this machine.
            BrokerStartFailed: it did not come up; the sentence ends with its log.
            BrokerError: another process was starting or stopping it all the while.
            ConfigurationError: the folder or the configuration cannot be used.
        """
        self._start(Deadline.after(check_timeout(timeout)), lambda: False)

    def stop(self, timeout: float = _STOP_TIMEOUT) -> None:
        """End the node and all that belongs to it: gracefully, with SIGKILL after `timeout` seconds. Idempotent."""
        self._stop(Deadline.after(check_timeout(timeout)), lambda: False)

    def kill(self) -> None:
        """End the node with SIGKILL, now, and everything that belongs to it. Idempotent."""
        if not files.is_ours(self._layout):
            return
        running = self._forget()
        if running is not None:
            _send(running.pid, signal.SIGKILL)
        self._sweep(running)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the node does not run (any more); False if `timeout` seconds went by before that."""
        deadline = None if timeout is None else Deadline.after(check_timeout(timeout))
        while files.read_running(self._layout) is not None:
            if deadline is not None and deadline.expired:
                return False
            time.sleep(_POLL)
        return True

    def run(self, started: Callable[[NodeStatus], None] | None = None) -> None:
        """Start the node and stay until it ends. SIGINT and SIGTERM stop it, a second one kills it. Main thread only.

        A SIGTERM within a second of the first signal is taken for its echo. A SIGINT that was ignored before stays so.
        If this process is killed, a second one stops the node.

        Args:
            started: called once when the node is ready.

        Raises:
            BrokerError: the node ended and nobody had asked it to; and whatever `start` raises.
        """
        with keep_broker(self.folder):
            self._run(started)

    # ---- how

    def _run(self, started: Callable[[NodeStatus], None] | None) -> None:
        signals: list[int] = []

        requests = StopRequests(time.monotonic)

        def note(number: int, _frame: FrameType | None) -> None:
            if requests.told(may_be_an_echo=number == signal.SIGTERM) is not Ask.NOTHING:
                signals.append(number)

        before = {number: signal.signal(number, note) for number in stop_signals()}
        try:
            running = self._start(Deadline.after(_START_TIMEOUT), lambda: bool(signals))
            if running is None:
                return
            if started is not None and not signals:
                started(self.status())
            while not signals and processes.belongs(running.pid, running.created, self.folder):
                time.sleep(_POLL)
            if signals:
                self._stop(Deadline.after(_STOP_TIMEOUT), lambda: len(signals) > 1)
            elif files.read_running(self._layout) is None and self._layout.node_file.exists():
                raise BrokerError(
                    f"the private RabbitMQ ended by itself. From its log, in {self._layout.logs}:\n{self._last_words()}"
                )
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _start(self, deadline: Deadline, cancelled: Callable[[], bool]) -> files.Running | None:
        server = install.find_server()
        files.prepare(self._layout)
        with files.locked(self._layout, deadline):
            running = files.read_running(self._layout)
            if running is not None:
                if self._port not in (None, running.url.port):
                    raise BrokerStartFailed(
                        f"the broker in {self.folder} runs already, on port {running.url.port}; stop it first"
                    )
                return running
            # A note of a node that is gone; and what is left of a start whose starter was killed.
            self._forget()
            self._sweep()
            usual_port = None if self._is_temporary else ports.DEFAULT_PORT
            launch = Launch(self._layout, server, self._port, self._config, usual_port)
            try:
                running = self._attempts(launch, deadline, cancelled)
            except OSError as error:
                raise BrokerStartFailed(f"the private RabbitMQ could not be started: {error}") from error
            finally:
                if running is None:
                    self._sweep()
            return running

    def _attempts(self, launch: Launch, deadline: Deadline, cancelled: Callable[[], bool]) -> files.Running | None:
        for left in reversed(range(_ATTEMPTS)):
            try:
                return launch.attempt(deadline, cancelled)
            except BadMoment:
                if not left or deadline.expired:
                    raise
                self._sweep()
        raise AssertionError("the last attempt returns or raises")

    def _stop(self, deadline: Deadline, hurried: Callable[[], bool]) -> None:
        if not files.is_ours(self._layout):
            return
        with files.locked(self._layout, deadline):
            running = self._forget()
            if running is not None:
                _send(running.pid, signal.SIGTERM)
                while processes.belongs(running.pid, running.created, self.folder):
                    if deadline.expired or hurried():
                        _send(running.pid, signal.SIGKILL)
                        break
                    time.sleep(_STEP)
            self._sweep(running)

    def _forget(self) -> files.Running | None:
        """Remove node.json, so that no client finds the node any more; what it was."""
        running = files.read_running(self._layout)
        self._layout.node_file.unlink(missing_ok=True)
        return running

    def _sweep(self, running: files.Running | None = None) -> None:
        """Kill what is left of the node, and wait until its port is free for the next one."""
        left = processes.kill_all(self.folder)
        if left:
            raise BrokerError(
                f"processes of the broker in {self.folder} do not end: {[process.pid for process in left]}"
            )
        deadline = Deadline.after(2.0)
        # A VM of many threads holds its sockets a moment longer than its name.
        while running is not None and not ports.is_free(running.url.port) and not deadline.expired:
            time.sleep(_STEP)

    def _last_words(self) -> str:
        credentials = files.read_credentials(self._layout)
        return excerpt(printed_text(self._layout, credentials.password if credentials else ""))


def _send(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
