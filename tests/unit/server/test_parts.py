"""The calls of one message whose worker died, computed one by one, until they are one answer again."""

from __future__ import annotations

import pytest
from mapped import map_body
from support.served import ANSWER_LOST, EXIT, FUNCTIONS, Server, replied

from rpcsvc.errors import CallCancelled, WorkerLost
from rpcsvc.server.asked import Asked
from rpcsvc.server.engine import State
from rpcsvc.wire import jsonrpc
from rpcsvc.wire.many.answer import MapAnswer, read_answer
from rpcsvc.wire.names import MAP
from rpcsvc.workers.work import Answer, Cancelled, Expired, Lost, Outcome

DIED = Lost(EXIT, running=True, item=1)
ALONE = Lost(EXIT, running=True, item=0)


def answer(value: object) -> Answer:
    return Answer(jsonrpc.encode_result("x", value), 1)


def apart(*, method: str = "f", ids: bool = False, expiration: str | None = None) -> tuple[Server, list[bytes]]:
    """A message of three calls, taken apart because its worker died over the second."""
    server = Server()
    params = {"ids": ["a", "b", "c"]} if ids else {}
    body = map_body(method=method, rows=[[0], [1], [2]], **params)
    server.deliver(body, kind=MAP, expiration=expiration)
    server.workers.end(DIED)
    assert server.state() is State.APART
    assert server.counts.lost == 1
    return server, list(Asked.read(body, FUNCTIONS).requests)


def joined(server: Server) -> MapAnswer:
    reply, ack = server.log
    assert ack[0] == "ack"
    return read_answer(replied(reply), 3)


def test_every_call_but_the_culprit_is_computed_and_the_answers_are_one() -> None:
    server, requests = apart()
    assert [work.body for work in server.workers.open] == [requests[0], requests[2]]
    assert "2 calls" not in repr(server.message().parts)
    assert "3 calls" in repr(server.message().parts)
    server.workers.end(answer("c"), requests[2])
    assert server.log == []
    server.workers.end(answer("a"), requests[0])
    whole = joined(server)
    assert whole.results == ["a", None, "c"]
    assert type(whole.errors[1]) is WorkerLost
    assert server.counts.answered == 2, "only what a worker answered counts"


def test_calls_have_the_deadline_of_the_message() -> None:
    server, _ = apart(expiration="5000")
    assert {work.deadline for work in server.workers.open} == {server.message().deadline}


def test_the_culprit_has_as_many_attempts_as_its_function_and_the_others_too() -> None:
    server, requests = apart(method="twice")
    server.workers.end(ALONE, requests[1])
    server.workers.end(ANSWER_LOST, requests[0])
    server.workers.end(ALONE, requests[0])
    server.workers.end(answer("a"), requests[0])
    server.workers.end(answer("c"), requests[2])
    assert [work.body for work in server.workers.works[1:]] == [*requests, requests[0], requests[0]]
    assert joined(server).results == ["a", None, "c"]


def test_if_each_call_takes_its_worker_down_none_was_computed() -> None:
    server, requests = apart()
    server.workers.end(ALONE, requests[0])
    server.workers.end(ALONE, requests[2])
    assert set(joined(server).errors) == {0, 1, 2}
    assert server.counts.answered == 0


@pytest.mark.parametrize("outcome", [Expired(), Cancelled()])
def test_when_nobody_waits_any_more_there_is_one_end_and_no_answer(outcome: Outcome) -> None:
    server, requests = apart(method="twice")
    server.workers.end(outcome, requests[0])
    assert [what for what, *_ in server.log] == ["ack"]
    server.workers.end(ALONE, requests[1])
    server.workers.end(answer("c"), requests[2])
    assert server.log == []
    assert server.workers.open == [], "nothing is tried again"


def test_who_gives_the_message_up_stops_all_that_is_not_computed() -> None:
    server, requests = apart()
    server.workers.end(answer("a"), requests[0])
    server.give_up("7")
    assert [what for what, *_ in server.log] == ["ack"]
    assert server.workers.open == []
    assert server.counts.cancelled == 1


def test_an_orphan_that_was_taken_apart_is_answered_where_it_comes_again() -> None:
    server, requests = apart()
    body = server.workers.works[0].body
    server.reconnect()
    server.workers.end(answer("a"), requests[0])
    server.deliver(body, kind=MAP, redelivered=True)
    assert server.state() is State.APART
    server.workers.end(answer("c"), requests[2])
    assert joined(server).results == ["a", None, "c"]


def test_an_orphan_that_comes_apart_is_kept_as_one_answer() -> None:
    server = Server()
    body = map_body(rows=[[0], [1]])
    server.deliver(body, kind=MAP)
    server.reconnect()
    server.workers.end(Lost(EXIT, running=True, item=0))
    assert server.state() is State.ORPHAN_APART
    server.workers.end(answer("b"))
    server.deliver(body, kind=MAP, redelivered=True)
    reply, _ = server.log
    assert read_answer(replied(reply), 2).results == [None, "b"]


