"""Programs as one runs them in a terminal: each a process, with what it has printed so far."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import IO, Self

from rpcsvc.testing import scaled, wait_until

_MOST_PRINTED = 1_000_000


class Terminal:
    """A Python program that runs; `with` ends it by SIGINT, as Ctrl-C does.

    Attributes:
        process: the child process, with its standard output and error in one file.
    """

    def __init__(
        self,
        *command: str | Path,
        url: str,
        cwd: Path | None = None,
        environ: Mapping[str, str] = MappingProxyType({}),
        to: Path | None = None,
    ) -> None:
        # As a shell's > does. Closed by __exit__; what is in a file stays there.
        self._output: IO[str] = tempfile.TemporaryFile("w+") if to is None else to.open("w+")  # noqa: SIM115
        self.process = subprocess.Popen(
            [sys.executable, *command],
            cwd=cwd,
            env={**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8", **environ, "RPCSVC_URL": url},
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=self._output,
        )

    @property
    def output(self) -> str:
        """What it has printed so far, on both streams."""
        return os.pread(self._output.fileno(), _MOST_PRINTED, 0).decode(errors="replace")

    @property
    def lines(self) -> list[str]:
        """The same, line by line, without the spaces around."""
        return [line.strip() for line in self.output.splitlines()]

    def wait_for(self, text: str, *, within: float = 30.0) -> None:
        """Wait until it has printed something.

        Raises:
            AssertionError: it has not within so many seconds, or ended without; with what it printed.
        """
        wait_until(lambda: text in self.output or self.process.poll() is not None, within=within)
        assert text in self.output, f"{text!r} was not printed:\n{self.output}"

    def wait(self, *, within: float = 30.0) -> int:
        """Its exit code, when it has ended by itself. Raises subprocess.TimeoutExpired after `within` seconds."""
        return self.process.wait(scaled(within))

    def stop(self) -> int:
        """Its exit code after Ctrl-C; SIGKILL follows after 15 s. Idempotent; what it printed can still be read."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(scaled(15))
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        return self.process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._output.close()

    def __repr__(self) -> str:
        code = self.process.poll()
        return f"<Terminal {self.process.args!r}: {'runs' if code is None else f'ended with {code}'}>"


Start = Callable[..., Terminal]
"""What starts a program, by its name and its arguments."""
