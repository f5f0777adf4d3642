"""The limit, one-way: a publisher and a consumer in C on librabbitmq. See limit/publisher.c and limit/consumer.c.

The bodies and properties of casts are ours. As many are unconfirmed as the mode says, and confirms are read when the
window is full; an ack a message. Subscribers are consumers of one connection.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from .limit_in_c import BUILD, Limit
from .one_way import PATTERN, TOPIC, Caster, OneWay
from .peer import Setup

_EXCHANGE = "bench.limit"


class LimitCasts(OneWay):
    """Its programs; what is executed is published by its publisher too."""

    name = "limit (C)"
    kind = "limit"
    quick = 60_000

    def prepare(self) -> None:
        Limit().prepare()

    def servers(self, setup: Setup) -> list[list[str]]:
        command = [str(BUILD / "consumer")]
        if setup.kind == "event":
            to = ["--exchange", _EXCHANGE, "--pattern", PATTERN, "--subscribers", str(setup.subscribers)]
            return [[*command, *to]]
        return [[*command, "--queue", setup.queue, "--prefetch", str(setup.prefetch)]] * setup.workers

    def client(self, setup: Setup) -> list[str]:
        if setup.kind == "executed":
            return super().client(setup)
        command = [str(BUILD / "publisher"), "--window", str(setup.in_flight), "--seconds", str(setup.seconds)]
        if setup.kind == "event":
            return [*command, "--exchange", _EXCHANGE, "--key", TOPIC, "--subscribers", str(setup.subscribers)]
        return [*command, "--queue", setup.queue, "--type", setup.queue_type]

    def connect(self, setup: Setup) -> AbstractContextManager[Caster]:
        return _filling(setup)


@contextmanager
def _filling(setup: Setup) -> Iterator[Caster]:
    yield _Filler(setup)


class _Filler:
    def __init__(self, setup: Setup) -> None:
        self._setup = setup

    def call(self, argument: Any) -> None:
        raise NotImplementedError

    def cast_many(self, arguments: Iterable[Any]) -> None:
        raise NotImplementedError

    def fill(self, arguments: Iterable[Any]) -> None:
        setup = self._setup
        command = [str(BUILD / "publisher"), "--window", str(setup.in_flight), "--queue", setup.queue]
        command += ["--type", setup.queue_type, "--calls", str(len(list(arguments)))]
        subprocess.run(command, check=True, env=dict(os.environ))
