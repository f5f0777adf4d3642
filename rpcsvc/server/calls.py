"""What becomes of calls, and of messages of many: somebody waits for each, and is answered. Pure.

    delivered --> may it be answered? --> is it here already, given up, or may it have run? --> a worker --> its reply

Rules: a body is not looked into, unless somebody has to be answered in place of a worker (`asked`). A function that
must not run twice is not run where it may have run before: its caller is told that.
"""

from __future__ import annotations

import logging
from typing import Any

from ..amqp.messages import Delivery
from ..deadline import Deadline
from ..wire import jsonrpc
from ..wire.names import MAP, SENT_AGAIN
from ..workers.work import Answer, Lost
from .asked import Again, Asked, called, outcome_unknown, too_large
from .kinds import Desk
from .life import CALL_FAILED, error_in
from .message import CallCarrier, Event, Key, Message, State, look_into

log = logging.getLogger(__name__)


class Calls:
    """Messages with callers.

    Args:
        desk: the engine.
        split_after: seconds of running after which the calls of a message are computed beside each other; None is
            never.
    """

    def __init__(self, desk: Desk, split_after: float | None = None) -> None:
        self.split_after = split_after
        self._workers, self._counts, self._register = desk.workers, desk.counts, desk.register
        self._requests, self._clock, self._move = desk.requests, desk.clock, desk.move
        self._life = desk.life

    # ---- may it be computed?

    def delivered(self, carrier: CallCarrier, consumer: Any, delivery: Delivery) -> None:
        """A delivery was received."""
        may_have_run = delivery.redelivered or delivery.message_id == SENT_AGAIN
        message = Message(carrier, consumer, delivery, State.NEW, self, may_have_run)
        reply_to = delivery.reply_to
        if reply_to is not None:
            queue = carrier.answered.get(reply_to)
            if queue is None:
                self._move(message, Event.UNKNOWN_QUEUE)
                return
            delivery.reply_to = queue
        self._admit(message)

    def queue_found(self, message: Message, queue: str | None) -> None:
        """The callback queue of a message is known; None if no reply may go there."""
        if queue is None:
            self._counts.refused += 1
            self._move(message, Event.NO_REPLY)
        else:
            message.delivery.reply_to = queue
            self._admit(message)

    def _admit(self, message: Message) -> None:
        """A message whose callback queue is known: is it to be computed?"""
        delivery = message.delivery
        size, most = len(delivery.body), self._requests.most
        if size > most:
            self._counts.refused += 1
            log.warning("a request of %d bytes was refused: more than %d", size, most)
            self._answer(message, too_large(size, most))
            return
        if delivery.reply_to is not None and delivery.correlation_id is not None:
            key = message.key = (delivery.reply_to, delivery.correlation_id)
            if message.may_have_run and self._comes_again(message, key):
                return
            if self._register.was_given_up(key):
                self._counts.cancelled += 1
                self._move(message, Event.NO_REPLY)
                return
        if message.may_have_run:
            asked = look_into(message, self._workers.functions)
            if not asked.served.idempotent:
                self._counts.unknown += 1
                log.warning("%s is not run again: it may have run, and must not run twice", asked.name)
                self._answer(message, asked.failure(outcome_unknown()))
                return
        message.deadline = self._deadline(delivery.expiration)
        self._move(message, Event.ACCEPTED)

    def _comes_again(self, message: Message, key: Key) -> bool:
        """Whether a message goes on here already, or is answered with what came of it meanwhile."""
        delivery = message.delivery
        known = self._register.messages.get(key)
        if known is not None and known.delivery.body == delivery.body:
            self._counts.joined += 1
            self._move(known, Event.REDELIVERED, message)
            return True
        kept = self._register.kept(key, delivery.body)
        if kept is None:
            return False
        if not kept.has_run:
            # It came here first, and a server that got it in between did not run it if it must not run twice.
            message.may_have_run = delivery.message_id == SENT_AGAIN
            return False
        self._counts.joined += 1
        self._answer(message, kept.response)
        return True

    def _deadline(self, expiration: str | None) -> Deadline | None:
        """A message's `expiration` counts from its publication, so from now at the latest."""
        if expiration is None or not expiration.isdecimal():
            return None
        return Deadline.after(int(expiration) / 1000, self._clock)

    # ---- what workers made of it

    def answered(self, message: Message, answer: Answer) -> None:
        self._counts.answered += answer.calls or self._count(message)
        if answer.failed:
            self._tell_failed(message, answer.body)
        self._answer(message, answer.body)

    def lost(self, message: Message, lost: Lost) -> None:
        """The call that was running pays, or is tried again; what can do no harm is computed again."""
        asked = look_into(message, self._workers.functions)
        again = asked.again(message, lost)
        message.may_have_run = True
        if lost.running and not lost.beside and asked.comes_apart and asked.served.idempotent:
            self._move(message, Event.CALL_DIED, lost)
        elif again is not Again.NOT:
            if lost.beside:
                log.info("%s runs again: %s with %d calls beside it", asked.name, lost.exit, lost.beside)
            self._move(message, Event.SUSPECTED if again is Again.ALONE else Event.WORKER_DIED)
        else:
            error = asked.lost_error(lost)
            log.warning("%s failed: %s (%s, after %.3g s)", asked.name, error, lost.exit, lost.seconds)
            if self._life.wants(CALL_FAILED):
                self._life.failed(CALL_FAILED, _method(asked), jsonrpc.error_object(error), calls=1)
            self._answer(message, asked.failure(error))

    def _tell_failed(self, message: Message, response: bytes | None) -> None:
        if self._life.wants(CALL_FAILED):
            error, count = error_in(response)
            asked = look_into(message, self._workers.functions)
            self._life.failed(CALL_FAILED, _method(asked), error, calls=count)

    def not_run(self, message: Message) -> None:
        self._counts.expired += not message.carrier.is_lost
        self._move(message, Event.NOT_RUN)

    def cancelled(self, message: Message) -> None:
        self._counts.cancelled += 1
        name = called(message.delivery.body) if message.asked is None else message.asked.name
        log.info("%s was cancelled: nobody waits for it any more", name)
        self._move(message, Event.NO_REPLY)

    def _count(self, message: Message) -> int:
        """How many calls a message is, where its worker does not tell."""
        if message.state in (State.APART, State.ORPHAN_APART):
            return 0  # none was computed: each took its worker down
        if message.delivery.type != MAP and message.delivery.body.startswith(b"{"):
            return 1  # without a further look, as nearly all
        return look_into(message, self._workers.functions).count

    def _answer(self, message: Message, response: bytes | None) -> None:
        reply_to = message.delivery.reply_to
        if response is None or reply_to is None:
            self._move(message, Event.NO_REPLY)
        elif message.carrier.is_sure(reply_to, response):
            self._move(message, Event.REPLY, response)
        else:
            self._move(message, Event.LARGE_REPLY, response)


def _method(asked: Asked) -> str:
    """What a message calls, in one word or several; empty for the default function, or for nothing."""
    return asked.method or ", ".join((asked.methods or ())[:3])
