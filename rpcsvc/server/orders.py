"""What the engine's table orders, carried out through the ports. Pure.

Each order is a method of `Orders`, named as in the table; it gets the message, and what came with the event.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeAlias, cast

from ..amqp.messages import Delivery
from ..workers.work import Lost, Outcome
from .casts import Cast, Parcel
from .counts import ServerCounts
from .message import Calls, Carrier, Message, Workers, look_into
from .parts import Parts
from .register import Register
from .schedule import Schedule
from .told import context_of_call

Order: TypeAlias = Callable[[Message, Any], None]


@dataclass(slots=True, eq=False)
class Orders:
    """Carries out orders.

    Attributes:
        workers: who computes.
        calls: all, by what their callers know them by.
        schedule: what is looked at, and when.
        counts: what happened; written here.
        prefetch: how many deliveries each consumer may hold.
        ended: called with a message and what workers made of it.
        confirming: the messages whose replies wait to be confirmed.
    """

    workers: Workers
    calls: Register
    schedule: Schedule
    counts: ServerCounts
    prefetch: int
    ended: Callable[[Message, Outcome], None]
    confirming: set[Message] = field(default_factory=set)

    def named(self, name: str) -> Order:
        """The order of that name."""
        return cast(Order, getattr(self, name))

    def ask(self, message: Message, _: Any) -> None:
        message.carrier.ask(message)

    def register(self, message: Message, _: Any) -> None:
        if message.key is not None:
            self.calls.messages[message.key] = message
            self.schedule.look_soon()
            if message.delivery.type is not None:
                self.schedule.split_later(message)

    def submit(self, message: Message, _: Any) -> None:
        delivery, ended = message.delivery, partial(self.ended, message)
        if message.attempts or delivery.has_headers:
            context = context_of_call(delivery, message.attempts + 1)
            message.work = self.workers.submit(delivery.body, ended, message.deadline, context=context)
        else:
            message.work = self.workers.submit(delivery.body, ended, message.deadline)

    def submit_alone(self, message: Message, _: Any) -> None:
        delivery, ended, submit = message.delivery, partial(self.ended, message), self.workers.submit_alone
        if isinstance(message, Cast):
            message.work = submit(delivery.body, ended, message.expires, context=message.context, cast=True)
        else:
            context = context_of_call(delivery, message.attempts + 2)  # the one beside others does not count
            message.work = submit(delivery.body, ended, message.deadline, context=context)

    def perform(self, message: Message, _: Any) -> None:
        assert isinstance(message, Cast)
        body, ended = message.delivery.body, partial(self.ended, message)
        message.work = self.workers.submit(body, ended, message.expires, context=message.context, cast=True)

    def hold(self, message: Message, _: Any) -> None:
        assert message.work is not None
        message.work.is_wanted = False

    def release(self, message: Message, _: Any) -> None:
        assert message.work is not None
        message.work.is_wanted = True

    def _parts(self, message: Message) -> Calls:
        if message.parts is None:
            ended = partial(self.ended, message)
            asked = look_into(message, self.workers.functions)
            message.parts = Parts(message, asked, self.workers, self.calls, ended)
        return message.parts

    def spread(self, message: Message, running: int) -> None:
        asked = look_into(message, self.workers.functions)
        if asked.ids and asked.served.idempotent:
            self._parts(message).spread(running)

    def take_apart(self, message: Message, lost: Lost) -> None:
        self._parts(message).take_apart(lost)

    def cancel(self, message: Message, _: Any) -> None:
        if message.parts is not None:
            message.parts.cancel()
        assert message.work is not None
        self.workers.cancel(message.work)

    def join(self, message: Message, again: Message) -> None:
        """It was delivered again: there it is answered. If that is on the same session, both are acked then."""
        earlier = () if message.carrier.is_lost else (*message.earlier, (message.consumer, message.delivery))
        message.earlier = earlier
        message.carrier, message.consumer, message.delivery = again.carrier, again.consumer, again.delivery

    def forget(self, message: Message, _: Any) -> None:
        if message.key is not None and self.calls.messages.get(message.key) is message:  # an id may be used twice
            del self.calls.messages[message.key]
        if message.parts is not None:
            message.parts.release()
            message.parts = None
        if message.response is not None:
            self.confirming.discard(message)

    def reply(self, message: Message, response: bytes) -> None:
        delivery = message.delivery
        assert delivery.reply_to is not None
        message.carrier.publish(message.consumer, delivery.reply_to, response, delivery.correlation_id)

    def confirm(self, message: Message, response: bytes) -> None:
        self.confirming.add(message)
        message.response = response
        message.carrier.confirm(message, partial(look_into, message, self.workers.functions), response)

    def withdraw(self, message: Message, _: Any) -> None:
        message.carrier.withdraw(message)

    def ack(self, message: Message, _: Any) -> None:
        carrier = message.carrier
        if message.earlier or carrier.draining:
            self._settle(message)
        else:
            self._settle_one(carrier, message.consumer, message.delivery)

    def _settle(self, message: Message) -> None:
        carrier = message.carrier
        for consumer, delivery in ((message.consumer, message.delivery), *message.earlier):
            if carrier.draining and consumer.unacked == 1 and self.prefetch == 1:
                # First the consumer, then the ack: in the other order the broker would deliver once more.
                carrier.end_consumer(consumer, partial(self._settle_one, carrier, consumer, delivery))
            else:
                self._settle_one(carrier, consumer, delivery)

    def _settle_one(self, carrier: Carrier, consumer: Any, delivery: Delivery) -> None:
        self.counts.abandoned += not carrier.ack(consumer, delivery)
        consumer.unacked -= 1
        carrier.unacked -= 1
        if carrier.draining and not carrier.unacked:
            carrier.drained()

    def send(self, message: Message, parcel: Parcel) -> None:
        if parcel.seconds is None:
            self.counts.dead += 1
        else:
            self.counts.again += 1
        self.confirming.add(message)
        message.carrier.send(message, parcel)

    def sent(self, message: Message, _: Any) -> None:
        self.confirming.discard(message)

    def keep(self, message: Message, response: bytes | None) -> None:
        self.counts.abandoned += 1
        if message.key is not None:
            outcome = message.response if response is None else response
            self.calls.keep(message.key, message.delivery.body, outcome, has_run=True)

    def keep_report(self, message: Message, _: Any) -> None:
        self.counts.abandoned += 1
        if message.key is not None and message.response is not None:
            self.calls.keep(message.key, message.delivery.body, message.response, has_run=True)

    def keep_not_run(self, message: Message, _: Any) -> None:
        """It did not start here; whether it did elsewhere is known only of one that came here first."""
        self.counts.abandoned += 1
        if message.key is not None and not message.may_have_run:
            self.calls.keep(message.key, message.delivery.body, None, has_run=False)

    def abandon(self, message: Message, _: Any) -> None:
        self.counts.abandoned += 1
