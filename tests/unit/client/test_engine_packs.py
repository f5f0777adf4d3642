"""Calls that share a message, in the engine: what becomes of each, and of the message, when either ends."""

from __future__ import annotations

import math
from typing import Any

import pytest
from support.engines import QUEUE, EngineWorld

from rpcsvc.client.messages import Call, Message, State
from rpcsvc.errors import ClientClosed, ConnectionFailed, ConnectionLost, MethodNotFound, RpcTimeout, WorkerLost
from rpcsvc.wire import jsonrpc


def answer_to(message: Message, *, seconds: float = 1e-6, errors: list[Any] | None = None) -> dict[str, Any]:
    results = [f"result of {call.call_id}" for call in message.calls]
    return {"results": results, "errors": errors or [], "seconds": seconds, "bytes": 100, "alone": False}


def tick(world: EngineWorld, count: int, **options: Any) -> list[Call]:
    """So many calls at one time."""
    calls = [world.submit("f", number, **options) for number in range(count)]
    world.engine.flush()
    return calls


def warmed_up(**options: Any) -> EngineWorld:
    """A world whose calls of `f` travel together, as many as there are."""
    world = EngineWorld(pack=True, **options)
    world.connect(consumers=1)
    for _ in range(8):
        tick(world, 100)
        while world.engine.pending:
            for message in list(world.port.published):
                if message.calls:
                    is_map = len(message.calls) > 1 or message.body
                    world.answer(message.message_id, answer_to(message) if is_map else 1)
            world.pass_time(0.01, shows=(0, 1))
    world.port.published.clear()
    world.port.marks.clear()
    world.port.results.clear()
    world.port.told.clear()
    return world


def packed(count: int = 5, **options: Any) -> tuple[EngineWorld, list[Call], Message]:
    world = warmed_up()
    calls = tick(world, count, **options)
    (message,) = world.port.published
    assert len(message.calls) == count
    assert message.state is State.SENT
    return world, calls, message


def test_the_table_of_calls_has_no_message() -> None:
    world, calls, message = packed()
    assert world.engine.pending == len(calls)
    assert message.message_id not in {call.call_id for call in calls}


def test_calls_of_one_moment_travel_together_and_each_has_its_own_result() -> None:
    world, calls, message = packed()
    assert world.port.gathers == 9
    world.answer(message.message_id, answer_to(message))
    assert world.port.results == {call.call_id: f"result of {call.call_id}" for call in calls}
    world.answer(message.message_id, {})
    assert world.engine.dropped.duplicate == 1


def test_the_first_call_of_a_method_is_measured_under_its_own_id() -> None:
    world = EngineWorld(pack=True)
    world.connect()
    (call,) = tick(world, 1)
    (message,) = world.port.published
    assert (message.message_id, message.method) == (call.call_id, "f")
    assert b'"method":"rpc.map"' in (message.body or b"")
    world.answer(call.call_id, {**answer_to(message), "results": [7]})
    assert world.port.results == {call.call_id: 7}


def test_a_call_that_must_go_alone_does_not_wait_for_the_others() -> None:
    world = EngineWorld(pack=True)
    world.connect()
    world.submit("f", n=1)
    world.submit("rpc.ping")
    world.submit("f", "x" * 40_000)
    assert len(world.port.published) == 3


def test_a_server_that_takes_a_message_apart_answers_each_call_by_its_own_id_and_then_the_message() -> None:
    world, calls, message = packed()
    for call in calls[:-1]:
        world.answer(call.call_id, "alone")
    assert world.port.results == dict.fromkeys([call.call_id for call in calls[:-1]], "alone")
    world.answer(message.message_id, answer_to(message, seconds=2.0))
    assert world.port.results[calls[-1].call_id] == f"result of {calls[-1].call_id}"
    assert world.engine.dropped.duplicate == 0


def test_results_for_calls_that_were_given_up_are_late() -> None:
    world, calls, message = packed()
    world.engine.given_up(calls[0].call_id)
    world.engine.given_up(calls[3].call_id)
    world.answer(message.message_id, answer_to(message))
    assert world.engine.dropped.late == 2


