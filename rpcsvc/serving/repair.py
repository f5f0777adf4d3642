"""A message of many calls whose worker died: the one that was running pays, the others are computed."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from ..dispatch import failure
from ..errors import MemoryLimitExceeded, RemoteError, TimeLimitExceeded, WorkerLost
from ..workers.handle import Answer, Lost, Outcome
from ..workers.pool import WorkerPool


class OneByOne:
    """Computes the calls of one message one by one, but for the one that took a worker down."""

    def __init__(
        self,
        pool: WorkerPool,
        requests: list[bytes],
        culprit: int,
        error: RemoteError,
        done: Callable[[list[bytes]], None],
    ) -> None:
        self._requests = requests
        self._answers: dict[int, bytes] = {}
        self._done = done
        for index, request in enumerate(requests):
            if index != culprit:
                pool.submit(request, partial(self._ended, index))
        self._answered(culprit, failure(requests[culprit], error))

    def _ended(self, index: int, outcome: Outcome) -> None:
        match outcome:
            case Answer(body):
                self._answered(index, body)
            case Lost():
                self._answered(index, failure(self._requests[index], lost_error(outcome)))

    def _answered(self, index: int, answer: bytes | None) -> None:
        assert answer is not None, "these requests are no notifications"
        self._answers[index] = answer
        if len(self._answers) == len(self._requests):
            self._done([self._answers[place] for place in range(len(self._requests))])


def lost_error(lost: Lost) -> RemoteError:
    """What the caller of a call gets whose worker ended."""
    if lost.over_time:
        return TimeLimitExceeded("the call ran longer than its time limit, and its worker was killed")
    if lost.over_memory is not None:
        limit, used = lost.over_memory.limit, lost.over_memory.used
        sentence = f"the call took {used} bytes of memory, more than its limit of {limit}, and its worker was killed"
        return MemoryLimitExceeded(sentence, data={"limit": limit, "used": used})
    data = {"exit_code": lost.exit.exit_code, "signal": lost.exit.signal_number}
    return WorkerLost(f"{lost.exit} while it computed this call", data=data)
