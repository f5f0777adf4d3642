"""The keeper: waits for the end of the process that started it, and ends what that has left; see `keeper`.

Rule: it imports nothing of ours until it has something to end.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

_LOOK_EVERY = 1.0
"""Seconds between two looks at who the parent is: a fork of the starter that lives on would hold the pipe open."""
_STOP_WITHIN = 15.0
"""Seconds that a private broker has to end in order."""


def main() -> None:
    """Wait for the starter's end, then end what it has left."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # they are for the starter, which then lets go of everything
    left = _wait(sys.stdin.fileno(), os.getppid())
    # The last that was begun is the first to end, as it would be in order.
    for what in reversed(left):
        with contextlib.suppress(Exception):  # nobody is there to be told; the rest is to end all the same
            if "processes" in what:
                _end_processes(what["processes"])
            elif "folder" in what:
                shutil.rmtree(what["folder"], ignore_errors=True)
            else:
                _end_broker(Path(what["broker"]), remove=what["remove"])


def _wait(orders: int, starter: int) -> list[dict[str, Any]]:
    """Wait for the end of the starter: what it had not let go when it went, in the order it was given."""
    kept: dict[int, dict[str, Any]] = {}
    received = b""
    while os.getppid() == starter:
        if not select.select((orders,), (), (), _LOOK_EVERY)[0]:
            continue
        data = os.read(orders, 65536)
        if not data:
            break
        *lines, received = (received + data).split(b"\n")
        for order in map(json.loads, lines):
            if "keep" in order:
                kept[order["keep"]] = order
            else:
                kept.pop(order["let_go"], None)
    return list(kept.values())


def _end_processes(mark: str) -> None:
    from ..broker.processes import kill_marked  # noqa: PLC0415 most keepers have nothing to do
    from .keeper import MARK  # noqa: PLC0415

    kill_marked(MARK, mark)


def _end_broker(folder: Path, *, remove: bool) -> None:
    from ..broker.node import PrivateBroker  # noqa: PLC0415

    broker = PrivateBroker(folder)
    if remove:
        broker.kill()
        shutil.rmtree(folder, ignore_errors=True)
    else:
        broker.stop(_STOP_WITHIN)


if __name__ == "__main__":
    main()
