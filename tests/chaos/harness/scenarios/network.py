"""The network between clients, broker and servers fails."""

from __future__ import annotations

from ..checker import Rules
from ..scenario import scenario
from ..stage import Stage


@scenario(
    "reset",
    "every connection is reset, of clients and servers in turn, every five seconds",
    networks=True,
    allowed={"OutcomeUnknown"},
    # A call is sent three times at most, and each of those may be delivered again.
    rules=Rules(most_starts=9),
)
def reset(stage: Stage) -> None:
    for number in stage.every(2.5):
        with stage.fault("connections are reset"):
            (stage.client_network, stage.server_network)[number % 2].reset_all()
