"""The messages of one channel in confirm mode that the broker has neither confirmed nor refused yet (RabbitMQ's
publisher confirms: confirm.select, basic.ack, basic.nack).

The broker numbers what is published on such a channel from 1, and so do we. It settles one number, or all up to one.
"""

from __future__ import annotations

import asyncio
import copy
import itertools

from ..errors import MessageRefused, RpcError


class Confirms:
    """What was published on one channel and is not settled. Lives on one event loop."""

    def __init__(self) -> None:
        self._tags = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[None]] = {}  # in the order of the tags

    def expect(self) -> asyncio.Future[None]:
        """A message is published now: a future that is done when the broker has settled it."""
        settled: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[next(self._tags)] = settled
        return settled

    def confirmed(self, tag: int, *, multiple: bool) -> None:
        """The broker has taken a message, or all up to it."""
        for settled in self._settle(tag, multiple):
            settled.set_result(None)

    def refused(self, tag: int, *, multiple: bool) -> None:
        """The broker could not take a message, or all up to it."""
        for settled in self._settle(tag, multiple):
            settled.set_exception(MessageRefused("the broker refused the message: its queue is full, or failed"))

    def end(self, reason: RpcError) -> None:
        """The channel has ended: nobody will know of what is not settled."""
        for settled in self._settle(0, multiple=True):
            settled.set_exception(copy.copy(reason))
            settled.exception()  # nobody may be waiting any more

    def _settle(self, tag: int, multiple: bool) -> list[asyncio.Future[None]]:
        # 0 stands for all of them, as in the protocol.
        tags = [each for each in self._waiting if not tag or each <= tag] if multiple else [tag]
        settled = [self._waiting.pop(each) for each in tags if each in self._waiting]
        return [each for each in settled if not each.done()]  # whoever waited may have been cancelled

    def __len__(self) -> int:
        return len(self._waiting)

    def __repr__(self) -> str:
        return f"<Confirms: {len(self)} messages are not settled>"
