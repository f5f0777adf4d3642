"""Bugs, planted into the processes whose PYTHONPATH begins with this folder. Python imports this module as it starts.

RPCSVC_CHAOS_PLANTED names the bug. The product has no switch for them; what is replaced here is named as it is there,
so a change there that leaves a bug without effect fails the test that waits for its effect.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from rpcsvc.amqp import expendable
from rpcsvc.client.engine import Engine
from rpcsvc.client.pending import Pending
from rpcsvc.server import casts
from rpcsvc.server.asked import Asked
from rpcsvc.server.engine import TABLE, Event, State
from rpcsvc.server.large_replies import LargeReplies, LargeReply
from rpcsvc.server.sending import Sending
from rpcsvc.workers.work import Served


def ack_before_the_reply() -> None:
    """The server acks a delivery as it comes, so it is lost with the server."""
    for rows in TABLE.values():
        for event, (then, orders) in rows.items():
            rows[event] = then, tuple(order for order in orders if order != "ack")
    for state in (State.NEW, State.ASKING):
        then, orders = TABLE[state][Event.ACCEPTED]
        TABLE[state][Event.ACCEPTED] = then, ("ack", *orders)


def no_bug_but_slow_confirms() -> None:
    """Every reply is one that the broker might refuse, and waits a while for its turn; it is acked after that."""
    expendable.SMALL = expendable.LARGE = 0  # type: ignore[misc]
    publish = LargeReplies._publish

    async def publish_late(self: LargeReplies, reply: LargeReply) -> None:
        await asyncio.sleep(0.15)
        await publish(self, reply)

    LargeReplies._publish = publish_late  # type: ignore[method-assign]


def ack_before_the_confirm() -> None:
    """The same, but its delivery is acked before it is published, so it is lost with the server."""
    no_bug_but_slow_confirms()
    then, orders = TABLE[State.WORKING][Event.LARGE_REPLY]
    TABLE[State.WORKING][Event.LARGE_REPLY] = then, ("ack", *orders)
    then, orders = TABLE[State.CONFIRMING][Event.CONFIRMED]
    TABLE[State.CONFIRMING][Event.CONFIRMED] = then, tuple(order for order in orders if order != "ack")


def correlation_dropped() -> None:
    """The client gives a reply to whichever call has waited longest."""
    delivered = Engine.delivered

    def to_anybody(self: Engine, message_id: str | None, body: bytes) -> None:
        delivered(self, next((call.call_id for call in self._calls), None), body)

    Engine.delivered = to_anybody  # type: ignore[method-assign]


def retry_of_what_must_not_run_twice() -> None:
    """The server takes every function for an idempotent one."""
    read = Asked.read

    def read_kindly(body: bytes, functions: Mapping[str, Served]) -> Asked:
        return read(body, {name: replace(served, idempotent=True) for name, served in functions.items()})

    Asked.read = read_kindly  # type: ignore[method-assign]


def leaked_pending_calls() -> None:
    """The client keeps every call in its table for ever."""
    pop, expire = Pending.pop, Pending.expire

    def pop_and_keep(self: Pending[Any], correlation_id: str, *, answered: bool) -> Any:
        call = pop(self, correlation_id, answered=answered)
        if call is not None:
            self._calls[correlation_id] = call
        return call

    def expire_and_keep(self: Pending[Any], now: float) -> Any:
        expired = expire(self, now)
        self._calls.update(expired)
        return expired

    Pending.pop = pop_and_keep  # type: ignore[method-assign]
    Pending.expire = expire_and_keep  # type: ignore[method-assign]


def no_bug_but_slow_copies() -> None:
    """What stands for a cast waits a while before it is published; the cast is acked after that."""
    publish = Sending._publish

    async def publish_late(self: Sending, *args: Any) -> Any:
        await asyncio.sleep(0.3)
        return await publish(self, *args)

    Sending._publish = publish_late  # type: ignore[method-assign]


def ack_before_the_copy() -> None:
    """The same, but the cast is acked before its copy is published, so it is lost with the server."""
    no_bug_but_slow_copies()
    for event in (Event.AGAIN, Event.DEAD):
        then, orders = TABLE[State.WORKING][event]
        TABLE[State.WORKING][event] = then, ("ack", *orders)
    then, orders = TABLE[State.COPYING][Event.CONFIRMED]
    TABLE[State.COPYING][Event.CONFIRMED] = then, tuple(order for order in orders if order != "ack")


def copies_keep_x_death() -> None:
    """A copy has the headers of the broker: RabbitMQ before 4.0.1 believes them, and drops what goes in a circle."""
    casts.kept_headers = dict  # type: ignore[attr-defined]


_BUGS = {
    bug.__name__: bug
    for bug in (
        ack_before_the_reply,
        no_bug_but_slow_confirms,
        ack_before_the_confirm,
        correlation_dropped,
        retry_of_what_must_not_run_twice,
        leaked_pending_calls,
        no_bug_but_slow_copies,
        ack_before_the_copy,
        copies_keep_x_death,
    )
}

if planted := os.environ.get("RPCSVC_CHAOS_PLANTED"):
    _BUGS[planted]()
