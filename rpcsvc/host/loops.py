"""The event loop: uvloop where it is installed, else asyncio's own.

libuv, on which uvloop stands, ends the process (an assertion) when it closes a descriptor below 3. In a process that
was started with a standard stream closed (`program <&-`, some supervisors), the next thing opened gets that number, and
that would be a socket of ours. So what is missing of the descriptors 0 to 2 is filled before any is opened here.
"""

from __future__ import annotations

import asyncio

from .streams import fill_standard_streams

try:
    import uvloop
except ImportError:  # pragma: no cover - it is a dependency wherever it exists
    _fast_event_loop = asyncio.new_event_loop
else:
    _fast_event_loop = uvloop.new_event_loop


def new_event_loop() -> asyncio.AbstractEventLoop:
    """A loop, in a process whose standard streams are open, or stand for nothing from now on."""
    # Without a /dev there may be nothing to fill them with. asyncio's own loop does with any number.
    return _fast_event_loop() if fill_standard_streams() else asyncio.new_event_loop()
