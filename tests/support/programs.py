"""Programs of users, each in a process of its own: what a test of this process could not outlive, or would disturb."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Mapping
from types import MappingProxyType

from rpcsvc.broker import PrivateBroker


def run_program(
    broker: PrivateBroker,
    queue: str,
    text: str,
    *options: str,
    closed: str = "",
    environ: Mapping[str, str] = MappingProxyType({}),
    within: float = 60,
) -> subprocess.CompletedProcess[str]:
    """Run a Python program that finds the broker, and the name of the queue in the variable QUEUE.

    Args:
        options: the interpreter's.
        closed: how a shell closes its standard streams, for instance "<&- 2>&-".
        within: seconds, after which it hangs.
    """
    command = [sys.executable, "-X", "faulthandler", *options, "-c", textwrap.dedent(text)]
    return subprocess.run(
        ["sh", "-c", f'exec "$@" {closed}', "sh", *command],
        env={**os.environ, "RPCSVC_URL": broker.url, "QUEUE": queue, **environ},
        capture_output=True,
        text=True,
        timeout=within,
        check=False,
    )
