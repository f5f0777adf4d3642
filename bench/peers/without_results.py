"""Libraries that run tasks through RabbitMQ but cannot bring a result back through it. They are named, not measured."""

from __future__ import annotations

from .modes import Mode
from .peer import Peer


class Taskiq(Peer):
    """taskiq with taskiq-aio-pika: its documentation ("Available result backends") lists none on RabbitMQ."""

    name = "taskiq"

    def unable(self, mode: Mode) -> str | None:
        return "no results on RabbitMQ alone: result backends are Redis, NATS, PostgreSQL, S3, YDB"


class Dramatiq(Peer):
    """Dramatiq: its documentation ("Results") has Redis and Memcached, and a stub for tests."""

    name = "Dramatiq"

    def unable(self, mode: Mode) -> str | None:
        return "no results on RabbitMQ alone: result backends are Redis and Memcached"
