"""The limit: a client and a server in C on librabbitmq, with nothing around the calls. See limit/."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from . import work
from .modes import Mode
from .peer import Peer, Setup, Unavailable

SOURCE = Path(__file__).parent / "limit"
BUILD = Path(sys.prefix) / "limit"
"""The programs live in the environment that runs this, so the checkout stays clean."""

MAP_PREFETCH = 50
"""A map has no prefetch of its own: the value that the limit reaches its best with."""


class Limit(Peer):
    """The same bodies and properties as ours; the echo is of the bytes as they are."""

    name = "limit (C)"
    kind = "limit"
    wire = "json"

    def unable(self, mode: Mode) -> str | None:
        return None

    def prepare(self) -> None:
        make = ["make", "--silent", "-C", str(SOURCE), f"OUT={BUILD}"]
        try:
            result = subprocess.run(make, capture_output=True, text=True, check=False)
        except OSError as error:
            raise Unavailable(f"it cannot be built: {error}") from error
        if result.returncode:
            raise Unavailable(f"it cannot be built: {(result.stderr.strip() or 'make failed').splitlines()[0]}")

    def servers(self, setup: Setup) -> list[list[str]]:
        prefetch = MAP_PREFETCH if setup.maps else setup.prefetch
        command = [str(BUILD / "server"), "--queue", setup.queue, "--prefetch", str(prefetch)]
        return [[*command, "--function", setup.function, "--wire", self.wire]] * setup.workers

    def client(self, setup: Setup) -> list[str]:
        command = [str(BUILD / "client"), "--queue", setup.queue, "--in-flight", str(setup.in_flight)]
        command += ["--function", setup.function, "--wire", self.wire]
        command += ["--calls", str(setup.calls)] if setup.maps else ["--seconds", str(setup.seconds)]
        if setup.function == "echo":
            return [*command, "--size", str(work.PAYLOAD_SIZE)]
        argument = json.dumps(work.argument_of(setup.function))
        # The server prints a double with all its digits.
        expected = "%d" if setup.function == "fib" else "%.17g"
        return [*command, "--argument", argument, "--expect", expected % work.result_of(setup.function)]


class LimitBare(Limit):
    """The tutorial's bodies, 30 and 832040, without the properties that ours adds."""

    name = "limit (C) bare"
    wire = "bare"

    def skips(self, mode: Mode) -> bool:
        return mode.function != "fib" or mode.maps
