"""The arguments of queues, by RabbitMQ's names and in its units."""

from __future__ import annotations

from rpcsvc.amqp import QueueArguments


def test_what_is_not_set_is_left_to_the_virtual_host() -> None:
    assert QueueArguments().table() == {}


def test_each_argument_has_the_name_that_rabbitmq_knows() -> None:
    everything = QueueArguments(
        queue_type="quorum",
        message_ttl=0.25,
        expires=7 * 86_400.0,
        max_length=1000,
        overflow="reject-publish",
        dead_letter_exchange="",
        dead_letter_routing_key="q",
        dead_letter_strategy="at-least-once",
        delivery_limit=-1,
        max_priority=10,
        single_active_consumer=True,
    )
    assert everything.table() == {
        "x-queue-type": "quorum",
        "x-message-ttl": 250,
        "x-expires": 604_800_000,
        "x-max-length": 1000,
        "x-overflow": "reject-publish",
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": "q",
        "x-dead-letter-strategy": "at-least-once",
        "x-delivery-limit": -1,
        "x-max-priority": 10,
        "x-single-active-consumer": True,
    }
