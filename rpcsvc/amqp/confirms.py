"""The messages of one channel in confirm mode, until the broker has said what became of them (RabbitMQ's publisher
confirms: confirm.select, basic.ack, basic.nack; and basic.return for mandatory ones).

    published --ack---------------> a queue has it, on its disk if that was asked for
              |--return, then ack-> no queue took it: `Returned`
              |--nack-------------> `MessageRefused`: its queue is full, or failed
              +--the channel ends-> its error: the broker may have taken it, or not

The broker numbers what is published on such a channel from 1, and so do we. It settles one number, or all up to one. A
return has no number: it is told by its message_id and correlation_id, and where several messages have the same it is
that of the first of them, since messages come back in the order in which they went.
"""

from __future__ import annotations

import copy
import itertools
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Concatenate, ParamSpec, TypeAlias, cast

from ..errors import MessageRefused, RpcError
from .messages import Returned

P = ParamSpec("P")

Outcome: TypeAlias = Returned | RpcError | None
"""What became of a message: None where a queue has it."""
_Name: TypeAlias = tuple[str | None, str | None]


@dataclass(slots=True, eq=False)
class _Published:
    settled: Callable[[Outcome], None]
    name: _Name | None
    returned: Returned | None = None


class Confirms:
    """What was published on one channel and is not settled."""

    def __init__(self) -> None:
        self._tags = itertools.count(1)
        self._waiting: OrderedDict[int, _Published] = OrderedDict()
        self._mandatory: dict[_Name, deque[_Published]] = {}  # those that may come back

    def told(self, publish: Callable[P, None]) -> Callable[Concatenate[Callable[[Outcome], None], P], None]:
        """A channel's `publish` with one argument before its own: called once, with what became of the message."""

        def publish_told(settled: Callable[[Outcome], None], /, *args: P.args, **options: P.kwargs) -> None:
            publish(*args, **options)
            name = (options.get("message_id"), options.get("correlation_id")) if options.get("mandatory") else None
            self._expect(_Published(settled, cast("_Name | None", name)))

        return publish_told

    def _expect(self, published: _Published) -> None:
        self._waiting[next(self._tags)] = published
        if published.name is not None:
            self._mandatory.setdefault(published.name, deque()).append(published)

    def returned(self, returned: Returned) -> None:
        """A message came back: no queue took it. Its ack comes too."""
        for published in self._mandatory.get((returned.message_id, returned.correlation_id), ()):
            if published.returned is None:
                published.returned = returned
                return

    def confirmed(self, tag: int, *, multiple: bool) -> None:
        """The broker has dealt with a message, or with all up to it; 0 stands for all, as in the protocol."""
        for published in self._settle(tag, multiple):
            published.settled(published.returned)

    def refused(self, tag: int, *, multiple: bool) -> None:
        """The broker could not take a message, or all up to it."""
        for published in self._settle(tag, multiple):
            published.settled(MessageRefused("the broker refused the message: its queue is full, or failed"))

    def end(self, reason: RpcError) -> None:
        """The channel has ended: nobody will know of what is not settled."""
        for published in self._settle(0, multiple=True):
            published.settled(copy.copy(reason))

    def _settle(self, tag: int, multiple: bool) -> list[_Published]:
        waiting = self._waiting
        if multiple:
            settled = []
            while waiting and (not tag or next(iter(waiting)) <= tag):
                settled.append(waiting.popitem(last=False)[1])
        else:
            settled = [waiting.pop(tag)] if tag in waiting else []
        for published in settled:
            if published.name is not None:
                named = self._mandatory[published.name]
                named.remove(published)
                if not named:
                    del self._mandatory[published.name]
        return settled

    def __len__(self) -> int:
        return len(self._waiting)

    def __repr__(self) -> str:
        return f"<Confirms: {len(self)} messages are not settled>"