# ---- calls with callers of their own


def spread() -> tuple[Server, list[bytes]]:
    """A message of three calls that travel together, of which the second takes long."""
    server = Server()
    body = map_body(rows=[[0], [1], [2]], ids=["a", "b", "c"])
    server.deliver(body, kind=MAP, expiration="5000")
    server.workers.running[server.workers.works[0]] = 1
    server.wait(0.05)
    return server, [body, *Asked.read(body, FUNCTIONS).requests]


def test_a_call_that_was_given_up_before_is_not_computed_alone() -> None:
    server = Server()
    server.give_up("a")
    body = map_body(rows=[[0], [1], [2]], ids=["a", "b", "c"])
    server.deliver(body, kind=MAP)
    server.workers.running[server.workers.works[0]] = 1
    server.wait(0.05)
    assert len(server.workers.works) == 2


def test_a_call_that_is_given_up_by_its_own_id_is_stopped_and_not_answered() -> None:
    server, (body, *requests) = spread()
    server.give_up("a")
    assert [work.body for work in server.workers.open] == [body, requests[2]]
    assert server.log == []


def test_one_whose_message_was_answered_first_is_stopped_when_its_time_has_passed() -> None:
    server, (body, *_) = spread()
    server.workers.end(Answer(b"all", 3), body)
    server.wait(7)
    assert server.workers.open == []
    assert server.engine.register.is_empty


def test_of_two_calls_of_one_id_the_end_of_the_first_leaves_the_second() -> None:
    server, (_, *requests) = spread()
    first = server.engine.register.calls["q", "a"]
    body = map_body(rows=[[0], [1], [2]], ids=["a", "b", "c"], columns=None)
    server.deliver(body + b" ", call_id="8", kind=MAP)
    server.workers.running[server.workers.works[-1]] = 1
    server.wait(0.05)
    second = server.engine.register.calls["q", "a"]
    assert second is not first
    server.workers.end(answer("a"), requests[0])
    assert server.engine.register.calls["q", "a"] is second


def test_a_call_that_dies_alone_is_told_or_tried_again_and_the_message_goes_on() -> None:
    server, (body, *requests) = spread()
    server.workers.end(ANSWER_LOST, requests[0])
    server.workers.end(ALONE, requests[0])
    reply = server.log[0]
    assert reply[:3] == ("reply", "q", "a")
    with pytest.raises(WorkerLost):
        replied(reply)
    assert [work.body for work in server.workers.open] == [body, requests[2]]


def test_without_a_session_its_answer_comes_with_the_message() -> None:
    server, (_, *requests) = spread()
    server.session.lose()
    server.workers.end(answer("a"), requests[0])
    assert server.log == []


def test_those_that_are_under_way_are_not_computed_again_when_the_message_dies() -> None:
    server, (body, *requests) = spread()
    server.workers.end(answer("c"), requests[2])
    server.workers.end(Lost(EXIT, running=True, item=1), body)
    assert [work.body for work in server.workers.open] == [requests[0], requests[2]], "what came of c is not known"
    server.workers.end(answer("a"), requests[0])
    server.workers.end(answer("c"), requests[2])
    *alone, reply, _ = server.log
    assert [call_id for _, _, call_id, _ in alone] == ["c", "a"]
    assert read_answer(replied(reply), 3).results == ["a", None, "c"]


def test_one_that_took_the_message_down_has_had_an_attempt_there() -> None:
    server, (body, *requests) = spread()
    server.workers.end(Lost(EXIT, running=True, item=0), body)
    server.workers.end(ANSWER_LOST, requests[0])
    server.workers.end(ALONE, requests[0])
    server.workers.end(answer("b"), requests[1])
    server.workers.end(answer("c"), requests[2])
    assert set(read_answer(replied(server.log[-2]), 3).errors) == {0}


def test_one_that_is_given_up_while_all_are_computed_alone_costs_the_others_nothing() -> None:
    server, (body, *requests) = spread()
    server.workers.end(Lost(EXIT, running=True, item=1), body)
    server.give_up("a")
    server.workers.end(answer("c"), requests[2])
    whole = read_answer(replied(server.log[-2]), 3)
    assert whole.results == [None, None, "c"]
    assert {index: type(error) for index, error in whole.errors.items()} == {0: CallCancelled, 1: WorkerLost}


def test_once_the_message_is_over_no_call_is_tried_again() -> None:
    server, (body, *requests) = spread()
    server.workers.end(Answer(b"all", 3), body)
    server.workers.end(ANSWER_LOST, requests[0])
    server.workers.end(answer("c"), requests[2])
    assert server.workers.open == []
    assert [what for what, *_ in server.log] == ["reply", "ack"]
    assert not server.engine.register.calls
