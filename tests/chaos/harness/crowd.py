"""The client processes of a run, seen from the runner."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from .load import PATIENCE, Load, Plan, as_line


class Crowd:
    """Client processes under one load; they make calls from the constructor's return until `stop`."""

    def __init__(
        self, url: str, queue: str, load: Load, folder: Path, *, seed: int, environ: Mapping[str, str]
    ) -> None:
        self._load = load
        self._processes: list[subprocess.Popen[str]] = []
        try:
            for number in range(load.clients):
                self._start(
                    Plan(f"c{number}", url, queue, str(folder / f"client-{number}.jsonl"), seed, load), folder, environ
                )
            self._await("ready")
        except BaseException:
            self.kill()
            raise

    def _start(self, plan: Plan, folder: Path, environ: Mapping[str, str]) -> None:
        with (folder / f"{plan.name}.log").open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "harness.load"],
                env={**os.environ, **environ},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=output,
                text=True,
            )
        self._processes.append(process)
        self._tell(process, as_line(plan))

    @property
    def pids(self) -> list[int]:
        """The clients' processes."""
        return [process.pid for process in self._processes]

    def measure(self, when: str) -> None:
        """Have each write down what it holds."""
        for process in self._processes:
            self._tell(process, f"measure {when}\n")
        self._await("done")

    def change(self, **members: object) -> None:
        """Go on under a load that differs in these members of `Load`."""
        for process in self._processes:
            self._tell(process, f"change {json.dumps(members)}\n")
        self._await("done")

    def count(self) -> int:
        """How many calls were made by now."""
        for process in self._processes:
            self._tell(process, "count\n")
        return sum(int(self._said(process)) for process in self._processes)

    def stop(self) -> None:
        """No more calls; return when each client has said what became of the open ones, and has ended.

        Raises:
            RuntimeError: one ended otherwise.
        """
        for process in self._processes:
            self._tell(process, "stop\n")
        try:
            self._await("done")
            codes = [process.wait(2 * PATIENCE) for process in self._processes]
        finally:
            self.kill()
        if any(codes):
            raise RuntimeError(f"client processes ended with {codes}")

    def kill(self) -> None:
        """End them all, now."""
        for process in self._processes:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None and not pipe.closed:
                    _close(pipe)

    def _tell(self, process: subprocess.Popen[str], line: str) -> None:
        assert process.stdin is not None
        process.stdin.write(line)
        process.stdin.flush()

    def _await(self, word: str) -> None:
        for process in self._processes:
            said = self._said(process)
            if said != word:
                raise RuntimeError(f"a client process said {said!r} instead of {word!r}; exit code {process.poll()}")

    def _said(self, process: subprocess.Popen[str]) -> str:
        assert process.stdout is not None
        return process.stdout.readline().strip()


def _close(pipe: IO[str]) -> None:
    with contextlib.suppress(BrokenPipeError):  # what was not read any more
        pipe.close()
