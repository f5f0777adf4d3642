"""What the demonstration's pool serves: the built-in functions, and work that fails before it succeeds."""

from __future__ import annotations

from rpcsvc import Registry, Retry, current_call
from rpcsvc.functions import registry as built_in

registry = Registry(default="fib")
registry.include(built_in)


@registry.function(retry=Retry(attempts=5, back_off=1.0, on=(OSError,)))
def unsteady(path: str) -> None:
    """Fails twice, then notes the attempt that it succeeded in."""
    call = current_call()
    attempt = 1 if call is None else call.attempt
    if attempt < 3:
        raise OSError(f"not yet, in attempt {attempt}")
    with open(path, "w", encoding="utf-8") as note:
        note.write(str(attempt))
