"""Messages that no client of ours would send, beside calls that must not notice."""

from __future__ import annotations

from itertools import islice

from hostile import messages, publish_all

from ..checker import Rules
from ..figures import Figures
from ..load import Load
from ..scenario import scenario
from ..stage import Stage

_A_SECOND = 100_000 / 60
_LEAST = 2000
_BATCH = 250
_MOST_QUEUED = 500
"""Messages. The queue stays short: what good calls are to stand is malice, not mass."""


@scenario(
    "hostile",
    "a hundred thousand malformed and hostile messages a minute: no worker dies, no connection is lost",
    load=Load(rate=60),
    rules=Rules(most_starts=2),
    figures=Figures(failed=0, deaths=0, reconnects=0),
    calm=2.0,
)
def hostile(stage: Stage) -> None:
    wanted = max(_LEAST, int(_A_SECOND * stage.remaining))
    stream = messages(stage.chance.getrandbits(32))
    seconds = stage.remaining
    sent = 0
    with stage.fault("hostile messages"):
        while sent < wanted:
            sent += publish_all(stage.broker.url, stage.queue, islice(stream, min(_BATCH, wanted - sent)))
            stage.until(lambda: stage.queued <= _MOST_QUEUED)
            stage.sleep(stage.remaining - seconds * (1 - sent / wanted))
