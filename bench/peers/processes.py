"""Child processes of a run: started in a session of their own, ended with all their descendants, their CPU time."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Self

import psutil

ROOT = Path(__file__).resolve().parents[2]
"""The checkout: `bench.peers` is imported from it."""

GRACE = 5.0
"""Seconds between SIGTERM and SIGKILL."""


class Child:
    """One child process; its standard error goes to a file, its output too unless it is read. What reads it may answer.

    Used as a context manager it is gone, with its descendants, when the block is left.
    """

    def __init__(self, command: Sequence[str], environ: Mapping[str, str], *, folder: Path, read: bool = False) -> None:
        self._log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 closed by stop
        self.process = subprocess.Popen(
            command,
            cwd=folder,
            env=dict(environ),
            stdin=subprocess.PIPE if read else subprocess.DEVNULL,
            stdout=subprocess.PIPE if read else self._log,
            stderr=self._log,
            text=True,
            # Ctrl-C is for the runner: it ends the children in its own order.
            start_new_session=True,
        )

    def __repr__(self) -> str:
        return f"<Child {self.process.pid}: {' '.join(map(str, self.process.args))[:80]}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def ended(self) -> bool:
        """Whether the process has ended."""
        return self.process.poll() is not None

    def lines(self) -> Iterator[str]:
        """The lines of its output, as they come."""
        assert self.process.stdout is not None
        yield from self.process.stdout

    def answer(self) -> None:
        """Give it a line, for which it waits."""
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write("\n")
            self.process.stdin.flush()

    def last_words(self) -> str:
        """The last line that is not empty of what it printed."""
        size = os.fstat(self._log.fileno()).st_size
        text = os.pread(self._log.fileno(), 20_000, max(0, size - 20_000)).decode(errors="replace")
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        return lines[-1] if lines else f"ended with exit code {self.process.poll()}"

    def family(self) -> list[psutil.Process]:
        """Its descendants that live, and itself."""
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(self.process.pid)
            return [process, *process.children(recursive=True)]
        return []

    def kill(self) -> None:
        """End it now, with its descendants."""
        for process in self.family():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)  # those whose parent is gone already

    def stop(self) -> None:
        """End it and its descendants: SIGTERM for itself, SIGKILL for what is left."""
        family = self.family()
        with contextlib.suppress(ProcessLookupError):
            self.process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(GRACE)
        for process in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
        self._log.close()


def cpu_of(processes: Sequence[psutil.Process]) -> float:
    """Seconds of CPU that processes have used; one that has ended counts nothing."""
    total = 0.0
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            total += times.user + times.system
    return total


def end_all() -> None:
    """Kill whatever still descends from this process: a child that an interrupt caught at its birth."""
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
