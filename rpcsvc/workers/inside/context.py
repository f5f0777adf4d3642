"""What a function is told of the call that it computes, when it asks for it: `current_call`.

Nothing is made ready for those that do not ask. What runs is noted in `running`, and looked into on demand.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Protocol

from ...wire.jsonrpc import Request, RequestId
from ...wire.many.request import MapRequest
from ..job import Context, Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class CurrentCall:
    """What a function computes just now.

    Attributes:
        kind: "call", "cast" or "event".
        method: the function's name.
        id: of a call: the one in its request.
        message_id: of a cast or an event: the one that its publisher gave it, the key against doubles.
        attempt: the number of this attempt, from 1, as far as servers have counted.
        first_published: of a cast or an event: when it was published first, as `time.time()`, if that is known.
        deadline: when nobody waits for it any more, as `time.time()`; None if that is never, or not known.
        headers: those that its publisher has set.
    """

    kind: Kind
    method: str
    id: RequestId = None
    message_id: str | None = None
    attempt: int = 1
    first_published: float | None = None
    deadline: float | None = None
    headers: Mapping[str, Any] = field(default_factory=dict)
    _ends: float | None = field(default=None, repr=False)

    @property
    def remaining(self) -> float | None:
        """Seconds until the deadline, at least 0; None if there is none."""
        return None if self._ends is None else max(0.0, self._ends - time.monotonic())


class _Place(Protocol):
    def __getitem__(self, place: int, /) -> int: ...


@dataclass(frozen=True, slots=True)
class Several:
    """The calls of an `rpc.map`, one of which runs.

    Attributes:
        asked: all of them.
        id: of the request that they came in.
        progress: its first item is the index of the one that runs.
    """

    asked: MapRequest
    id: RequestId
    progress: _Place

    @property
    def method(self) -> str:
        """The one of all of them."""
        return self.asked.method

    @property
    def own_id(self) -> RequestId:
        """The id of the one that runs, or of all, where they have none of their own."""
        return self.asked.ids[self.progress[0]] if self.asked.ids else self.id


class Running:
    """What runs in this worker.

    Attributes:
        asked: what a function computes; None outside of functions.
        context: what the server has told of the message besides, if anything.
        ends: gives the message's deadline on the monotonic clock; None for none.
    """

    __slots__ = ("asked", "context", "ends")

    def __init__(self) -> None:
        self.asked: Request | Several | None = None
        self.context: Context | None = None
        self.ends: Callable[[], float | None] = lambda: None


running = Running()
"""Of this process. It computes in one thread; others, which a function may have, see the same. Where it computes in
several, each has its own (`apart`)."""


class _RunningApart(Running):
    """What runs in this thread, or in the task that computes for it."""

    __slots__ = ()

    @property
    def asked(self) -> Request | Several | None:
        return _here.get().asked

    @asked.setter
    def asked(self, asked: Request | Several | None) -> None:
        _here.get().asked = asked

    @property
    def context(self) -> Context | None:
        return _here.get().context

    @context.setter
    def context(self, context: Context | None) -> None:
        _here.get().context = context

    @property
    def ends(self) -> Callable[[], float | None]:
        return _here.get().ends

    @ends.setter
    def ends(self, ends: Callable[[], float | None]) -> None:
        _here.get().ends = ends


_here: ContextVar[Running] = ContextVar("rpcsvc.running", default=Running())  # noqa: B039 nothing is written to it


def keep_apart() -> None:
    """From now on each thread of this process has a `running` of its own, if it has `begin` called first.

    It is for workers with several threads; in others a look at one object is all that a call pays.
    """
    running.__class__ = _RunningApart


def begin(ends: float | None) -> None:
    """A message begins in this thread.

    Args:
        ends: its deadline on the monotonic clock; None for none.
    """
    here = Running()
    here.ends = lambda: ends
    _here.set(here)


def current_call() -> CurrentCall | None:
    """What the function that asks for it computes; None outside of functions, in workers and everywhere else."""
    asked, context = running.asked, running.context or Context(kind="call")
    if asked is None:
        return None
    ends = running.ends()
    first = context.first_published
    return CurrentCall(
        kind=context.kind,
        method=asked.method,
        id=asked.own_id if isinstance(asked, Several) else asked.id,
        message_id=context.message_id,
        attempt=context.attempt,
        first_published=None if first is None else first / 1000,
        deadline=None if ends is None else time.time() + ends - time.monotonic(),
        headers=context.headers,
        _ends=ends,
    )
