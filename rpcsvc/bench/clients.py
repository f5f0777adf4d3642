"""The client processes, from outside: started, started together, heard, stopped."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from typing import Any, Self

from ..deadline import Deadline
from ..errors import RpcError
from ..host.surroundings import interpreter_options
from ..settings import BrokerUrl
from .load import Load

_READY_WITHIN = 30.0
_END_WITHIN = 5.0
"""Seconds that a process has for its last words once it has been told to stop."""
_LEAD = 0.05
"""Seconds between the order to start and the start, so that all clients begin at the same time."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Calls that have ended so far, warm-up included, and how many of them with an error."""

    ended: int
    badly: int


class ClientProcesses:
    """The client processes of one run.

    with ClientProcesses(load, url) as clients:
        begin = clients.start()
        while not clients.finished:
            clients.wait(0.1)
        clients.tallies()
    """

    def __init__(self, load: Load, url: BrokerUrl) -> None:
        self._load = load
        self._url = url
        self._processes: list[subprocess.Popen[bytes]] = []
        self._heard: queue.SimpleQueue[tuple[int, dict[str, Any] | None]] = queue.SimpleQueue()
        self._progress: dict[int, Progress] = {}
        self._tallies: dict[int, list[dict[str, Any]]] = {}
        self._ready: set[int] = set()

    def __enter__(self) -> Self:
        try:
            for number in range(self._load.clients):
                self._spawn(number)
            deadline = Deadline.after(_READY_WITHIN)
            while len(self._ready) < self._load.clients:
                if deadline.expired:
                    raise RpcError(f"the client processes were not ready within {_READY_WITHIN:g} s")
                self.wait(0.1)
        except BaseException:
            self._kill()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._kill()

    @property
    def pids(self) -> list[int]:
        """Their process ids."""
        return [process.pid for process in self._processes]

    @property
    def timeout(self) -> float:
        """Seconds that their calls wait for a reply."""
        return self._load.timeout

    @property
    def finished(self) -> bool:
        """Whether all clients have told their tallies. They live on until they are left, to be looked at."""
        return len(self._tallies) == len(self._processes)

    @property
    def progress(self) -> Progress:
        """The sum of what they told last."""
        told = self._progress.values()
        return Progress(sum(each.ended for each in told), sum(each.badly for each in told))

    def start(self) -> float:
        """Have all begin at the same time; that time, on the monotonic clock."""
        begin = time.monotonic() + _LEAD
        for process in self._processes:
            self._send(process, {"begin": begin})
        return begin

    def wait(self, seconds: float) -> None:
        """Hear what they tell, for at most this long, or until the next word.

        Raises:
            RpcError: one of them says that it cannot go on, or has ended without its tallies.
        """
        with contextlib.suppress(queue.Empty):
            number, told = self._heard.get(timeout=max(0.0, seconds))
            self._note(number, told)

    def stop(self) -> None:
        """Have them end now: give up what is under way, tell the tallies."""
        for process in self._processes:
            assert process.stdin is not None
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()
        deadline = Deadline.after(_END_WITHIN)
        while not self.finished and not deadline.expired:
            self.wait(deadline.remaining)

    def tallies(self) -> list[dict[str, Any]]:
        """The tallies of all threads of those that told them."""
        return [tally for number in sorted(self._tallies) for tally in self._tallies[number]]

    # ---- inside

    def _spawn(self, number: int) -> None:
        process = subprocess.Popen(  # noqa: S603 our own interpreter
            [sys.executable, *interpreter_options(sys.orig_argv), "-m", "rpcsvc.bench.client"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "RPCSVC_URL": self._url.reveal()},
            start_new_session=True,  # Ctrl-C is for the command, which stops them in order
        )
        self._processes.append(process)
        self._send(process, {"number": number, "load": self._load.to_json()})
        threading.Thread(target=self._listen, args=(number, process), daemon=True).start()

    def _send(self, process: subprocess.Popen[bytes], what: dict[str, Any]) -> None:
        assert process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # its end is heard
            process.stdin.write(json.dumps(what).encode() + b"\n")
            process.stdin.flush()

    def _listen(self, number: int, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        with process.stdout as lines:
            for line in lines:
                self._heard.put((number, json.loads(line)))
        self._heard.put((number, None))

    def _note(self, number: int, told: dict[str, Any] | None) -> None:
        if told is None:
            if number not in self._tallies:
                raise RpcError(f"client process {number} ended before its time; what it printed says why")
        elif "error" in told:
            raise RpcError(f"client process {number}: {told['error']}")
        elif "ready" in told:
            self._ready.add(number)
        elif "tallies" in told:
            self._tallies[number] = told["tallies"]
        else:
            self._progress[number] = Progress(told["ended"], told["badly"])

    def _kill(self) -> None:
        for process in self._processes:
            assert process.stdin is not None
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()
            if process.poll() is None:
                try:
                    process.wait(0.5)
                except subprocess.TimeoutExpired:
                    process.kill()
            process.wait()
