"""How this process's memory allocator treats large blocks.

glibc gives each large block pages of its own and gives them back at once, so every message of some megabytes pays for
fresh pages, faulted in one by one: more than for all its copying. A process that carries such messages over and over
keeps a few of them instead.
"""

from __future__ import annotations

import ctypes
import sys

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # from malloc.h
_OWN_PAGES_FROM = 32 * 1024 * 1024
"""glibc takes no larger threshold."""
_KEPT = 64 * 1024 * 1024
"""Bytes of free memory that the process may keep."""


def keep_large_blocks() -> None:
    """Have freed blocks of up to 32 MiB used again, and up to 64 MiB of them kept; does nothing without glibc."""
    if sys.platform == "linux":
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
        if mallopt is not None:
            mallopt(_M_MMAP_THRESHOLD, _OWN_PAGES_FROM)
            mallopt(_M_TRIM_THRESHOLD, _KEPT)
