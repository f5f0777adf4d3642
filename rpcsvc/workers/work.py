"""What goes between a server and its pool of workers: work to be computed, and what becomes of it. Pure.

A work is one message for one worker. Its life:

    WAITING ──> GIVEN ──> OVER          computed, or lost with its worker
       │ ^────────┘ │                   its worker was lost and had not taken it: it waits again
       │            └──> STOPPING ──> OVER    cancelled while it ran: whatever becomes of it is told as cancelled
       └──────────> OVER                its time was up, it was not wanted, or cancelled, before a worker was free

Whoever has submitted a work may say that it is not wanted, and that it is again: while it is not, it does not start.
What runs already is not touched.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar, TypeAlias

from ..deadline import Deadline
from ..functions.retry import Retry
from ..host.signals import describe_exit


@dataclass(frozen=True, slots=True)
class Served:
    """What the server knows of a function that its workers serve.

    Attributes:
        idempotent: whether running it twice for one call does no harm.
        max_attempts: how often a call is tried whose worker dies over it.
        time_limit: after so many seconds its worker is killed; None is never.
        is_default: whether it is the registry's default function, which bare bodies call.
        retry: how casts of it are tried again, if it says so; the classes of exceptions are known to its workers alone.
    """

    idempotent: bool
    max_attempts: int = 1
    time_limit: float | None = None
    retry: Retry | None = None
    is_default: bool = False


@dataclass(frozen=True, slots=True)
class Handled:
    """What the server knows of a function that its workers call with events.

    Attributes:
        name: the handler's.
        patterns: of the topics.
        exchange: of others; None is ours.
        served: what holds for the function.
    """

    name: str
    patterns: tuple[str, ...]
    exchange: str | None
    served: Served


@dataclass(frozen=True, slots=True)
class Loaded:
    """What the server knows of a registry: functions and handlers, by name."""

    functions: dict[str, Served] = field(default_factory=dict)
    handlers: dict[str, Handled] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.functions or self.handlers)


@dataclass(frozen=True, slots=True)
class WorkerExit:
    """How a worker process ended: an exit code, or the signal that killed it, or neither where that is not known."""

    pid: int
    exit_code: int | None
    signal_number: int | None

    @classmethod
    def from_wait_status(cls, pid: int, code: int) -> WorkerExit:
        """An exit from what `os.waitstatus_to_exitcode` gives: a negative code is a signal."""
        return cls(pid, None, -code) if code < 0 else cls(pid, code, None)

    def __str__(self) -> str:
        return f"worker process {self.pid} ended {describe_exit(self.exit_code, self.signal_number)}"


# ---- what becomes of a work


@dataclass(slots=True)  # not frozen, which would triple what making one costs
class Answer:
    """A worker answered.

    Attributes:
        body: the response, or None where the request wants none.
        calls: how many calls the message was; 0 where that is not known any more, because the worker is over the next.
        failed: whether the response is an error, or has errors in it.
    """

    body: bytes | None
    calls: int = 0
    failed: bool = False


@dataclass(frozen=True, slots=True)
class MemoryUse:
    """The memory that a call may take, and what its worker had taken, in bytes."""

    limit: int
    used: int


@dataclass(frozen=True, slots=True)
class Lost:
    """The worker ended before it answered.

    Attributes:
        exit: how it ended.
        running: whether the message was being computed when it ended; if not, it had been computed, and its answer
            was lost on the way.
        item: in a message of many calls, the index of the one that was running.
        over_time: whether it was killed because the call's time was up.
        over_memory: what it had taken, if it was killed for that.
        seconds: how long ago the worker began with it, or last gave an answer.
        beside: how many others ran in the same worker, so that nobody knows which one took it down, or that were not
            what it was killed for; 0 where this one alone is to blame.
    """

    exit: WorkerExit
    running: bool
    item: int
    over_time: bool = False
    over_memory: MemoryUse | None = None
    seconds: float = field(default=0.0, compare=False)
    beside: int = 0


@dataclass(frozen=True, slots=True)
class Expired:
    """When a worker was free, its deadline had passed, or it was not wanted: nothing has run."""


@dataclass(frozen=True, slots=True)
class Cancelled:
    """It was cancelled before it was answered: nothing has run, or it was stopped."""


Outcome: TypeAlias = Answer | Lost | Expired | Cancelled
Done: TypeAlias = Callable[[Outcome], None]


Part: TypeAlias = Callable[[bytes], None]


class UnwantedPart(Exception):
    """A partial result is nothing that can come here: the worker that has given it is broken."""


def refuse_parts(_: bytes) -> None:
    """Refuse a partial result.

    Raises:
        UnwantedPart: always.
    """
    raise UnwantedPart


# ---- a work


class WorkState(enum.Enum):
    """Where a work is in its life."""

    WAITING = "waiting"
    """For a worker."""
    GIVEN = "given"
    """To a worker, which computes it, or has others to compute before."""
    STOPPING = "stopping"
    """It was cancelled while it ran."""
    OVER = "over"
    """What became of it has been told."""


_GIVEN, _STOPPING, _OVER = WorkState.GIVEN, WorkState.STOPPING, WorkState.OVER  # looked up once: each message asks


@dataclass(slots=True, eq=False)  # not frozen, which would triple what making one costs
class Work:
    """One message for a worker.

    Attributes:
        body: the request.
        done: who is told once what became of it.
        deadline: it is not to be started after that.
        part: who is told of partial results, before `done`.
        context: what its worker is told besides, as `workers.job` writes it; None for nothing.
        is_cast: whether it waits behind all calls, and is computed by some of the workers only.
        is_wanted: whether it may start; written by whoever has submitted it.
        state: where it is in its life; written by the methods below alone.
        was_taken_back: whether a worker was lost that had been sent it and had not taken it.
        has_failed: whether its answer is an error, or has errors in it.
        is_suspect: whether it may take its worker down, and so runs in one alone.
    """

    is_suspect: ClassVar[bool] = False

    body: bytes
    done: Done
    deadline: Deadline | None
    part: Part = refuse_parts
    context: bytes | None = None
    is_cast: bool = False
    is_wanted: bool = True
    state: WorkState = WorkState.WAITING
    was_taken_back: bool = False
    has_failed: bool = False

    @property
    def may_start(self) -> bool:
        """Whether it is wanted, and somebody waits for it still."""
        return self.is_wanted and (self.deadline is None or not self.deadline.expired)

    @property
    def is_over(self) -> bool:
        """Whether what became of it has been told."""
        return self.state is _OVER

    def given(self) -> None:
        """A worker has been sent it."""
        self.state = _GIVEN

    def taken_back(self) -> None:
        """The worker was lost and had not taken it: it waits again, unless it is over."""
        if self.state is _GIVEN:
            self.state, self.was_taken_back = WorkState.WAITING, True

    def stop(self) -> None:
        """It was cancelled while it ran: whatever becomes of it is told as cancelled."""
        if self.state is _GIVEN:
            self.state = _STOPPING

    def give_part(self, payload: bytes) -> None:
        """Tell a partial result, unless nobody waits for it any more.

        Raises:
            UnwantedPart: there can be none.
        """
        if self.state is _GIVEN:
            self.part(payload)

    def end(self, outcome: Outcome) -> None:
        """Tell what became of it, once; what becomes of it later is told to nobody."""
        was, self.state = self.state, _OVER
        # Who is told mostly knows the work too: a cycle would be left to the collector, for every call.
        done, self.done = self.done, _told_already
        done(Cancelled() if was is _STOPPING else outcome)


class Suspect(Work):
    """A work that was running beside others when their worker ended: it runs in a worker alone."""

    __slots__ = ()
    is_suspect: ClassVar[bool] = True


def _told_already(_: Outcome) -> None:
    pass
