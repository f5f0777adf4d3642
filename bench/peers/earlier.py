"""This library at another revision of its repository: what a change costs, or gains."""

from __future__ import annotations

import io
import subprocess
import tarfile
from contextlib import AbstractContextManager
from pathlib import Path

from .modes import Mode
from .ours import Ours
from .peer import Client, Peer, Setup, Unavailable
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

    def __init__(self, peer: Ours, revision: str, folder: Path) -> None:
        self.name = f"{peer.name} at {revision}"
        self.today = peer.name
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

    def client(self, setup: Setup) -> list[str]:
        return self._peer.client(setup)

    def connect(self, setup: Setup) -> AbstractContextManager[Client]:
        return self._peer.connect(setup)
