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
from collections.abc import Callable
from typing import Concatenate, ParamSpec, TypeAlias, cast

from ..errors import MessageRefused, RpcError
from .messages import Returned

P = ParamSpec("P")

Outcome: TypeAlias = Returned | RpcError | None
"""What became of a message: None where a queue has it."""
_Name: TypeAlias = tuple[str | None, str | None]
"""The message_id and correlation_id of a mandatory message."""
_Expected: TypeAlias = tuple[Callable[[Outcome], None], _Name | None]


class Confirms:
    """What was published on one channel and is not settled."""

    def __init__(self) -> None:
        # Tags from `_oldest` to before `_next` may be waiting. No ordered dictionary, whose entries cost more, and no
        # look at the first key of a plain one, which walks over all that were taken out before it.
        self._waiting: dict[int, _Expected] = {}
        self._oldest = self._next = 1
        self._came_back: dict[int, Returned] = {}
        self._came_back_last = 0

    def told(self, publish: Callable[P, None]) -> Callable[Concatenate[Callable[[Outcome], None], P], None]:
        """A channel's `publish` with one argument before its own: called once, with what became of the message."""

        def publish_told(settled: Callable[[Outcome], None], /, *args: P.args, **options: P.kwargs) -> None:
            publish(*args, **options)
            name = (options.get("message_id"), options.get("correlation_id")) if options.get("mandatory") else None
            self.expect(settled, cast("_Name | None", name))

        return publish_told

    def expect(self, settled: Callable[[Outcome], None], name: _Name | None) -> None:
        """Count a message that was published just now.

        Args:
            settled: called once, with what became of it.
            name: its message_id and correlation_id, if it is mandatory.
        """
        self._waiting[self._next] = (settled, name)
        self._next += 1

    def returned(self, returned: Returned) -> None:
        """A message came back: no queue took it. Its ack comes too."""
        name = (returned.message_id, returned.correlation_id)
        # They come back in the order in which they went: what is before the last one will mostly not come any more.
        for tag in range(max(self._oldest, self._came_back_last + 1), self._next):
            expected = self._waiting.get(tag)
            if expected is not None and expected[1] == name:
                self._came_back[tag] = returned
                self._came_back_last = tag
                return

    def confirmed(self, tag: int, *, multiple: bool) -> None:
        """The broker has dealt with a message, or with all up to it; 0 stands for all, as in the protocol."""
        if multiple:
            for number, settled in self._up_to(tag):
                settled(self._came_back.pop(number, None) if self._came_back else None)
        elif tag in self._waiting:
            settled, _ = self._waiting.pop(tag)
            settled(self._came_back.pop(tag, None) if self._came_back else None)

    def refused(self, tag: int, *, multiple: bool) -> None:
        """The broker could not take a message, or all up to it."""
        for _, settled in self._up_to(tag) if multiple else self._one(tag):
            settled(MessageRefused("the broker refused the message: its queue is full, or failed"))

    def end(self, reason: RpcError) -> None:
        """The channel has ended: nobody will know of what is not settled."""
        for _, settled in self._up_to(0):
            settled(copy.copy(reason))

    def _one(self, tag: int) -> list[tuple[int, Callable[[Outcome], None]]]:
        return [(tag, self._waiting.pop(tag)[0])] if tag in self._waiting else []

    def _up_to(self, tag: int) -> list[tuple[int, Callable[[Outcome], None]]]:
        end = self._next if not tag or tag >= self._next else tag + 1
        pop = self._waiting.pop
        settled = [
            (number, expected[0]) for number in range(self._oldest, end) if (expected := pop(number, None)) is not None
        ]
        self._oldest = max(self._oldest, end)
        return settled

    def __len__(self) -> int:
        return len(self._waiting)

    def __repr__(self) -> str:
        return f"<Confirms: {len(self)} messages are not settled>"
