"""Where `Registry` was up to 0.2; `from rpcsvc import Registry` finds it. This name goes with 0.4."""

from __future__ import annotations

import warnings
from typing import Any


def __getattr__(name: str) -> Any:
    """What was here, with a warning."""
    from .functions import registration  # noqa: PLC0415 whoever does not ask does not load it

    found = getattr(registration, name)
    warnings.warn(f"rpcsvc.registry.{name} has moved; import it from rpcsvc", DeprecationWarning, stacklevel=2)
    return found
