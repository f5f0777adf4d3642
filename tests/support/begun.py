"""Calls of the troublesome functions that have begun, for tests in which something happens to them then."""

from __future__ import annotations

import uuid
from concurrent.futures import Future
from pathlib import Path

from rpcsvc import RpcClient
from rpcsvc.testing import wait_until


def begun(client: RpcClient, folder: Path, seconds: float, *, timeout: float | None = None) -> Future[str]:
    """A call that has begun, takes so many seconds, and returns "begun"."""
    path = folder / f"begun-{uuid.uuid4().hex[:8]}"
    future = client.submit("write_then_sleep", str(path), "begun", seconds, timeout=timeout)
    wait_until(path.exists)
    return future


class Gate:
    """Calls that leave a trace when they begin and run until they are let go."""

    def __init__(self, folder: Path, name: str = "gate") -> None:
        self._trace = folder / f"{name}-begun"
        self._gate = folder / name

    @property
    def begun(self) -> list[str]:
        """The texts of the calls that have begun, each as often as it did."""
        return self._trace.read_text().split() if self._trace.exists() else []

    def submit(self, client: RpcClient, text: str, *, timeout: float | None = None, once: bool = False) -> Future[str]:
        """A call that returns the text when the gate is open; `once` is one that must not run twice."""
        method = "pass_gate_once" if once else "pass_gate"
        return client.submit(method, str(self._trace), text, str(self._gate), timeout=timeout)

    def open(self) -> None:
        """Let them all go on."""
        self._gate.touch()
