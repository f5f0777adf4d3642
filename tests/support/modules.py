"""Registries that a test writes, and servers of them."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType

from support.processes import COMMAND, ServerProcess

HEAD = """
import os, signal, sys, threading, time
from rpcsvc import Registry

registry = Registry()
"""
PID = """
@registry.function
def pid() -> int:
    return os.getpid()


@registry.function
def die() -> None:
    os._exit(3)
"""


def write(folder: Path, name: str, text: str) -> Path:
    """A module with a registry, two functions, and whatever else is given."""
    path = folder / f"{name}.py"
    path.write_text(HEAD + text + PID)
    return path


@contextmanager
def serving(
    url: str,
    queue: str,
    folder: Path,
    module: str,
    *options: str,
    ready: bool = True,
    environ: Mapping[str, str] = MappingProxyType({}),
    command: Sequence[str] = COMMAND,
) -> Iterator[ServerProcess]:
    """A server of the registry in a module of a folder, started there."""
    server = ServerProcess(
        url,
        "--queue",
        queue,
        *options,
        registry=f"{module}:registry",
        ready=ready,
        environ={"PWD": str(folder), **environ},
        cwd=folder,
        command=command,
    )
    with server:
        try:
            yield server
        except BaseException:
            sys.stderr.write(server.output)  # pytest shows it beside the failure
            raise


def ended(server: ServerProcess, within: float = 30.0) -> tuple[int, str]:
    """The exit code and the output of a server that ends by itself."""
    return server.wait(within), server.output


def command_line(pid: int) -> str:
    """What `ps` shows of a process."""
    return Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").replace(b"\0", b" ").decode(errors="replace")


def environment_without(*names: str) -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in names}
