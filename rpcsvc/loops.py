"""The event loop: uvloop where it is installed, else asyncio's own."""

from __future__ import annotations

import asyncio

try:
    import uvloop
except ImportError:  # pragma: no cover - it is a dependency wherever it exists
    new_event_loop = asyncio.new_event_loop
else:
    new_event_loop = uvloop.new_event_loop
