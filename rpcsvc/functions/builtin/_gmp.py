"""gmpy2, if it is installed.

Importing gmpy2 takes 30 ms and more (it reads its own package metadata). The package asks once, when it is
imported itself; a server does that in its fork server, so that the workers find it loaded.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import Any


@cache
def gmp() -> Any:
    """The module gmpy2, or None where it is missing or does not load.

    The answer is kept; `gmp.cache_clear()` makes the next call look again.
    """
    try:
        return import_module("gmpy2")
    except ImportError:
        return None
