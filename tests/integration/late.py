"""Functions in workers that do not become ready, if the file named by LATE says so."""

from __future__ import annotations

import os
import time
from pathlib import Path

from rpcsvc import Registry

registry = Registry()
_FILE = Path(os.environ.get("LATE", "/nonexistent"))


def _how() -> str:
    return _FILE.read_text() if _FILE.exists() else ""


def _in_child() -> None:
    match _how():
        case "the child hangs":
            _FILE.with_suffix(".hangs").touch()
            time.sleep(1000)
        case "the child ends":
            os._exit(3)
        case "the child is stopped":
            _FILE.with_suffix(".hangs").touch()
            os.kill(os.getpid(), 19)


def _in_parent() -> None:
    if _how() == "the parent hangs":
        _FILE.with_suffix(".hangs").touch()
        time.sleep(1000)


os.register_at_fork(after_in_child=_in_child, after_in_parent=_in_parent)


@registry.function
def pid() -> int:
    return os.getpid()


@registry.function
def die() -> None:
    os._exit(1)