def test_an_error_of_a_call_that_was_answered_already_changes_nothing() -> None:
    world, calls, message = packed(2)
    world.answer(calls[0].call_id, "alone")
    lost = jsonrpc.error_object(WorkerLost("the worker died"))
    world.answer(message.message_id, answer_to(message, errors=[[0, lost], [1, lost]]))
    assert world.port.results == {calls[0].call_id: "alone"}
    assert isinstance(world.port.errors[calls[1].call_id], WorkerLost)


def test_a_message_is_given_up_at_once_when_none_of_its_calls_waits_any_more() -> None:
    world, calls, message = packed()
    for call in calls[:-1]:
        world.engine.given_up(call.call_id)
    world.pass_time(0.02)
    assert [*world.port.told[-1]["amq.gen-1"]] == [call.call_id for call in calls[:-1]]
    world.answer(calls[-1].call_id, "alone")
    world.pass_time(0.02)
    assert [*world.port.told[-1]["amq.gen-1"]] == [message.message_id]
    world.answer(message.message_id, {})
    assert world.engine.dropped.late == 1


def test_a_message_whose_calls_were_all_answered_by_themselves_waits_for_what_it_tells_of_them() -> None:
    world, calls, message = packed()
    for call in calls:
        world.answer(call.call_id, "alone")
    assert (message.state, world.engine.pending) == (State.SENT, 0)
    world.pass_time(31.0, shows=(0, 1))
    assert message.state is State.DONE
    world.answer(message.message_id, {})
    assert world.engine.dropped.late == 1


def test_such_a_message_is_forgotten_with_its_connection() -> None:
    world, calls, message = packed()
    for call in calls:
        world.answer(call.call_id, "alone")
    world.engine.lost(ConnectionLost("gone"))
    assert message.state is State.DONE
    assert world.port.opens == 0


def test_each_call_of_a_message_times_out_in_its_own_name() -> None:
    world, calls, message = packed(timeout=2.0)
    world.pass_time(2.1, shows=(0, 1))
    for call in calls:
        error = world.port.errors[call.call_id]
        assert isinstance(error, RpcTimeout)
        assert (error.method, error.call_id) == ("f", call.call_id)
    world.pass_time(0.1)
    told = {each for message in world.port.told for each in message["amq.gen-1"]}
    assert told == {message.message_id, *(call.call_id for call in calls)}


def test_a_call_that_outlives_its_message_by_a_moment_is_answered_or_sent_again() -> None:
    world = warmed_up()
    world.clock.now = math.ceil(world.clock.now / 0.05) * 0.05 + 0.001  # those of 50 ms travel together
    first = world.submit("f", 1, timeout=2.0)
    world.clock.now += 0.03
    later = [world.submit("f", 2, timeout=2.0) for _ in range(2)]
    world.engine.flush()
    (message,) = world.port.published
    assert message.calls == [first, *later]
    world.clock.now += 1.98
    world.engine.tick()
    assert list(world.port.errors) == [first.call_id]
    assert message.state is State.DONE
    world.answer(later[0].call_id, "alone")
    assert world.port.results == {later[0].call_id: "alone"}
    world.engine.lost(ConnectionLost("gone"))
    assert list(world.route.held) == [later[1].call_id]


def test_when_a_connection_goes_the_calls_of_a_message_go_again_each_by_itself_and_marked() -> None:
    world, calls, message = packed(3)
    world.engine.given_up(calls[0].call_id)
    gathered = world.submit("f", 9)
    world.engine.lost(ConnectionLost("gone"))
    world.connect(consumers=1)
    world.engine.flush()
    assert world.port.ids[1:] == [calls[1].call_id, calls[2].call_id, gathered.call_id]
    assert world.port.marks[1:] == [True, True, False]
    world.answer(message.message_id, {})
    assert world.engine.dropped.late == 1


def test_when_the_queue_was_deleted_a_message_goes_again_as_it_went() -> None:
    world, calls, message = packed(3)
    world.engine.queue_deleted(QUEUE)
    world.engine.observed(QUEUE, 0, 1)
    assert world.port.published == [message, message]
    assert world.port.marks == [False, True]
    world.answer(message.message_id, answer_to(message))
    assert len(world.port.results) == len(calls)


