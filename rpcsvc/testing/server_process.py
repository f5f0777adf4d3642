"""`rpcsvc serve` as a child process of the tests: real workers, real signals, a real death."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType
from typing import IO, Self

import psutil

from ..settings import DEFAULT_QUEUE
from .waiting import scaled, wait_until

COMMAND = (sys.executable, "-m", "rpcsvc")
"""The command line tool of this Python."""
_READY_WITHIN = 30.0
_STOPPED_WITHIN = 15.0
_MOST_PRINTED = 1_000_000


class ServerProcess:
    """`rpcsvc serve` as a child process, ready when the constructor returns; `with` stops it at the end.

        with ServerProcess("shop.functions:registry", "--workers", "2", url=broker.url) as server:
            ...

    Args:
        registry: "module:attribute", as the command takes it.
        options: of `rpcsvc serve`.
        url: of the broker.
        ready: whether to wait until it is ready, or has ended instead.
        environ: variables beside those of this process.
        cwd: where it is started, and finds modules; default: where this process is.
        command: what runs, before "serve".

    Attributes:
        queue: the name of the queue that it serves.
        process: the child process.

    Raises:
        AssertionError: it ended, or was not ready in time; with what it printed.
    """

    def __init__(
        self,
        registry: str,
        *options: str,
        url: str,
        ready: bool = True,
        environ: Mapping[str, str] = MappingProxyType({}),
        cwd: Path | None = None,
        command: Sequence[str] = COMMAND,
    ) -> None:
        # The last one counts, as for the command itself.
        self.queue = ([DEFAULT_QUEUE] + [value for name, value in pairwise(options) if name == "--queue"])[-1]
        self._output: IO[str] = tempfile.TemporaryFile("w+")  # noqa: SIM115 closed by stop
        self.process = subprocess.Popen(  # noqa: S603 what the caller says
            [*command, "serve", registry, *options],
            cwd=cwd,
            env={**os.environ, **environ, "RPCSVC_URL": url},
            stderr=self._output,
            stdout=self._output,
        )
        if ready:
            try:
                self.wait_ready()
            except BaseException:
                self.stop()
                raise

    def __repr__(self) -> str:
        code = self.process.poll()
        return f"<ServerProcess {self.pid} on {self.queue!r}: {'runs' if code is None else f'ended with {code}'}>"

    def wait_ready(self) -> None:
        """Return when it is ready. Raises AssertionError: it ended, or was not in time; with what it printed."""
        try:
            wait_until(lambda: "ready:" in self.output or self.process.poll() is not None, within=_READY_WITHIN)
        except AssertionError as error:
            raise AssertionError(f"the server was not ready in {scaled(_READY_WITHIN):g} s:\n{self.output}") from error
        if self.process.poll() is not None:
            raise AssertionError(f"the server ended with exit code {self.process.poll()}:\n{self.output}")

    @property
    def output(self) -> str:
        """What it has printed so far, on both streams."""
        return os.pread(self._output.fileno(), _MOST_PRINTED, 0).decode(errors="replace")

    @property
    def pid(self) -> int:
        """The process id of the server itself, which no worker has."""
        return self.process.pid

    def family(self) -> list[psutil.Process]:
        """The server's descendants: the fork server and the workers."""
        return psutil.Process(self.pid).children(recursive=True)

    def signal(self, number: int) -> None:
        """Send it a signal; SIGTERM drains it, SIGHUP reloads it, SIGKILL is its death."""
        self.process.send_signal(number)

    def wait(self, within: float = _STOPPED_WITHIN) -> int:
        """Its exit code, when it has ended. Raises subprocess.TimeoutExpired after `within` seconds."""
        return self.process.wait(scaled(within))

    def stop(self) -> None:
        """End it, however it is: SIGTERM, and SIGKILL to what has not ended after 15 s. Idempotent."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
            try:
                self.wait()
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self._output.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
