"""Messages of a queue asked for one by one (basic.get), to be looked at and given back, or acked.

    get -> a message, which is nobody else's until it is acked, given back, or the channel ends
    get -> None: nothing is there that is not somebody's already

Several may be asked for ahead; the broker answers in order.
"""

from __future__ import annotations

import asyncio
import copy
from collections import deque
from collections.abc import Iterable
from typing import Any

import pika.spec

from .channel import Channel
from .messages import Delivery

_ACKS_AHEAD = 25


class Getter:
    """Asks for the messages of one queue, on a channel that nothing else uses."""

    def __init__(self, channel: Channel, queue: str) -> None:
        self._channel = channel
        self._queue = queue
        self._asked: deque[asyncio.Future[Delivery | None]] = deque()
        self._deliver_to: tuple[int, bytes] = (channel._number, b"")
        channel._stream.consumers[self._deliver_to] = self._answered
        channel._pika.add_callback(lambda _: self._answered(None), [pika.spec.Basic.GetEmpty], one_shot=False)
        channel.lost.add_done_callback(lambda _: self._ended())

    def get(self) -> asyncio.Future[Delivery | None]:
        """Ask for the next message; None where there is none.

        Raises:
            QueueNotFound, AccessRefused, ConnectionLost: the channel is lost; or the future ends with it.
        """
        self._channel._check_open()
        answer: asyncio.Future[Delivery | None] = asyncio.get_running_loop().create_future()
        # Past pika's own `basic_get`, which knows one question at a time and would wait for what the fast path takes.
        self._channel._pika._send_method(pika.spec.Basic.Get(queue=self._queue))
        self._asked.append(answer)
        return answer

    def ack(self, delivery: Delivery) -> None:
        """A message was dealt with."""
        self._channel.ack(delivery.delivery_tag)

    async def ack_all(self, deliveries: Iterable[Delivery]) -> None:
        """Many were dealt with.

        A channel of RabbitMQ sends a quorum queue some 32 acks ahead and keeps the others until these are done. What it
        keeps when it is closed is lost, and those messages come again. An answer from the queue says that all are done.
        """
        for number, delivery in enumerate(deliveries, 1):
            self.ack(delivery)
            if not number % _ACKS_AHEAD:
                await self.get()

    async def give_back(self) -> None:
        """Give back all that was not acked; it is there again for whoever asks after this has returned."""
        self._channel.nack(0, requeue=True, multiple=True)
        await self._channel.prefetch(0)  # answered behind it: the broker works in order

    def _answered(self, delivery: Any) -> None:
        answer = self._asked.popleft()
        if not answer.done():
            answer.set_result(delivery)

    def _ended(self) -> None:
        if self._channel._stream.consumers.get(self._deliver_to) == self._answered:
            del self._channel._stream.consumers[self._deliver_to]  # else the number is another channel's now
        while self._asked:
            answer = self._asked.popleft()
            if not answer.done():
                answer.set_exception(copy.copy(self._channel.lost.result()))
                answer.exception()  # nobody may be waiting any more

    def __repr__(self) -> str:
        return f"<Getter of {self._queue!r}: {len(self._asked)} asked for>"
