"""A real server process for the tests, and waiting for things with a bound."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any, Self

import psutil

from rpcsvc.settings import DEFAULT_QUEUE

REGISTRY = "troublesome:registry"
HERE = Path(__file__).parent
COMMAND = (sys.executable, "-m", "rpcsvc")


def wait_until(condition: Callable[[], Any], *, within: float = 10.0, every: float = 0.01) -> Any:
    """The first true value of `condition`; an AssertionError after `within` seconds."""
    end = time.monotonic() + within
    while not (value := condition()):
        assert time.monotonic() < end, f"still not so after {within} s"
        time.sleep(every)
    return value


def is_running(process: psutil.Process) -> bool:
    """Whether a process is there, and more than a zombie that its parent (an init that sleeps, say) has not reaped."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


class ServerProcess:
    """`rpcsvc serve` as a child process, ready when the constructor returns."""

    def __init__(
        self,
        url: str,
        *options: str,
        registry: str = REGISTRY,
        ready: bool = True,
        environ: Mapping[str, str] = MappingProxyType({}),
        cwd: Path = HERE,
        command: Sequence[str] = COMMAND,
    ) -> None:
        # The last one counts, as for the command itself.
        self.queue = ([DEFAULT_QUEUE] + [value for name, value in pairwise(options) if name == "--queue"])[-1]
        self._output: IO[str] = tempfile.TemporaryFile("w+")  # noqa: SIM115 closed by stop
        self.process = subprocess.Popen(
            [*command, "serve", registry, *options],
            cwd=cwd,
            env={**os.environ, **environ, "RPCSVC_URL": url},
            stderr=self._output,
            stdout=self._output,
        )
        if ready:
            try:
                wait_until(lambda: "ready:" in self.output or self.process.poll() is not None, within=30)
                assert self.process.poll() is None, self.output
            except BaseException:
                self.stop()
                raise

    @property
    def output(self) -> str:
        """What it has printed so far."""
        position = os.dup(self._output.fileno())
        with os.fdopen(position) as copy:
            return os.pread(copy.fileno(), 1_000_000, 0).decode()

    @property
    def pid(self) -> int:
        return self.process.pid

    def family(self) -> list[psutil.Process]:
        """The server's descendants: the fork server and the workers."""
        return psutil.Process(self.pid).children(recursive=True)

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def wait(self, within: float = 15.0) -> int:
        """Its exit code, when it has ended."""
        return self.process.wait(within)

    def stop(self) -> None:
        """End it, however it is."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self._output.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
