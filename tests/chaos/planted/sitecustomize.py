"""Bugs, planted into the processes whose PYTHONPATH begins with this folder. Python imports this module as it starts.

RPCSVC_CHAOS_PLANTED names the bug. The product has no switch for them; what is replaced here is named as it is there,
so a change there that leaves a bug without effect fails the test that waits for its effect.
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace
from typing import Any

from rpcsvc.amqp import Delivery, expendable
from rpcsvc.client.link import CallLink
from rpcsvc.client.pending import PendingCalls
from rpcsvc.server.large_replies import LargeReplies, LargeReply
from rpcsvc.server.service import Service
from rpcsvc.server.session import Session


def ack_before_the_reply() -> None:
    """The server acks a delivery as it comes, so it is lost with the server."""
    delivered = Session._delivered

    def ack_first(self: Session, consumer: Any, delivery: Delivery) -> None:
        self.channel.ack(delivery.delivery_tag)
        delivered(self, consumer, delivery)

    def count_only(self: Session, consumer: Any, delivery: Delivery) -> None:
        consumer.unacked -= 1
        self.unacked -= 1
        if self.unacked == 0:
            self._idle.set()

    Session._delivered = ack_first  # type: ignore[method-assign]
    Session._ack = count_only  # type: ignore[method-assign]


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
    send = LargeReplies.send

    def ack_first(self: LargeReplies, reply: LargeReply) -> None:
        reply.done()
        reply.done = lambda: None
        send(self, reply)

    LargeReplies.send = ack_first  # type: ignore[method-assign]


def correlation_dropped() -> None:
    """The client gives a reply to whichever call has waited longest."""
    delivered = CallLink._delivered

    def to_anybody(self: CallLink, delivery: Delivery) -> None:
        anybody = next(iter(self._pending.ids()), None)
        delivered(self, replace(delivery, correlation_id=anybody))

    CallLink._delivered = to_anybody  # type: ignore[method-assign]


def retry_of_what_must_not_run_twice() -> None:
    """The server takes every function for an idempotent one."""
    served = Service.served
    Service.served = lambda self, body: replace(served(self, body), idempotent=True)  # type: ignore[method-assign]


def leaked_pending_calls() -> None:
    """The client keeps every call in its table for ever."""
    pop, expire = PendingCalls.pop, PendingCalls.expire

    def pop_and_keep(self: PendingCalls[Any], correlation_id: str, *, answered: bool) -> Any:
        call = pop(self, correlation_id, answered=answered)
        if call is not None:
            self._calls[correlation_id] = call
        return call

    def expire_and_keep(self: PendingCalls[Any], now: float) -> Any:
        expired = expire(self, now)
        self._calls.update(expired)
        return expired

    PendingCalls.pop = pop_and_keep  # type: ignore[method-assign]
    PendingCalls.expire = expire_and_keep  # type: ignore[method-assign]


_BUGS = {
    bug.__name__: bug
    for bug in (
        ack_before_the_reply,
        no_bug_but_slow_confirms,
        ack_before_the_confirm,
        correlation_dropped,
        retry_of_what_must_not_run_twice,
        leaked_pending_calls,
    )
}

if planted := os.environ.get("RPCSVC_CHAOS_PLANTED"):
    _BUGS[planted]()
