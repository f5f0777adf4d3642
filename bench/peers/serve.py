"""A server process of a peer: `python -m bench.peers.serve PEER SETUP`, until SIGTERM."""

from __future__ import annotations

import sys

from .everyone import PEERS
from .peer import Setup


def main(name: str, setup: str) -> None:
    """Serve."""
    PEERS[name].serve(Setup.from_json(setup))


if __name__ == "__main__":
    main(*sys.argv[1:])
