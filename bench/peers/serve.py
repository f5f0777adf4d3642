"""A server process of a peer: `python -m bench.peers.serve PEER SETUP`, until SIGTERM."""

from __future__ import annotations

import sys

from .everyone import peer_of
from .peer import Setup


def main(name: str, setup: str) -> None:
    """Serve."""
    told = Setup.from_json(setup)
    peer_of(name, one_way=told.kind != "call").serve(told)


if __name__ == "__main__":
    main(*sys.argv[1:])
