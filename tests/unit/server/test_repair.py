"""When a call is computed again whose worker died, and how the calls of one message are computed one by one."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import cast

import pytest

from rpcsvc.deadline import Deadline
from rpcsvc.errors import TimeLimitExceeded, WorkerLost
from rpcsvc.server.repair import OneByOne, called, lost_error, may_try_again
from rpcsvc.server.service import ServerCounts, Service
from rpcsvc.wire import jsonrpc
from rpcsvc.workers.pool import WorkerPool
from rpcsvc.workers.work import Answer, Cancelled, Done, Expired, Lost, Outcome, Served, Work, WorkerExit

EXIT = WorkerExit(1, None, 9)
DIED = Lost(EXIT, running=True, item=1)


@pytest.mark.parametrize(
    ("served", "lost", "attempts", "again"),
    [
        (Served(idempotent=True), Lost(EXIT, running=True, item=0), 1, False),
        (Served(idempotent=True, max_attempts=2), Lost(EXIT, running=True, item=0), 1, True),
        (Served(idempotent=True, max_attempts=2), Lost(EXIT, running=True, item=0), 2, False),
        (Served(idempotent=True, max_attempts=2), Lost(EXIT, running=True, item=0, over_time=True), 1, False),
        (Served(idempotent=True), Lost(EXIT, running=False, item=0), 5, True),
        (Served(idempotent=False), Lost(EXIT, running=False, item=0), 0, False),
        (Served(idempotent=False), Lost(EXIT, running=True, item=0), 1, False),
    ],
)
def test_a_call_is_tried_again_if_that_does_no_harm(served: Served, lost: Lost, attempts: int, again: bool) -> None:
    assert may_try_again(lost, attempts, served) is again


@dataclass
class Pool:
    """Work that is done when the test says so."""

    works: list[Work] = field(default_factory=list)

    def submit(self, body: bytes, done: Done, deadline: Deadline | None) -> Work:
        self.works.append(Work(body, done, deadline))
        return self.works[-1]

    def cancel(self, work: Work) -> None:
        if not work.is_over:
            work.end(Cancelled())

    def end(self, body: bytes, outcome: Outcome) -> None:
        (work,) = [work for work in self.works if work.body == body and not work.is_over]
        work.end(outcome)


REQUESTS = [jsonrpc.encode_request(str(n), "f", b"[]") for n in range(3)]
DEADLINE = Deadline.after(10)


def one_by_one(*, max_attempts: int = 1) -> tuple[Pool, OneByOne, list[list[bytes] | None]]:
    pool = Pool()
    ends: list[list[bytes] | None] = []
    served = Served(idempotent=True, max_attempts=max_attempts)
    calls = OneByOne(cast(WorkerPool, pool), REQUESTS, DIED, served, deadline=DEADLINE, done=ends.append)
    return pool, calls, ends


def test_every_call_but_the_culprit_is_computed_with_the_deadline_of_the_message() -> None:
    pool, _, ends = one_by_one()
    assert [work.body for work in pool.works] == [REQUESTS[0], REQUESTS[2]]
    assert {work.deadline for work in pool.works} == {DEADLINE}
    pool.end(REQUESTS[2], Answer(b"c"))
    assert ends == []
    pool.end(REQUESTS[0], Answer(b"a"))
    ((first, culprit, last),) = [end for end in ends if end is not None]
    assert (first, last) == (b"a", b"c")
    with pytest.raises(WorkerLost):
        jsonrpc.decode_response(culprit)


def test_the_culprit_has_as_many_attempts_as_its_function_and_the_others_too() -> None:
    pool, _, ends = one_by_one(max_attempts=2)
    pool.end(REQUESTS[1], DIED)
    pool.end(REQUESTS[0], Lost(EXIT, running=False, item=0))
    pool.end(REQUESTS[0], DIED)
    pool.end(REQUESTS[0], Answer(b"a"))
    pool.end(REQUESTS[2], Answer(b"c"))
    assert [work.body for work in pool.works] == [*REQUESTS, REQUESTS[0], REQUESTS[0]]
    assert len(ends) == 1


def test_only_what_a_worker_answered_counts_as_computed() -> None:
    pool, calls, _ = one_by_one()
    pool.end(REQUESTS[2], Answer(b"c"))
    pool.end(REQUESTS[0], DIED)
    assert calls.computed == 1


@pytest.mark.parametrize(
    ("time_limit", "words", "data"),
    [(0.5, "its time limit of 0.5 s,", {"seconds": 0.5, "soft": False}), (None, "its time limit,", {})],
)
def test_whose_time_was_up_is_told_the_limit_where_one_is_known(
    time_limit: float | None, words: str, data: dict[str, object]
) -> None:
    lost = Lost(EXIT, running=True, item=0, over_time=True)
    error = lost_error(lost, Served(idempotent=True, time_limit=time_limit))
    assert type(error) is TimeLimitExceeded
    assert words in str(error)
    assert error.data == data


@pytest.mark.parametrize(
    ("others", "together"), [({}, None), ({"g": 2.0}, 2.0), ({"g": 2.0, "h": 2.0}, 2.0), ({"g": 2.0, "h": 3.0}, None)]
)
def test_a_batch_has_the_time_limit_that_its_functions_do_not_differ_in(
    others: dict[str, float], together: float | None
) -> None:
    facts = {name: Served(idempotent=True, time_limit=limit) for name, limit in {"f": None, **others}.items()}
    pool = SimpleNamespace(functions=facts)
    service = Service("queue", 1, cast(WorkerPool, pool), ServerCounts(), ())
    batch = b"[" + b",".join(jsonrpc.encode_request("1", name, b"[]") for name in facts) + b"]"
    assert service.served(batch).time_limit == together


@pytest.mark.parametrize("outcome", [Expired(), Cancelled()])
def test_when_nobody_waits_any_more_there_is_one_end_and_no_answer(outcome: Outcome) -> None:
    pool, calls, ends = one_by_one(max_attempts=9)
    pool.end(REQUESTS[0], outcome)
    pool.end(REQUESTS[1], DIED)
    calls.cancel()
    assert ends == [None]
    assert all(work.is_over for work in pool.works)
    assert len(pool.works) == 3, "nothing is tried again"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"jsonrpc":"2.0","id":"7","method":"fib","params":[1]}', "call 7 of fib"),
        (b'{"jsonrpc":"2.0","id":"7","method":"a\\nb","params":[1]}', "call 7 of a\\nb"),
        (b'{"jsonrpc":"2.0","id":"7","method":"rpc.map","params":{"method":"f","rows":[[1]]}}', "call 7 of f"),
        (
            b'{"jsonrpc":"2.0","id":"7","method":"rpc.map","params":{"method":"f","ids":["5"],"rows":[[1]]}}',
            "call 5 of f",
        ),
        (
            b'{"jsonrpc":"2.0","id":"7","method":"rpc.map","params":{"method":"f","rows":[[1],[2]]}}',
            "call 7, which is 2 calls of f,",
        ),
        (b'{"jsonrpc":"2.0","id":"7","method":"rpc.map","params":[]}', "call 7 of rpc.map"),
        (b'[{"jsonrpc":"2.0","id":"7","method":"fib","params":[1]},1]', "a batch of 2 calls"),
        (b"30", "a call"),
        (b"{" + b" " * 70_000 + b"}", "a call of 70002 bytes"),
    ],
    ids=range(9),
)
def test_the_log_names_what_was_called(body: bytes, words: str) -> None:
    assert called(body) == words
