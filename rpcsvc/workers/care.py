"""How the workers of a pool are looked after. What users give for it is checked in `settings`."""

from __future__ import annotations

from dataclasses import dataclass

from ..settings.server import DEFAULT_CANCEL_GRACE, DEFAULT_RESTART_WINDOW, DEFAULT_START_TIMEOUT, LOAD_TIMEOUT


@dataclass(frozen=True, slots=True, kw_only=True)
class Care:
    """How the workers of a pool are looked after.

    Attributes:
        start_timeout: seconds in which a worker must be ready. If it is less than 10, the fork server must do what it
            is told in that time as well.
        cancel_grace: seconds that a cancelled call may take to end by itself; 0 kills its worker at once.
        max_calls: how many calls a worker makes before it is replaced; None is any number.
        max_restarts, restart_window: more workers than that may not end within so many seconds, unless more messages
            are answered; None is 100, or 20 for each worker if that is more.
        cast_workers: how many workers may have casts at a time; None is all but one, and one at least.
    """

    start_timeout: float = DEFAULT_START_TIMEOUT
    cancel_grace: float = DEFAULT_CANCEL_GRACE
    max_calls: int | None = None
    max_restarts: int | None = None
    restart_window: float = DEFAULT_RESTART_WINDOW
    cast_workers: int | None = None

    @property
    def load_timeout(self) -> float:
        """Seconds that the import of the registry and the start of all workers may take."""
        return LOAD_TIMEOUT + (self.start_timeout if self.start_timeout > DEFAULT_START_TIMEOUT else 0.0)
