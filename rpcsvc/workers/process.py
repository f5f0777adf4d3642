"""One worker process, seen from the server's event loop: its socket, its state, and the messages it was given.

A worker's life: starting -> idle <-> busy -> ending -> gone.

Messages are numbered in the order they are given, from 1, on both sides: `Progress` speaks of them by number, and every
frame carries the number of its message. A worker from which anything else comes than the answer that is next is broken
(some other process writes to its socket): nothing more of it is believed, and it is killed.
"""

from __future__ import annotations

import asyncio
import enum
import logging
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, cast

from .pipe import CALL, FAILED, HEADER, LACKS, READY, RESULT, FrameReader, frame
from .scoreboard import WorkerProgress
from .work import Answer, Lost, MemoryUse, Work, WorkerExit

if TYPE_CHECKING:
    from .crew import Crew

log = logging.getLogger(__name__)

_JOIN_BELOW = 64 * 1024
"""Bodies up to this many bytes are copied behind their header, to be sent by one system call."""


class Cause(enum.Enum):
    """Why the pool kills a worker."""

    TIME = "its call ran longer than its time limit"
    MEMORY = "its call took more memory than its limit"
    CANCEL = "its call was cancelled and did not end"
    START = "it did not become ready in time"
    DEAF = "it did not take what it was given"
    BROKEN = "what came through its socket was not the answer that was next"


@dataclass(frozen=True, slots=True)
class Kill:
    """The pool has had a worker killed.

    Attributes:
        cause: why.
        message: the number of the message it is about. The worker may have come further by the time it is killed.
        memory: what it had taken, where that is the cause.
    """

    cause: Cause
    message: int
    memory: MemoryUse | None = None


class State(enum.Enum):
    """Where a worker is in its life."""

    STARTING = "starting"
    IDLE = "idle"
    BUSY = "busy"
    ENDING = "ending"
    """Its socket is closed; how it ended is not known yet."""
    GONE = "gone"


class Owner(Protocol):
    """Who is told what happens to a worker."""

    def became_ready(self, worker: Worker) -> None:
        """It has started and can compute."""
        ...

    def answered(self, worker: Worker, answer: Answer) -> None:
        """It has answered the first of what it was given."""
        ...

    def answered_for_now(self) -> None:
        """All answers that came together have been told."""
        ...

    def disconnected(self, worker: Worker) -> None:
        """Its socket is closed."""
        ...


class Worker(asyncio.Protocol):
    """One worker process: its socket, its state, and what it is working on.

    Attributes:
        crew: what made it.
        number: its place in `Progress`.
        given: the messages it has not answered, the first of them number `answered + 1`.
        last_event: when it became busy or answered, on the monotonic clock.
        calls: how many it has made, as far as that is counted.
        worn: whether it is to be replaced.
        leaving: whether it is given no more, and ends when it has answered what it has.
        failure: the traceback of what kept it from starting, if it told; else empty.
        lacks: whether that was for want of something that may be there later.
        kill: why it is being killed, or None.
        cancels: the numbers of the messages that are cancelled, each with the time when its worker is to be killed,
            or None where it was not seen running.
    """

    def __init__(self, owner: Owner, crew: Crew, number: int, progress: WorkerProgress) -> None:
        self._owner = owner
        self.crew = crew
        self._frames = FrameReader()
        self._transport: asyncio.Transport | None = None
        self.number = number
        self.progress = progress
        self.pid: int | None = None
        self.state = State.STARTING
        self.given: deque[Work] = deque()
        self.answered = 0
        self.last_event = 0.0
        self.was_ready = False
        self.failure = ""
        self.lacks = False
        self.start_timer: asyncio.TimerHandle | None = None
        self.calls = 0
        self.worn = False
        self.leaving = False
        self.kill: Kill | None = None
        self.cancels: dict[int, float | None] = {}
        self.exit: WorkerExit | None = None

    def start_over(self) -> None:
        """It has started, or will not any more."""
        if self.start_timer is not None:
            self.start_timer.cancel()
            self.start_timer = None

    def give(self, work: Work) -> None:
        """Send it a message."""
        assert self.state in (State.IDLE, State.BUSY)
        assert self._transport is not None
        if self.state is State.IDLE:
            self.state = State.BUSY
            self.last_event = time.monotonic()
        work.given()
        self.given.append(work)
        number = self.answered + len(self.given)
        if len(work.body) <= _JOIN_BELOW:
            self._transport.write(frame(CALL, number, work.body))
        else:
            self._transport.writelines((HEADER.pack(CALL, number, len(work.body)), work.body))

    def running_item(self, work: Work) -> int | None:
        """In a message of many calls, the index of the one that runs; None if the message does not run (yet)."""
        if self.given and self.given[0] is work and self.progress.taken > self.answered:
            return self.progress.item[0]
        return None

    def take_back(self) -> list[tuple[Work, Lost | None]]:
        """What it was given and has not answered, each with how it was lost, or None where it was not taken yet.

        For a worker that has ended.
        """
        assert self.exit is not None
        back = [(work, self._how_lost(number)) for number, work in enumerate(self.given, self.answered + 1)]
        self.given.clear()
        return back

    def _how_lost(self, message: int) -> Lost | None:
        assert self.exit is not None
        taken = self.progress.taken
        if message > taken:
            return None
        running = message == taken
        seconds = time.monotonic() - self.last_event
        if self.kill is None:
            return Lost(self.exit, running, self.progress.item[0], seconds=seconds)
        # Killed over a message that is over by now, it was already computing the next: that has done nothing wrong, and
        # ends like one that had been computed.
        running = running and self.kill.message == message
        over_time = running and self.kill.cause is Cause.TIME
        memory = self.kill.memory if running else None
        return Lost(self.exit, running, self.progress.item[0], over_time, memory, seconds)

    def message_of(self, work: Work) -> int:
        """The number of a message that it was given and has not answered."""
        return self.answered + 1 + self.given.index(work)

    def close(self) -> None:
        """Close its socket, which ends the process once it has nothing to do."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        for kind, number, payload in self._frames.feed(data):
            if not self._is_next(kind, number):
                self._is_broken()
                break
            try:
                if kind == READY:
                    self._owner.became_ready(self)
                elif kind in (FAILED, LACKS):
                    self.failure, self.lacks = payload.decode(errors="replace"), kind == LACKS
                else:
                    self._owner.answered(self, Answer(payload if kind == RESULT else None))
            except Exception:
                log.exception("an answer could not be passed on")  # a fault of ours; the ones behind it go on
        if self._frames.is_broken:
            self._is_broken()
        self._owner.answered_for_now()

    def _is_next(self, kind: int, number: int) -> bool:
        """Whether such a frame can come now."""
        if kind in (READY, FAILED, LACKS):
            return number == 0 and not self.was_ready
        return kind != CALL and number == self.answered + 1 and bool(self.given)

    def _is_broken(self) -> None:
        """Hear no more of it. Its owner is told that it is disconnected, and has it killed.

        The message that runs ends as one that took its worker down. Those that were computed, and whose answers may
        still have been on their way, are not believed either.
        """
        self.kill = self.kill or Kill(Cause.BROKEN, self.progress.taken)
        self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._owner.disconnected(self)

    @property
    def is_deaf(self) -> bool:
        """Whether its socket is known to be closed, even if the event loop has not said so yet."""
        return self._transport is None or self._transport.is_closing()

    def __repr__(self) -> str:
        return f"<Worker {self.number} pid={self.pid} {self.state.value}>"
