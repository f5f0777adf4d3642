"""A registry whose import forks, and whose child comes to the end of it, too."""

from __future__ import annotations

import os
import sys

from rpcsvc import Registry

registry = Registry()


@registry.function
def status() -> int:
    return STATUS


CHILD = os.fork()
if CHILD == 0 and os.environ.get("CHILD_OF_THE_IMPORT") == "exits":
    sys.exit(3)
STATUS = os.waitstatus_to_exitcode(os.waitpid(CHILD, 0)[1]) if CHILD else -1
