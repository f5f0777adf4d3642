"""Calls that do harm: each has its own typed error, and no other call notices."""

from __future__ import annotations

from ..checker import Rules
from ..figures import Figures
from ..functions import POISON
from ..load import MIX, Load
from ..scenario import scenario
from ..stage import Stage

_OPTIONS = ("--memory-limit", "160M")
# Calls that travelled with a slow one, or with one that killed its worker, are computed again.
_RULES = Rules(most_starts=3)


def _mix(share: float) -> dict[str, float]:
    each = share / (1 - share) * sum(MIX.values()) / len(POISON)
    return {**MIX, **dict.fromkeys(POISON, each)}


@scenario(
    "poison",
    "one call of a hundred raises, exits, crashes, hangs, holds the interpreter, eats memory, or returns junk",
    server_options=_OPTIONS,
    load=Load(mix=_mix(0.01), rate=100),
    rules=_RULES,
    figures=Figures(failed=0, least_ok=0.95),
    calm=2.0,
)
def poison(stage: Stage) -> None:
    stage.sleep(stage.remaining)


@scenario(
    "more-poison",
    "one call of ten is poison",
    workers=8,
    server_options=_OPTIONS,
    # What is too large takes a busy machine some seconds.
    load=Load(mix=_mix(0.1), rate=80, timeouts=(8.0, 10.0)),
    rules=_RULES,
    figures=Figures(failed=0, least_ok=0.95),
    short=6.0,
    calm=2.0,
)
def more_poison(stage: Stage) -> None:
    stage.sleep(stage.remaining)
