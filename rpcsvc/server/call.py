"""What a delivery becomes: a call that is computed, mended when its worker dies, stopped when nobody waits, answered.

A call is answered on the session that holds its delivery. While that is lost there is none: the call goes on, the
broker delivers it again, and it moves to the session that comes through. What waits for a worker meanwhile does not
start, because another server may have it by then.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any, Protocol

from ..amqp import Delivery
from ..deadline import Deadline
from ..wire import jsonrpc
from ..wire.many.request import read_body
from ..wire.names import MAP
from ..workers.work import Answer, Cancelled, Expired, Lost, Outcome, Work
from .mend import join, split, split_with_ids
from .repair import OneByOne, called, lost_answer, may_try_again
from .service import Service
from .under_way import Key

log = logging.getLogger(__name__)

UNPACK_AFTER = 0.02
"""Seconds after which the calls of one message are looked after one by one. They were to take 2 ms together."""


class Carrier(Protocol):
    """A session, as far as a call knows it."""

    @property
    def is_lost(self) -> bool:
        """Whether nothing can be answered on it any more."""
        ...

    def publish(self, reply_to: str, response: bytes, call_id: str) -> None:
        """Publish the reply to a call that came in a message with others."""
        ...

    def reply(self, consumer: Any, delivery: Delivery, response: bytes | None) -> None:
        """Publish the reply to a delivery, if one is wanted, then ack it."""
        ...


class Call:
    """One delivery's call.

    Attributes:
        session: who holds the delivery.
        consumer: through which of its consumers that came.
        delivery: the request.
        key: what it is known by, None where it has no such name.
        deadline: when nobody waits any more, counted from when it was received.
    """

    # Of the class until they differ: one is made for each delivery.
    _attempts = 0
    _is_cancelled = False
    _work: Work | None = None
    _repair: OneByOne | None = None
    _unpacked: Sequence[_Unpacked] = ()
    _earlier: Sequence[tuple[Any, Delivery]] = ()

    def __init__(self, service: Service, session: Carrier, consumer: Any, delivery: Delivery, key: Key | None) -> None:
        self._service = service
        self.session = session
        self.consumer = consumer
        self.delivery = delivery
        self.key = key
        self.deadline = _deadline(delivery.expiration)
        self._may_have_run = delivery.redelivered

    def start(self) -> None:
        """Have it computed."""
        if self.key is not None:
            self._service.under_way.add(self.key, self)
        self._work = self._service.pool.submit(self.delivery.body, self._ended, self.deadline)
        if self.delivery.type == MAP:
            asyncio.get_running_loop().call_later(UNPACK_AFTER, self._unpack)

    def cancel(self) -> None:
        """Stop it: nobody waits for it any more. It is acked when it has stopped, and not answered."""
        if self._is_cancelled:
            return
        self._is_cancelled = True
        pool = self._service.pool
        for unpacked in self._unpacked:
            unpacked.cancel()
        if self._repair is not None:
            self._repair.cancel()
        elif self._work is not None:
            pool.cancel(self._work)

    def orphan(self) -> None:
        """Its session was lost: what runs goes on, what waits does not start."""
        if self._work is not None:
            self._work.is_wanted = False

    def move(self, session: Carrier, consumer: Any, delivery: Delivery) -> None:
        """It was delivered again: there it is answered. If that is on the same session, both are acked then."""
        self._earlier = () if self.session.is_lost else (*self._earlier, (self.consumer, self.delivery))
        self.session, self.consumer, self.delivery = session, consumer, delivery
        if self._work is not None:
            self._work.is_wanted = True

    # ---- computing

    def _submit_again(self) -> None:
        if self.session.is_lost:
            self._finish(None)  # another server may have it by now
        else:
            self._work = self._service.pool.submit(self.delivery.body, self._ended, self.deadline)

    def _ended(self, outcome: Outcome) -> None:
        counts = self._service.counts
        match outcome:
            case Answer(body, calls):
                counts.answered += calls or self._count()
                self._finish(body)
            case Lost():
                counts.lost += 1
                self._mend(outcome)
            case Expired():
                counts.expired += not self.session.is_lost
                self._finish(None, has_run=self._may_have_run)
            case Cancelled():
                counts.cancelled += 1
                log.info("%s was cancelled: nobody waits for it any more", called(self.delivery.body))
                self._finish(None)

    def _count(self) -> int:
        """How many calls the message is, where the worker does not tell."""
        body = self.delivery.body
        if self.delivery.type != MAP and body.startswith(b"{"):
            return 1  # without a further look, as nearly all
        message = jsonrpc.parse(body)
        if isinstance(message, jsonrpc.Batch):
            return len(message.members)
        packed = read_body(body)
        return packed.count if packed else 1

    def _mend(self, lost: Lost) -> None:
        """A worker died. The call that was running pays, or is tried again; what can do no harm is computed again."""
        served = self._service.served(self.delivery.body)
        self._attempts += lost.running
        self._may_have_run = True
        if lost.running and served.idempotent and (requests := split(self.delivery.body)) is not None:
            self._repair = OneByOne(
                self._service.pool, requests, lost, served, deadline=self.deadline, done=self._mended
            )
        elif may_try_again(lost, self._attempts, served):
            self._submit_again()
        else:
            self._finish(lost_answer(self.delivery.body, lost, served))

    def _mended(self, answers: list[bytes] | None) -> None:
        counts = self._service.counts
        if answers is None:
            counts.cancelled += 1
        else:
            assert self._repair is not None, "some were computed, and that takes time"
            counts.answered += self._repair.computed
        self._finish(None if answers is None else join(self.delivery.body, answers))

    def _finish(self, response: bytes | None, *, has_run: bool = True) -> None:
        if self.key is not None:
            self._service.under_way.remove(self.key, self)
        for unpacked in self._unpacked:
            unpacked.drop()
        if not self.session.is_lost:
            self.session.reply(self.consumer, self.delivery, response)
            for consumer, delivery in self._earlier:
                self.session.reply(consumer, delivery, None)
            return
        self._service.counts.abandoned += 1
        if self.key is not None:
            self._service.under_way.keep(self.key, self.delivery.body, response, has_run=has_run)

    # ---- calls that only travel together

    def _unpack(self) -> None:
        """Calls that travel together were each expected to be quick, and one is not: let the others not wait for it."""
        work, pool = self._work, self._service.pool
        if work is None or work.is_over or self._is_cancelled or self.delivery.reply_to is None:
            return
        item = pool.running_item(work)
        if item is None:  # it has not begun
            asyncio.get_running_loop().call_later(UNPACK_AFTER, self._unpack)
            return
        packed = split_with_ids(self.delivery.body)
        if packed is None or not self._service.served(self.delivery.body).idempotent:
            return
        self._unpacked = unpacked_calls = list[_Unpacked]()
        for index, (call_id, request) in enumerate(packed[1]):
            key = (self.delivery.reply_to, call_id)
            if index != item and not self._service.under_way.was_cancelled(key):
                unpacked = _Unpacked(self._service, self, key, request)
                unpacked_calls.append(unpacked)
                unpacked.start()

    def __repr__(self) -> str:
        state = "cancelled" if self._is_cancelled else "without a session" if self.session.is_lost else "under way"
        return f"<Call {self.key} {state}, {self._attempts} attempts, {len(self._unpacked)} unpacked>"


class _Unpacked:
    """A call that came in a message with others and is computed by itself.

    The caller knows it by its own id; what comes for it with the others later is a duplicate.
    """

    __slots__ = ("_attempts", "_key", "_pack", "_request", "_service", "_work", "deadline")

    def __init__(self, service: Service, pack: Call, key: Key, request: bytes) -> None:
        self._service = service
        self._pack = pack
        self._key = key
        self._request = request
        self._attempts = 0
        self._work: Work | None = None
        self.deadline = pack.deadline

    def start(self) -> None:
        """Have it computed."""
        self._service.under_way.add(self._key, self)
        self._submit()

    def cancel(self) -> None:
        """Its caller gave it up."""
        if self._work is not None:
            self._service.pool.cancel(self._work)

    def drop(self) -> None:
        """The message that it came in was answered, and this with it: it need not start any more."""
        if self._work is not None:
            self._work.is_wanted = False

    def _submit(self) -> None:
        # None starts that nobody waits for any more.
        self._work = self._service.pool.submit(self._request, self._ended, self.deadline)

    def _ended(self, outcome: Outcome) -> None:
        response = None
        match outcome:
            case Answer(body):
                response = body
            case Lost():
                self._attempts += outcome.running
                served = self._service.served(self._request)
                if may_try_again(outcome, self._attempts, served):
                    self._submit()
                    return
                response = lost_answer(self._request, outcome, served)
        self._service.under_way.remove(self._key, self)
        if response is not None and not self._pack.session.is_lost:  # else it comes with the message as a whole
            reply_to, call_id = self._key
            self._pack.session.publish(reply_to, response, call_id)


def _deadline(expiration: str | None) -> Deadline | None:
    """When nobody waits any more: a message's `expiration` counts from its publication, so from now at the latest."""
    if expiration is None or not expiration.isdecimal():
        return None
    return Deadline.after(int(expiration) / 1000)
