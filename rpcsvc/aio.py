"""Where `AsyncRpcClient` was up to 0.2; `from rpcsvc import AsyncRpcClient` finds it. This name goes with 0.4."""

from __future__ import annotations

import warnings
from typing import Any


def __getattr__(name: str) -> Any:
    """What was here, with a warning."""
    from .client import aio  # noqa: PLC0415 whoever does not ask does not load it

    found = getattr(aio, name)
    warnings.warn(f"rpcsvc.aio.{name} has moved; import it from rpcsvc", DeprecationWarning, stacklevel=2)
    return found
