"""This library at another revision of its repository: what a change costs, or gains."""

from __future__ import annotations

import io
import subprocess
import tarfile
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from pathlib import Path
from typing import Any

from .modes import Mode
from .peer import AsyncClient, Peer, Setup, Unavailable
from .processes import ROOT


class Earlier(Peer):
    """One of ours, with the package as it was.

    Its processes run where the old package lies, which is found before the new one; what drives them is today's.

    Args:
        peer: which of ours.
        revision: what git calls it.
        folder: for the old package; shared by all peers of that revision.
    """

    kind = "earlier"

    def __init__(self, peer: Peer, revision: str, folder: Path) -> None:
        self.name = f"{peer.name} at {revision}"
        self.today = peer.name
        self.one_way = peer.one_way
        self.folder = folder
        self._peer = peer
        self._revision = revision

    def prepare(self) -> None:
        if (self.folder / "rpcsvc").exists():
            return
        command = ["git", "-C", str(ROOT), "archive", "--format=tar", self._revision, "rpcsvc"]
        archived = subprocess.run(command, capture_output=True, check=False)
        if archived.returncode:
            raise Unavailable(archived.stderr.decode(errors="replace").strip())
        with tarfile.open(fileobj=io.BytesIO(archived.stdout)) as package:
            package.extractall(self.folder, filter="data")

    def unable(self, mode: Mode) -> str | None:
        return self._peer.unable(mode)

    def skips(self, mode: Mode) -> bool:
        return self._peer.skips(mode)

    def servers(self, setup: Setup) -> list[list[str]]:
        return self._peer.servers(setup)

    def consumers(self, setup: Setup) -> tuple[str, int] | None:
        return self._peer.consumers(setup)

    def queues(self, setup: Setup) -> list[str]:
        return self._peer.queues(setup)

    def client(self, setup: Setup) -> list[str]:
        return self._peer.client(setup)

    def connect(self, setup: Setup) -> AbstractContextManager[Any] | AbstractAsyncContextManager[AsyncClient]:
        return self._peer.connect(setup)