def test_a_message_that_came_back_waits_and_goes_again_as_it_went() -> None:
    world, calls, message = packed(3)
    world.engine.returned(message.message_id, QUEUE)
    assert message.state is State.HELD
    assert not any(call.may_have_run for call in calls)
    world.engine.observed(QUEUE, 0, 1)
    assert world.port.marks == [False, False]


def test_a_held_message_that_nobody_waits_for_is_not_sent() -> None:
    world, calls, message = packed(3)
    world.engine.returned(message.message_id, QUEUE)
    for call in calls:
        world.engine.given_up(call.call_id)
    world.engine.observed(QUEUE, 0, 1)
    assert world.port.published == [message]
    world.pass_time(1.0, shows=(0, 1))
    assert world.port.told == []


def test_where_no_connection_is_to_be_had_a_held_message_ends_for_those_that_wait() -> None:
    world, calls, message = packed(3)
    world.engine.returned(message.message_id, QUEUE)
    world.engine.given_up(calls[0].call_id)
    world.engine.unreachable(ConnectionFailed("nobody there"))
    assert [*world.port.errors] == [call.call_id for call in calls[1:]]
    assert not world.route.held


def test_a_large_message_of_several_waits_for_its_turn() -> None:
    world = warmed_up()
    world.port.surely = 100
    calls = tick(world, 10)
    (message,) = world.port.in_turn
    assert [call.body for call in calls] == [None] * 10
    assert world.engine.departs(message)
    world.answer(message.message_id, answer_to(message))
    assert len(world.port.results) == 10


def test_a_call_that_is_gathered_may_be_answered_all_the_same() -> None:
    world = warmed_up()
    call = world.submit("f", 1)
    world.answer(call.call_id, "from whom?")
    world.engine.flush()
    assert world.port.results == {call.call_id: "from whom?"}
    assert world.port.published == []


def test_calls_that_are_gathered_while_the_queue_is_deleted_go_once_it_is_there_again() -> None:
    world = warmed_up()
    calls = [world.submit("f", number) for number in range(3)]
    world.engine.queue_deleted(QUEUE)
    world.engine.flush()
    assert world.port.published == []
    world.engine.observed(QUEUE, 0, 1)
    assert [list(message.calls) for message in world.port.published] == [calls]
    assert world.port.marks == [False]


def test_calls_gathered_while_nobody_can_take_them_are_held_and_sent_later() -> None:
    world = warmed_up()
    calls = [world.submit("f", number) for number in range(4)]
    world.engine.blocked()
    world.engine.flush()
    assert world.port.published == []
    world.engine.free()
    (message,) = world.port.published
    assert list(message.calls) == calls


def test_calls_that_were_given_up_while_they_were_gathered_are_not_sent() -> None:
    world = warmed_up()
    calls = [world.submit("f", number) for number in range(4)]
    for call in calls:
        world.engine.given_up(call.call_id)
    world.engine.flush()
    assert world.port.published == []


def test_where_the_servers_know_no_shared_messages_the_calls_go_alone_and_unmarked() -> None:
    world = EngineWorld(pack=True)
    world.connect()
    (call,) = tick(world, 1)
    world.engine.delivered(call.call_id, jsonrpc.encode_error(call.call_id, MethodNotFound("Method not found")))
    assert world.port.ids == [call.call_id] * 2
    assert world.port.marks == [False, False], "nothing has run"
    assert not world.route.understanding.is_given
    world.answer(call.call_id, 5)
    assert world.port.results == {call.call_id: 5}


def test_a_call_that_ended_is_not_sent_alone() -> None:
    world, calls, message = packed(3)
    world.engine.given_up(calls[0].call_id)
    world.engine.delivered(message.message_id, jsonrpc.encode_error("1", MethodNotFound("no", data={"method": "f"})))
    assert world.port.ids[1:] == [calls[1].call_id, calls[2].call_id]


@pytest.mark.parametrize("held", [False, True])
def test_closing_ends_the_calls_of_a_message_and_gives_it_up(held: bool) -> None:
    world, calls, message = packed(3)
    if held:
        world.engine.queue_deleted(QUEUE)
    world.engine.close()
    assert [type(world.port.errors[call.call_id]) for call in calls] == [ClientClosed] * 3
    (told,) = world.port.told
    gone = [] if held else [message.message_id]
    assert [*told["amq.gen-1"]] == [*gone, *(call.call_id for call in calls)]
