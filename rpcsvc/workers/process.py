"""One worker process, seen from the server's event loop: its socket, and the messages it was given.

Messages are numbered in the order they are given, from 1, on both sides: the scoreboard speaks of them by number, and
every frame carries the number of its message. Of a worker with one slot only the answer that is next can come, of one
with more slots any of as many as it has. A worker from which anything else comes is broken (some other process writes
to its socket): nothing more of it is believed, and it is killed.
"""

from __future__ import annotations

import asyncio
import logging
import time
from itertools import islice
from typing import Any, cast

from .generations import Desk
from .losses import Running, how_lost
from .pipe import (
    CALL,
    FAILED,
    FAILURE,
    HEADER,
    JOB,
    LACKS,
    NO_RESPONSE,
    PARTIAL,
    READY,
    RESULT,
    FrameReader,
    frame,
    job_head,
)
from .scoreboard import Row
from .supervisor import Cause, Event, Kill, Life, State, Supervisor
from .work import Lost, UnwantedPart, Work

log = logging.getLogger(__name__)

_GIVEN, _BUSY = Event.GIVEN, State.BUSY  # looked up once: each message asks for them
_FROM_SERVER = (CALL, JOB)
_JOIN_BELOW = 64 * 1024
"""Bodies up to this many bytes are copied behind their header, to be sent by one system call."""


class Worker(Life, asyncio.Protocol):
    """One worker process: its life, its socket, and what it is working on.

    Attributes:
        row: its numbers in the memory that it shares with the server.
        given: the messages it has not answered, by number.
        last_event: when it became busy or answered, on the monotonic clock.
        calls: how many it has made, as far as that is counted.
        cancels: the numbers of the messages that are cancelled, each with the time when its worker is to be killed,
            or None where it was not seen running.
        began: when it was given each of them, where it computes several at a time.
    """

    def __init__(
        self, desk: Desk[Worker], supervisor: Supervisor[Worker], generation: Any, number: int, row: Row
    ) -> None:
        super().__init__(generation, number)
        self._desk = desk
        self._supervisor = supervisor
        self._frames = FrameReader()
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._sent, self._slots = 0, len(row.slots)
        self._has_begun, self._spent = False, 0
        self._places = len(row.ends)
        self.row, self._ends = row, row.ends
        self.given: dict[int, Work] = {}
        self.last_event = 0.0
        self.calls = 0
        self.cancels: dict[int, float | None] = {}
        self.began: dict[int, float] = {}

    def expect(self, within: float | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        late = self._supervisor.late
        self._timer = None if within is None else asyncio.get_running_loop().call_later(within, late, self)

    def give(self, work: Work) -> None:
        """Send it a message."""
        assert self._transport is not None
        if not self.given:
            self._supervisor.happened(self, _GIVEN)
            self.last_event = time.monotonic()
        assert self.state is _BUSY
        self._sent = number = self._sent + 1
        self.given[number] = work
        work.given()
        self._ends[number % self._places] = 0.0 if work.deadline is None else work.deadline.at
        if work.context is not None:
            self._transport.writelines((job_head(number, work.context, len(work.body)), work.body))
        elif len(work.body) <= _JOIN_BELOW:
            self._transport.write(frame(CALL, number, work.body))
        else:
            self._transport.writelines((HEADER.pack(CALL, number, len(work.body)), work.body))

    def spent(self) -> float:
        """Seconds that it has spent on casts since this was asked last. What else the machine did is not in it."""
        before, self._spent = self._spent, self.row.spent
        return (self._spent - before) / 1e9

    def number_of(self, work: Work) -> int | None:
        """The number of a message that it was given and has not answered; None if it is none."""
        return next((number for number, each in self.given.items() if each is work), None)

    def running_item(self, work: Work) -> int | None:
        """In a message of many calls, the index of the one that runs; None if the message does not run (yet)."""
        return next((slot.item[0] for slot in self.row.slots if self.given.get(slot.message) is work), None)

    def calls_in(self, message: int) -> int:
        """How many calls a message of many was that it is over with; 0 where it is over the next one already."""
        for slot in self.row.slots:
            if slot.message == message:
                return slot.item[0] + 1
        return 0

    def take_back(self) -> list[tuple[Work, Lost | None]]:
        """What it was given and has not answered, each with how it was lost, or None where it was not taken yet.

        For a worker that is gone.
        """
        back = [(work, self._how_lost(number)) for number, work in self.given.items()]
        self.given.clear()
        return back

    def _how_lost(self, message: int) -> Lost | None:
        assert self.exit is not None
        if message > self.row.taken:
            return None
        running = {
            slot.message: Running(slot.item[0], slot.memory_limit)
            for slot in self.row.slots
            if slot.message in self.given
        }
        seconds = time.monotonic() - self.began.get(message, self.last_event)
        return how_lost(message, running, self.exit, self.kill, seconds)

    # ---- its socket

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    @property
    def is_cut(self) -> bool:
        """Whether its socket is known to be closed, even if the event loop has not said so yet."""
        return self._transport is None or self._transport.is_closing()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        for kind, number, payload in self._frames.feed(data):
            if not self._is_next(kind, number):
                self._is_broken()
                break
            try:
                if kind in (RESULT, NO_RESPONSE):
                    self._desk.answered(self, number, payload if kind == RESULT else None)
                elif kind == FAILURE:
                    self.given[number].has_failed = True
                    self._desk.answered(self, number, payload)
                elif kind == PARTIAL:
                    self.given[number].give_part(payload)
                elif kind == READY:
                    self._has_begun = True
                    self._supervisor.happened(self, Event.READY)
                else:
                    self.failure, self.lacks = payload.decode(errors="replace"), kind == LACKS
            except UnwantedPart:
                self._is_broken()
                break
            except Exception:
                log.exception("an answer could not be passed on")  # a fault of ours; the ones behind it go on
        if self._frames.is_broken:
            self._is_broken()
        self._desk.answered_for_now()

    def _is_next(self, kind: int, number: int) -> bool:
        """Whether such a frame can come now."""
        if kind in (READY, FAILED, LACKS):
            return number == 0 and not self._has_begun
        if kind in _FROM_SERVER:
            return False
        if self._slots == 1:
            return number == next(iter(self.given), None)
        return number in islice(self.given, self._slots)

    def _is_broken(self) -> None:
        """Hear no more of it, and have it killed.

        The message that runs ends as one that took its worker down. Those that were computed, and whose answers may
        still have been on their way, are not believed either.
        """
        self._supervisor.kill(self, Kill(Cause.BROKEN, self.row.taken))
        self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._supervisor.happened(self, Event.DISCONNECTED)

    def __repr__(self) -> str:
        return f"<Worker {self.number} pid={self.pid} {self.state}>"
