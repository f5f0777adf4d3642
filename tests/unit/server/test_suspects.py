"""What is lost beside others in one worker: it runs again alone, and pays only for what it does then."""

from __future__ import annotations

import pytest
from support.cast import CastServer
from support.served import EXIT, Server, replied, request

from rpcsvc.errors import MemoryLimitExceeded, RpcError, WorkerLost
from rpcsvc.server.message import State
from rpcsvc.wire import jsonrpc
from rpcsvc.wire.many.request import params
from rpcsvc.wire.names import MAP
from rpcsvc.workers.job import Context
from rpcsvc.workers.work import Answer, Lost, MemoryUse

BESIDE = Lost(EXIT, running=True, item=0, beside=3)
BYSTANDER = Lost(EXIT, running=False, item=0, beside=3)
ALONE = Lost(EXIT, running=True, item=0)


def error_of(server: Server) -> RpcError:
    reply, ack = server.log
    assert ack[0] == "ack"
    with pytest.raises(RpcError) as caught:
        jsonrpc.decode_response(replied(reply))
    return caught.value


def alone(server: Server) -> list[bool]:
    """Of each work so far, whether it runs alone."""
    return [work.is_suspect for work in server.workers.works]


def test_a_suspect_runs_again_alone_and_is_answered_as_any_other() -> None:
    server = Server()
    server.deliver()
    server.workers.end(BESIDE)
    assert (alone(server), server.state(), server.log) == ([False, True], State.WORKING, [])
    context = server.workers.works[-1].context
    assert context is not None
    assert Context.read(context).attempt == 2
    server.workers.end(Answer(b"computed", 1))
    assert [what for what, *_ in server.log] == ["reply", "ack"]


def test_one_that_takes_its_worker_down_alone_is_told_so() -> None:
    server = Server()
    server.deliver()
    server.workers.end(BESIDE)
    server.workers.end(ALONE)
    assert type(error_of(server)) is WorkerLost
    assert alone(server) == [False, True]


def test_attempts_are_runs_alone() -> None:
    server = Server()
    server.deliver(request(method="twice"))
    server.workers.end(BESIDE)
    server.workers.end(ALONE)
    assert alone(server) == [False, True, True]
    server.workers.end(ALONE)
    assert type(error_of(server)) is WorkerLost


def test_one_that_must_not_run_twice_is_told_at_once_how_many_were_beside_it() -> None:
    server = Server()
    server.deliver(request(method="once"))
    server.workers.end(BESIDE)
    assert "and 3 beside it" in str(error_of(server))
    assert alone(server) == [False]


def test_one_that_must_not_run_twice_is_told_of_the_memory_of_all() -> None:
    server = Server()
    server.deliver(request(method="once"))
    server.workers.end(Lost(EXIT, running=True, item=0, over_memory=MemoryUse(10, 20), beside=3))
    error = error_of(server)
    assert type(error) is MemoryLimitExceeded
    assert "the worker of the call and 3 beside it took 20 bytes" in str(error)


def test_one_beside_what_its_worker_was_killed_for_runs_again_beside_others_and_the_second_time_alone() -> None:
    server = Server()
    server.deliver()
    for _ in range(3):
        server.workers.end(BYSTANDER)
    assert alone(server) == [False, False, True, True]
    server.workers.end(ALONE)
    assert type(error_of(server)) is WorkerLost


def test_a_suspect_of_a_lost_session_is_left_to_whoever_gets_it_next() -> None:
    server = Server()
    server.deliver()
    server.reconnect()
    server.workers.end(BESIDE)
    assert (server.message_is_over(), alone(server)) == (True, [False])


def test_a_message_of_many_runs_alone_as_a_whole_before_one_of_its_calls_pays() -> None:
    server = Server()
    body = jsonrpc.encode_request("7", MAP, params("f", [b"[0]", b"[1]"], []))
    server.deliver(body, kind=MAP)
    server.workers.end(Lost(EXIT, running=True, item=1, beside=3))
    assert (alone(server), server.state()) == ([False, True], State.WORKING)
    server.workers.end(Lost(EXIT, running=True, item=1))
    assert server.state() is State.APART
    assert [work.is_suspect for work in server.workers.open] == [False]
    server.workers.end(BESIDE)
    assert [work.is_suspect for work in server.workers.open] == [True]


def test_a_cast_that_was_lost_beside_others_runs_again_alone_and_has_used_no_attempt() -> None:
    server = CastServer()
    server.come()
    server.workers.end(BESIDE)
    first, second = server.workers.works
    assert (second.is_suspect, second.is_cast, second.context) == (True, True, first.context)
    assert server.casting.log == []
    server.workers.end(ALONE)
    assert server.casting.log == [("copy", 1)]


def test_a_cast_that_must_not_run_twice_is_a_letter_at_once() -> None:
    server = CastServer()
    server.come("once")
    server.workers.end(BESIDE)
    assert server.casting.log == [("letter",)]
    assert len(server.workers.works) == 1
