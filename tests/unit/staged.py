"""A pool without processes: its workers' sockets only write down what they are sent."""

from __future__ import annotations

import os
import time
from typing import Any

from rpcsvc.deadline import Deadline
from rpcsvc.workers.care import Care
from rpcsvc.workers.generations import Generation
from rpcsvc.workers.inside.dispatch import Rules
from rpcsvc.workers.pipe import CALL, RESULT, FrameReader, frame
from rpcsvc.workers.pool import WorkerPool
from rpcsvc.workers.process import Worker
from rpcsvc.workers.restarts import Restarts
from rpcsvc.workers.scoreboard import Scoreboard
from rpcsvc.workers.sharing import SharingPool
from rpcsvc.workers.supervisor import Event, Kill, State
from rpcsvc.workers.work import Outcome, Work, WorkerExit


class Transport:
    """What a worker is sent."""

    def __init__(self) -> None:
        self.frames: list[tuple[int, int, bytes]] = []
        self._reader = FrameReader()
        self.closing = False

    def write(self, data: bytes) -> None:
        self.frames += self._reader.feed(data)

    def is_closing(self) -> bool:
        return self.closing

    def abort(self) -> None:
        self.closing = True


class Stage:
    """A pool of workers that do what a test says."""

    def __init__(self, size: int, cast_workers: int | None = None) -> None:
        self.told: dict[bytes, Outcome] = {}
        self._begin(size, WorkerPool("nobody:registry", size, care=Care(cast_workers=cast_workers), gave_up=self.fail))

    def _begin(self, size: int, pool: WorkerPool, slots: int = 1) -> None:
        self.pool = pool
        self.pool._watch.timer = object()  # type: ignore[assignment]  # looks by itself, in an event loop
        self.supervisor = self.pool._supervisor
        generation = Generation[Worker](2 * size, Restarts(time.monotonic, max_restarts=100))
        self.pool._workers.current = generation
        self.pool._workers.is_over = True  # none is replaced
        self.scoreboard, fd = Scoreboard.create(size, slots)
        os.close(fd)
        self.workers = [self._worker(generation, number) for number in range(size)]
        for worker in self.workers:
            for event in (Event.MADE, Event.READY):
                self.supervisor.happened(worker, event)

    def fail(self, reason: str) -> None:
        raise AssertionError(reason)

    def _worker(self, generation: Any, number: int) -> Worker:
        worker = Worker(self.pool, self.supervisor, generation, number, self.scoreboard.row(number))
        worker.connection_made(Transport())  # type: ignore[arg-type]
        worker.expect = lambda _: None  # type: ignore[method-assign]
        worker.pid = 1000 + number
        generation.workers[number] = worker
        return worker

    def submit(self, body: bytes, deadline: Deadline | None = None, *, cast: bool = False) -> Work:
        return self.pool.submit(body, lambda outcome: self.told.update({body: outcome}), deadline, cast=cast)

    def sent(self, number: int) -> list[bytes]:
        """What a worker was sent, all of it calls that are numbered from 1."""
        frames = self.workers[number]._transport.frames  # type: ignore[union-attr]
        assert [(kind, index) for kind, index, _ in frames] == [(CALL, index + 1) for index in range(len(frames))]
        return [body for _, _, body in frames]

    def answer(self, number: int, body: bytes) -> None:
        """Have a worker take and answer the first of what it has not answered."""
        worker = self.workers[number]
        worker.row.slots[0].take(worker.answered + 1)
        worker.data_received(frame(RESULT, worker.answered + 1, body))

    def end(self, number: int, kill: Kill | None = None) -> None:
        """Have a worker end."""
        worker = self.workers[number]
        if kill is not None:
            self.supervisor.kill(worker, kill)
        worker.connection_lost(None)
        worker.exit = WorkerExit(1000 + number, None, 9)
        self.supervisor.happened(worker, Event.EXITED)
        assert worker.state is State.GONE


class SharingStage(Stage):
    """Likewise, of a pool whose workers compute several messages at a time."""

    def __init__(self, size: int, *, threads: int, cast_slots: int = 1) -> None:
        self.told = {}
        pool = SharingPool(
            "nobody:registry", size, rules=Rules(threads=threads), cast_slots=cast_slots, gave_up=self.fail
        )
        self._begin(size, pool, threads)

    def submit_alone(self, body: bytes, deadline: Deadline | None = None) -> Work:
        return self.pool.submit_alone(body, lambda outcome: self.told.update({body: outcome}), deadline)

    def answer(self, number: int, message: int, body: bytes) -> None:  # type: ignore[override]
        """Have a worker take and answer one of its messages."""
        worker = self.workers[number]
        free = next(slot for slot in worker.row.slots if slot.message not in worker.given)
        free.take(message)
        worker.data_received(frame(RESULT, message, body))
