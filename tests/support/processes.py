"""A server of the tests' own functions, and what is asked of processes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import psutil

from rpcsvc import testing
from rpcsvc.testing import wait_until
from rpcsvc.testing.server_process import COMMAND

__all__ = ["COMMAND", "HERE", "REGISTRY", "ServerProcess", "is_running", "wait_until"]

REGISTRY = "troublesome:registry"
HERE = Path(__file__).parents[1] / "integration"
"""Where the modules with the tests' own functions are."""


def is_running(process: psutil.Process) -> bool:
    """Whether a process is there, and more than a zombie that its parent (an init that sleeps, say) has not reaped."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


class ServerProcess(testing.ServerProcess):
    """A server of the troublesome functions, unless another registry is named."""

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
        super().__init__(registry, *options, url=url, ready=ready, environ=environ, cwd=cwd, command=command)
