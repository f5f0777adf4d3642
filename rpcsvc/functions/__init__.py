"""Functions that can be called: how they are registered, checked and described; and the built-in ones.

- `registration`: `Registry` and what it knows of a function.
- `annotations`: which of them a value that travels can pass; `checks`: the check of a value; `adapters`: pydantic.
- `retry`: when casts and events are tried again.
- `description`: a registry as an OpenRPC document.
- `importing`: whether this process imports a registry for a server's workers.
- `builtin`: what `rpcsvc serve` offers when it is given no registry; `rpcsvc.functions:registry` is its name.
"""

from __future__ import annotations

import importlib
from typing import Any

_BUILT_IN = ("echo", "factorize", "fib", "is_prime", "monte_carlo_pi", "registry", "sha256", "sleep")


def __getattr__(name: str) -> Any:
    """The built-in functions, and their registry; whoever registers functions of his own does not load them."""
    if name not in _BUILT_IN:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(".builtin", __name__), name)
