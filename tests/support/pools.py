"""A worker pool in the test's own event loop: no broker, no server."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rpcsvc.testing import scaled
from rpcsvc.wire.jsonrpc import decode_response, encode_params, encode_request
from rpcsvc.workers.care import Care
from rpcsvc.workers.inside.dispatch import Rules
from rpcsvc.workers.pool import WorkerPool
from rpcsvc.workers.work import Answer, Outcome, Work

REGISTRY = "unruly:registry"


@dataclass
class Call:
    """A request given to a pool, and every outcome it was told."""

    work: Work | None = None
    outcomes: list[Outcome] = field(default_factory=list)
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    def done(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)
        self.ended.set()

    async def outcome(self, within: float = 10.0) -> Outcome:
        """What became of it."""
        async with asyncio.timeout(scaled(within)):
            await self.ended.wait()
        return self.outcomes[0]

    async def result(self, within: float = 10.0) -> Any:
        """Its result, or its typed error."""
        outcome = await self.outcome(within)
        assert isinstance(outcome, Answer), outcome
        assert outcome.body is not None
        return decode_response(outcome.body)


class Pool(WorkerPool):
    """A pool that is told calls, not bodies."""

    reasons: list[str]
    calls: list[Call]

    def call(self, method: str, /, *args: Any, **kwargs: Any) -> Call:
        """Submit a call."""
        return self.send(encode_request("7", method, encode_params(args, kwargs)))

    def map(self, method: str, rows: list[list[Any]]) -> Call:
        """Submit a message of many calls."""
        return self.call("rpc.map", method=method, rows=rows)

    def send(self, body: bytes) -> Call:
        """Submit a request."""
        call = Call()
        self.calls.append(call)
        call.work = self.submit(body, call.done)
        return call

    def call_off(self, call: Call) -> None:
        """Cancel a call."""
        assert call.work is not None
        self.cancel(call.work)


@asynccontextmanager
async def pool_of(
    size: int = 1,
    *,
    target: str = REGISTRY,
    rules: Rules | None = None,
    care: Care | None = None,
    start_within: float | None = None,
) -> AsyncIterator[Pool]:
    """A pool that runs; at the end no call of it was told twice."""
    reasons: list[str] = []
    pool = Pool(target, size, rules=rules, care=care, gave_up=reasons.append)
    pool.reasons, pool.calls = reasons, []
    try:
        await pool.start(start_within)
        await until(lambda: len(pool.pids) == size)  # a worker may say that it is ready before its pid is told
        yield pool
        assert [call.outcomes for call in pool.calls if len(call.outcomes) > 1] == []
    finally:
        await pool.stop(grace=0)


async def until(condition: Callable[[], Any], within: float = 10.0) -> Any:
    """The first true value of `condition`."""
    end = time.monotonic() + scaled(within)
    while not (value := condition()):
        assert time.monotonic() < end, f"still not so after {within} s"
        await asyncio.sleep(0.01)
    return value


def lines(path: Path) -> list[str]:
    """The lines of a file that may not be there yet."""
    return path.read_text().splitlines() if path.exists() else []
