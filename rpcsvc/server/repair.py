"""When a worker died over a call: what its caller is told, whether it is tried again, and, for a message of many
calls, how the others are computed."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from functools import partial

from ..deadline import Deadline
from ..errors import MemoryLimitExceeded, RemoteError, TimeLimitExceeded, WorkerLost
from ..host.logs import one_line
from ..wire import jsonrpc
from ..wire.many.request import read_body
from ..workers.inside.dispatch import failure
from ..workers.pool import WorkerPool
from ..workers.work import Answer, Lost, Outcome, Served, Work

log = logging.getLogger(__name__)

_LARGE = 64 * 1024


class OneByOne:
    """Computes the calls of one message one by one; the one that took a worker down only if it may be tried again.

    Args:
        pool: who computes.
        requests: the calls, of an idempotent function.
        lost: what became of the message as a whole.
        served: what holds for the function.
        deadline: the message's.
        done: called once with the answers, or with None when nobody waits for them any more.

    Attributes:
        computed: how many of the calls a worker has answered.
    """

    def __init__(
        self,
        pool: WorkerPool,
        requests: list[bytes],
        lost: Lost,
        served: Served,
        *,
        deadline: Deadline | None,
        done: Callable[[list[bytes] | None], None],
    ) -> None:
        self.computed = 0
        self._pool = pool
        self._requests = requests
        self._served = served
        self._deadline = deadline
        self._done = done
        self._answers: dict[int, bytes] = {}
        self._attempts: Counter[int] = Counter()
        self._works: dict[int, Work] = {}
        self._is_over = False
        for index in range(len(requests)):
            if index == lost.item:
                self._lost(index, lost)
            else:
                self._submit(index)

    def cancel(self) -> None:
        """Stop what is not computed yet."""
        for work in list(self._works.values()):
            self._pool.cancel(work)

    def _submit(self, index: int) -> None:
        if not self._is_over:
            self._works[index] = self._pool.submit(self._requests[index], partial(self._ended, index), self._deadline)

    def _ended(self, index: int, outcome: Outcome) -> None:
        match outcome:
            case Answer(body):
                self.computed += 1
                self._answered(index, body)
            case Lost():
                self._lost(index, outcome)
            case _:
                self._end(None)

    def _lost(self, index: int, lost: Lost) -> None:
        self._attempts[index] += lost.running
        if may_try_again(lost, self._attempts[index], self._served):
            self._submit(index)
        else:
            self._answered(index, lost_answer(self._requests[index], lost, self._served))

    def _answered(self, index: int, answer: bytes | None) -> None:
        assert answer is not None, "these requests are no notifications"
        self._answers[index] = answer
        if len(self._answers) == len(self._requests):
            self._end([self._answers[place] for place in range(len(self._requests))])

    def _end(self, answers: list[bytes] | None) -> None:
        if not self._is_over:
            self._is_over = True
            self._done(answers)


def may_try_again(lost: Lost, attempts: int, served: Served) -> bool:
    """Whether a call is computed again, after so many attempts over which workers died.

    One that had been computed, and only its answer was lost, took no worker down. One whose time was up would take as
    long again.
    """
    if not lost.running:
        return served.idempotent
    return served.idempotent and attempts < served.max_attempts and not lost.over_time


def lost_answer(body: bytes, lost: Lost, served: Served) -> bytes | None:
    """The response to a request whose worker ended, which the log tells of."""
    error = lost_error(lost, served)
    log.warning("%s failed: %s (%s, after %.3g s)", called(body), error, lost.exit, lost.seconds)
    return failure(body, error)


def called(body: bytes) -> str:
    """What a request calls, in words for the log. A large one is not looked into for that."""
    if len(body) > _LARGE:
        return f"a call of {len(body)} bytes"
    message = jsonrpc.parse(body)
    if isinstance(message, jsonrpc.Batch):
        return f"a batch of {len(message.members)} calls"
    if not isinstance(message, jsonrpc.Request):
        return "a call"
    asked = read_body(body)
    if asked is None:
        return one_line(f"call {message.id} of {message.method}")
    if asked.count > 1:
        return one_line(f"call {message.id}, which is {asked.count} calls of {asked.method},")
    return one_line(f"call {asked.ids[0] if asked.ids else message.id} of {asked.method}")


def lost_error(lost: Lost, served: Served) -> RemoteError:
    """What the caller of a call gets whose worker ended.

    Args:
        lost: how that came.
        served: what holds for the function.
    """
    if lost.over_time:
        if served.time_limit is None:  # one of several functions, with different limits
            return TimeLimitExceeded("the call ran longer than its time limit, and its worker was killed")
        sentence = f"the call ran longer than its time limit of {served.time_limit:g} s, and its worker was killed"
        return TimeLimitExceeded(sentence, data={"seconds": served.time_limit, "soft": False})
    if lost.over_memory is not None:
        limit, used = lost.over_memory.limit, lost.over_memory.used
        sentence = f"the call took {used} bytes of memory, more than its limit of {limit}, and its worker was killed"
        return MemoryLimitExceeded(sentence, data={"limit": limit, "used": used})
    data = {"exit_code": lost.exit.exit_code, "signal": lost.exit.signal_number}
    return WorkerLost(f"{lost.exit} while it computed this call", data=data)
