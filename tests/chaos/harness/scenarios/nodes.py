"""A cluster loses nodes. Clients and servers know all of them, and every node has a copy of the queue.

The copies are mirrors before RabbitMQ 4.0, a quorum queue from then on.
"""

from __future__ import annotations

from ..checker import Rules
from ..load import Load
from ..scenario import scenario
from ..stage import Stage


@scenario(
    "cluster",
    "SIGKILL of one of three nodes, each in turn, every 20 s; it is started again, and the service goes on without it",
    prepare=lambda stage: stage.cluster.copy_everywhere(stage.queue),
    cluster=3,
    servers=2,
    workers=2,
    load=Load(timeouts=(10.0, 15.0), wait_for_server=8.0),
    allowed={"OutcomeUnknown"},
    rules=Rules(most_starts=9, aftermath=5.0),
    short=1.0,
)
def cluster(stage: Stage) -> None:
    nodes = stage.cluster
    for number in stage.every(20.0):
        # No cure: two nodes are left, and recovery counts from the loss of the third.
        with stage.fault("a node is killed"):
            nodes.kill(number % 3)
        stage.sleep(3.0)
        if stage.remaining:
            nodes.launch(number % 3)
            nodes.wait_ready(number % 3)
