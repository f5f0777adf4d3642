"""An outbox without a connection: a port that notes what is wanted, and a clock that the test turns.

world = OutboxWorld()
world.outbox.opened()
cast = world.post()
world.outbox.confirmed(cast)
assert world.ends == [(cast, None)]
"""

from __future__ import annotations

import itertools
from collections.abc import Hashable
from math import inf
from typing import Any

from rpcsvc.client.outbox import Outbox
from rpcsvc.client.outgoing import Outgoing
from rpcsvc.errors import CastRejected, CastUnknown, NoServer, RpcError

from .engines import Clock


class TestedKind:
    """What the sender of a message is told, as a cast's is; `well`: whether none needs to take it."""

    def __init__(self, *, well: bool = False) -> None:
        self._well = well

    def returned(self, _: Outgoing) -> RpcError | None:
        return None if self._well else NoServer("q", "there is none")

    def rejected(self, message: Outgoing) -> RpcError:
        return CastRejected("f", message.message_id, "q.casts")

    def unknown(self, message: Outgoing, reason: str) -> RpcError:
        return CastUnknown("f", message.message_id, reason)


class OutboxWorld:
    """An outbox on such a port and clock.

    Attributes:
        written: the messages that were written, in order; what each was marked with is in `marks`.
        in_turn: those that wait for their turn, because their body is large.
        ends: the messages that have their outcome, with their errors.
        opens: how often a channel was asked for. prepares: what was to be prepared.
        broken: what `publish` raises, while it is set.
        wake: when `tick` is wanted.
    """

    def __init__(self, *, well: bool = False) -> None:
        self.clock = Clock()
        self.kind = TestedKind(well=well)
        self.written: list[Outgoing] = []
        self.marks: list[bool] = []
        self.in_turn: list[Outgoing] = []
        self.ends: list[tuple[Outgoing, RpcError | None]] = []
        self.opens = 0
        self.prepares: list[Hashable] = []
        self.broken: RpcError | None = None
        self.wake = inf
        self._ids = itertools.count(1)
        self.outbox = Outbox(self, self.clock)

    def make(self, *, timeout: float = 30.0, body: bytes = b"{}", exchange: str = "", **said: Any) -> Outgoing:
        name = f"m{next(self._ids)}"
        deadline = self.clock.now + timeout
        message = Outgoing(self.kind, name, exchange, "q.casts", body, deadline, timeout, self._ended)
        for attribute, value in said.items():
            setattr(message, attribute, value)
        return message

    def post(self, **said: Any) -> Outgoing:
        message = self.make(**said)
        self.outbox.submitted(message)
        return message

    def _ended(self, message: Outgoing, error: RpcError | None) -> None:
        assert message not in [ended for ended, _ in self.ends], f"{message} has an outcome already"
        self.ends.append((message, error))

    def error_of(self, message: Outgoing) -> RpcError | None:
        """The error of a message that has ended."""
        return dict(self.ends)[message]

    def pass_time(self, seconds: float) -> None:
        """Let time pass, with a tick whenever one is wanted."""
        until = self.clock.now + seconds
        while self.wake <= until:
            self.clock.now, self.wake = max(self.clock.now, self.wake), inf
            self.outbox.tick()
        self.clock.now = until

    # ---- the port

    def open(self) -> None:
        self.opens += 1

    def prepare(self, needs: Hashable) -> None:
        self.prepares.append(needs)

    def publish(self, message: Outgoing) -> bool:
        if self.broken is not None:
            raise self.broken
        if message.body == b"large":
            self.in_turn.append(message)
            return False
        self.written.append(message)
        self.marks.append(message.is_again)
        return True

    def wake_at(self, moment: float) -> None:
        assert moment < inf
        self.wake = moment
