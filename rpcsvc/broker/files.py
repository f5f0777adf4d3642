"""The small files of a node's folder: its credentials, the note of what runs, the lock of who starts it.

Each is of mode 0600 and written whole: to a new file first, which then takes the old one's name.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..deadline import Deadline
from ..errors import BrokerError, ConfigurationError
from ..settings import BrokerUrl
from .config import Credentials, Layout, check_folder
from .processes import belongs


@dataclass(frozen=True, slots=True)
class Running:
    """A node that runs: what node.json says, found true."""

    pid: int
    created: float
    url: BrokerUrl


def write_private(path: Path, text: str, *, mode: int = 0o600) -> None:
    """Write `text` to `path`, whole or not at all, for this user's eyes only."""
    new = path.with_name(f"{path.name}.{secrets.token_hex(4)}.new")
    try:
        with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write(text)
        new.chmod(mode)
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)


def prepare(layout: Layout) -> None:
    """Make the folder, of mode 0700.

    Raises:
        ConfigurationError: it cannot be made or used, or holds something else already, which is then left as it is.
    """
    folder = check_folder(layout.folder)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        foreign = {entry.name for entry in folder.iterdir()} - {layout.lock_file.name}
        if foreign and not is_ours(layout):
            raise ConfigurationError(f"the folder {folder} is not empty and not a broker's; choose another one")
        folder.chmod(0o700)
    except OSError as error:
        raise ConfigurationError(
            f"the broker's folder cannot be used: {error}; name another one (--dir, or XDG_STATE_HOME)"
        ) from error


def is_ours(layout: Layout) -> bool:
    """Whether the folder is a node's. One that is not is never written to, and nothing in it is removed."""
    return layout.credentials_file.exists()


@contextmanager
def locked(layout: Layout, deadline: Deadline) -> Iterator[None]:
    """Hold the folder's lock: one process at a time starts or stops the node. A holder that dies lets go of it.

    Raises:
        BrokerError: another one held it until the deadline.
    """
    with open(os.open(layout.lock_file, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600), "w") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if deadline.expired:
                    raise BrokerError(
                        f"another process has been starting or stopping the broker in {layout.folder} all the while"
                    ) from None
                time.sleep(0.02)
        yield


def read_credentials(layout: Layout) -> Credentials | None:
    """The node's user, or None before the first start.

    Raises:
        ConfigurationError: the file is there and unreadable.
    """
    try:
        found = _read(layout.credentials_file)
        if found is None:
            return None
        port = found["port"]
        return Credentials(str(found["user"]), str(found["password"]), None if port is None else int(port))
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigurationError(
            f"{layout.credentials_file} is damaged; remove {layout.folder} to begin anew"
        ) from error


def write_credentials(layout: Layout, credentials: Credentials) -> None:
    """Keep the node's user and the port it has."""
    known = {"user": credentials.user, "password": credentials.password, "port": credentials.port}
    write_private(layout.credentials_file, json.dumps(known))


def read_running(layout: Layout) -> Running | None:
    """The running node, or None: no note, a damaged one, or one about a process that is gone or another one by now."""
    try:
        node = _read(layout.node_file)
        if node is None:
            return None
        running = Running(int(node["pid"]), float(node["created"]), BrokerUrl.parse(str(node["url"])))
    except (ValueError, KeyError, TypeError):
        return None
    return running if belongs(running.pid, running.created, layout.folder) else None


def write_running(layout: Layout, running: Running, epmd_port: int) -> None:
    """Tell every client of this user where the node is (`epmd_port`: for whoever points rabbitmqctl at it)."""
    node = {"url": running.url.reveal(), "pid": running.pid, "created": running.created, "epmd_port": epmd_port}
    write_private(layout.node_file, json.dumps(node))


def _read(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error}") from error
    if not isinstance(found, dict):
        raise TypeError(f"{path} is not an object")
    return found
