"""Where the events of one subscription wait until somebody takes them.

    the client's own thread --put--> | oldest … newest | --take--> whoever iterates
                                       |
                                       +--> dropped and counted, when one more comes than there is room for

Rules: the loop puts, one thread alone; any thread may take. No lock is held by anybody who could be interrupted by
somebody who needs it: what is shared is a queue of the interpreter's own, and steps that it does at once.
"""

from __future__ import annotations

import copy
import math
import threading
from _queue import Empty, SimpleQueue  # the real ones, also where `queue` has been patched
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from ..amqp import Channel, Delivery
from ..errors import RpcError


@dataclass(frozen=True, slots=True, eq=False)
class Arrived:
    """An event as it came.

    Attributes:
        delivery: the message.
        channel: through which it came, where it has to be acked; None where that is not so.
    """

    delivery: Delivery
    channel: Channel | None

    @property
    def comes_again(self) -> bool:
        """Whether the broker gives it once more, here or to another subscriber: its channel went."""
        return self.channel is not None and self.channel.lost.done()


@dataclass(frozen=True, slots=True, eq=False)
class _End:
    """Behind the last event: why there are no more; None where somebody closed the subscription or its client."""

    error: RpcError | None


class Sink(Protocol):
    """What a subscription puts its events into."""

    def put(self, arrived: Arrived) -> None:
        """An event came."""
        ...

    def end(self, error: RpcError | None) -> None:
        """There will be no more."""
        ...


class Inbox:
    """For threads that wait.

    Args:
        limit: how many events may wait; infinite is any number.
        put: called behind each `put` and `end`.
    """

    def __init__(self, limit: float, put: Callable[[], object] = lambda: None) -> None:
        self._limit = limit
        self._queue: SimpleQueue[Arrived | _End] = SimpleQueue()
        self._put = put
        self._is_ended = False
        self._dropped = 0  # written by the loop alone
        self._told = [0]  # who has taken it out is the one who tells

    @property
    def dropped(self) -> int:
        """How many events were dropped until now."""
        return self._dropped

    def __len__(self) -> int:
        """How many events wait."""
        return self._queue.qsize() - self._is_ended

    def put(self, arrived: Arrived) -> None:
        if self._is_ended:
            return
        while self._queue.qsize() >= self._limit:
            try:
                self._queue.get_nowait()
            except Empty:
                break  # somebody has just taken it
            self._dropped += 1
        self._queue.put(arrived)
        self._put()

    def end(self, error: RpcError | None) -> None:
        if not self._is_ended:
            self._is_ended = True
            self._queue.put(_End(error))
            self._put()

    def take(self, timeout: float | None = None) -> Arrived | None:
        """The oldest event, when there is one; None at the end.

        Args:
            timeout: seconds to wait; None is without end.

        Raises:
            TimeoutError: none came in time.
            RpcError: there are no more, for that reason.
        """
        try:
            if timeout is None:
                item = self._queue.get()
            elif timeout > 0:
                item = self._queue.get(timeout=min(timeout, threading.TIMEOUT_MAX))
            else:
                item = self._queue.get_nowait()
        except Empty:
            raise TimeoutError from None
        if isinstance(item, Arrived):
            return item
        self._queue.put(item)  # for whoever waits beside us, and for the next time
        if item.error is not None:
            raise copy.copy(item.error)  # raised in several threads, one would have the frames of all
        return None

    def missed(self) -> int:
        """How many events were dropped since this was asked last. Each is told once, whoever asks."""
        try:
            told = self._told.pop()
        except IndexError:
            return 0  # somebody is telling it in this moment
        missed = self._dropped - told
        self._told.append(told + missed)
        return missed

    def __repr__(self) -> str:
        most = "" if self._limit == math.inf else f" of {self._limit:.0f}"
        return f"<Inbox: {len(self)}{most} events wait, {self._dropped} were dropped>"
