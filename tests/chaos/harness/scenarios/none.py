"""No fault: what the others are compared with."""

from __future__ import annotations

from ..figures import Figures
from ..scenario import scenario
from ..stage import Stage


@scenario("none", "no fault: every call succeeds", figures=Figures(failed=0), short=3.0, calm=1.0)
def none(stage: Stage) -> None:
    stage.sleep(stage.remaining)
