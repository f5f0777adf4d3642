"""Queues and exchanges are deleted, and the broker does not wait for acks as long as calls take."""

from __future__ import annotations

import pika

from ..checker import Rules
from ..load import MIX, Load
from ..scenario import scenario
from ..stage import Stage

CONTROL = "rpcsvc.control"
"""The exchange by which servers are told of calls that nobody waits for."""


@scenario(
    "queue-deleted",
    "the queue is deleted every five seconds, with what is in it; once the control exchange too",
    # Some calls are given up, so that there is something to say through the control exchange. Until then each holds a
    # worker for seconds, and so does its second copy; the others must not wait for that.
    workers=8,
    load=Load(mix={**MIX, "hopeless": 0.03}),
    allowed={"OutcomeUnknown"},
    rules=Rules(most_starts=9, aftermath=2.0),
    short=6.0,
)
def queue_deleted(stage: Stage) -> None:
    for number in stage.every(5.0):
        with stage.fault("the queue is deleted"):
            stage.rabbitmqctl.delete_queue(stage.queue)
            if number == 1:
                stage.rabbitmqctl.delete_exchange(CONTROL)


def _a_queue_that_has_the_timeout(stage: Stage) -> None:
    """From RabbitMQ 4.3 on only quorum queues know it: they end the consumer, and the channel stays."""
    if stage.rabbitmqctl.version >= (4, 3):
        with pika.BlockingConnection(pika.URLParameters(stage.broker.url)) as connection:
            connection.channel().queue_declare(stage.queue, durable=True, arguments={"x-queue-type": "quorum"})


@scenario(
    "consumer-timeout",
    "the broker ends what does not ack for two seconds, a channel or a consumer, and some calls take three",
    prepare=_a_queue_that_has_the_timeout,
    workers=8,
    load=Load(mix={**MIX, "long": 0.1}, timeouts=(8.0, 12.0)),
    broker_config={"consumer_timeout": "2000"},
    allowed={"OutcomeUnknown"},
    # The server knows the calls that come to it again, and goes on with them.
    rules=Rules(most_starts=3, aftermath=2.0),
    short=6.0,
)
def consumer_timeout(stage: Stage) -> None:
    # A broker looks once a minute, or as often as it was told when a channel was opened.
    with stage.fault("the broker begins to look at how long acks take"):
        stage.rabbitmqctl.set_channel_tick(0.5)
        stage.rabbitmqctl.close_all_connections()
    stage.sleep(stage.remaining)
