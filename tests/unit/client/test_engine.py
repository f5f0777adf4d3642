"""The life of a call at its client, event by event, without a connection and on a clock that the test turns."""

from __future__ import annotations

import math
from typing import Any

import pytest
from support.engines import QUEUE, EngineWorld, connected, states

from rpcsvc.client.engine import LIFE
from rpcsvc.client.messages import Event, Order, State
from rpcsvc.client.orders import MOST_LOST
from rpcsvc.errors import (
    ClientClosed,
    ConnectionFailed,
    ConnectionLost,
    EncodingError,
    FunctionRaised,
    NoServer,
    RpcError,
    RpcTimeout,
)
from rpcsvc.wire import jsonrpc

# ---- the table --------------------------------------------------------------------------------------------------


def test_every_state_has_a_way_to_its_end_and_no_way_back_from_it() -> None:
    ways = {state: {after for (before, _), (after, _) in LIFE.items() if before is state} for state in State}

    assert ways[State.DONE] == set()
    assert all(State.DONE in after for state, after in ways.items() if state is not State.DONE)
    assert ways[State.HELD] >= {State.LEAVING}
    assert ways[State.SENT] >= {State.HELD}


def test_whatever_may_come_of_a_message_that_waits_stands_in_the_table() -> None:
    for state in State:
        if state is not State.DONE:
            for event in (Event.ANSWERED, Event.RETURNED, Event.QUEUE_GONE, Event.LOST, Event.ABANDONED):
                assert (state, event) in LIFE


def test_every_order_is_given_by_the_table_and_every_event_is_in_it() -> None:
    assert {order for _, order in LIFE.values()} == set(Order)
    assert {event for _, event in LIFE} == set(Event)


# ---- one call ---------------------------------------------------------------------------------------------------


def test_a_call_is_published_and_answered() -> None:
    world = connected()
    call = world.submit("f", 1)
    assert states(world) == [State.SENT]
    assert call.may_have_run
    assert world.engine.pending == 1

    world.answer(call.call_id, 41)
    assert world.port.results == {call.call_id: 41}
    assert world.engine.pending == 0
    assert world.port.published[0].calls == (), "a call and its message would keep each other alive"


def test_an_error_is_the_outcome_of_its_call() -> None:
    world = connected()
    call = world.submit("f", 1)
    world.engine.delivered(call.call_id, jsonrpc.encode_error(call.call_id, FunctionRaised("no")))

    assert isinstance(world.port.errors[call.call_id], FunctionRaised)


def test_a_reply_for_nobody_is_counted_by_what_it_is() -> None:
    world = connected()
    call, late = world.submit("f", 1), world.submit("f", 1)
    world.answer(call.call_id, 1)
    world.engine.given_up(late.call_id)
    for message_id in (call.call_id, late.call_id, "stranger", None):
        world.engine.delivered(message_id, b"")

    dropped = world.engine.dropped
    assert (dropped.duplicate, dropped.late, dropped.unknown) == (1, 1, 2)


def test_a_call_that_is_not_answered_in_time_ends_with_a_time_out_and_servers_are_told() -> None:
    world = connected()
    call = world.submit("f", 1, timeout=2.0)
    world.pass_time(1.9, shows=(0, 2))
    assert world.engine.pending == 1
    world.pass_time(0.2, shows=(0, 2))

    error = world.port.errors[call.call_id]
    assert isinstance(error, RpcTimeout)
    assert (error.method, error.timeout, error.call_id) == ("f", 2.0, call.call_id)
    assert world.port.told == [{"amq.gen-1": {call.call_id: 0.0}}]


def test_a_call_may_wait_for_as_long_as_it_takes() -> None:
    world = connected()
    call = world.submit("f", 1, timeout=math.inf)
    world.pass_time(1e4, shows=(0, 2))
    assert world.port.seconds == [math.inf]
    world.answer(call.call_id, 1)
    assert world.port.results == {call.call_id: 1}


def test_a_call_that_is_given_up_ends_nobody_and_servers_are_told_once_of_all_of_a_moment() -> None:
    world = connected()
    calls = [world.submit("f", number) for number in range(3)]
    for call in calls[:2]:
        world.engine.given_up(call.call_id)
    world.engine.given_up("never made")
    world.pass_time(0.02)

    assert world.port.told == [{"amq.gen-1": {call.call_id: pytest.approx(29.99) for call in calls[:2]}}]
    assert world.port.errors == {}
    assert world.engine.pending == 1


def test_a_call_that_was_never_sent_is_told_to_nobody() -> None:
    world = EngineWorld()
    call = world.submit("f", 1)
    world.engine.given_up(call.call_id)
    world.connect()
    world.pass_time(1.0)

    assert world.port.published == []
    assert world.port.told == []
    assert not world.route.held


def test_how_long_a_call_may_wait_in_the_queue_follows_from_what_its_method_took() -> None:
    world = connected()
    first = world.submit("f", 1)
    world.pass_time(0.1)
    world.answer(first.call_id, 1)
    world.submit("f", 1)
    assert world.port.seconds == [30.0, pytest.approx(29.8)]


# ---- until it can be sent ---------------------------------------------------------------------------------------


def test_a_call_waits_for_a_connection_and_for_a_server_and_calls_keep_their_order() -> None:
    world = EngineWorld()
    calls = [world.submit("f", number) for number in range(3)]
    assert (world.port.opens, world.port.observes) == (1, 0)

    world.engine.opened("amq.gen-1")
    assert (world.port.published, world.port.observes) == ([], 1)
    late = world.submit("f", 3)
    world.engine.observed(QUEUE, 0, 1)
    assert world.port.ids == [call.call_id for call in (*calls, late)]
    assert world.port.observes == 1


def test_where_no_connection_is_to_be_had_what_waits_ends_and_the_next_call_asks_again() -> None:
    world = EngineWorld()
    first, second = world.submit("f", 1), world.submit("f", 2)
    refused = ConnectionFailed("nobody there")
    world.engine.unreachable(refused)
    assert [type(world.port.errors[call.call_id]) for call in (first, second)] == [ConnectionFailed] * 2
    assert world.port.errors[first.call_id] is not world.port.errors[second.call_id], "each is raised by itself"
    world.submit("f", 3)
    assert world.port.opens == 2


def test_a_call_that_may_have_run_ends_with_a_lost_connection_where_none_is_to_be_had_again() -> None:
    world = connected()
    call = world.submit("f", 1)
    world.engine.lost(ConnectionLost("gone"))
    world.engine.unreachable(ConnectionFailed("nobody there"))
    error = world.port.errors[call.call_id]
    assert type(error) is ConnectionLost
    assert "not to be had again: nobody there" in str(error)


def test_while_the_connection_takes_nothing_calls_wait_and_so_does_what_servers_are_told() -> None:
    world = connected()
    sent = world.submit("f", 0)
    world.engine.blocked()
    held = world.submit("f", 1)
    world.engine.given_up(sent.call_id)
    world.pass_time(3.0)
    assert world.port.ids == [sent.call_id]
    assert (world.port.told, world.port.observes) == ([], 0)

    world.engine.free()
    assert world.port.observes == 1, "the server was seen too long ago"
    world.engine.observed(QUEUE, 0, 1)
    assert world.port.ids == [sent.call_id, held.call_id]
    world.pass_time(0.02)
    assert [list(each["amq.gen-1"]) for each in world.port.told] == [[sent.call_id]]


def test_a_connection_that_takes_no_more_in_the_midst_leaves_the_rest_for_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = EngineWorld()
    for number in range(5):
        world.submit("f", number)
    publish = world.port.publish

    def fill(*message: Any) -> bool:
        if len(world.port.published) == 2:
            world.engine.blocked()
        return publish(*message)

    monkeypatch.setattr(world.port, "publish", fill)
    world.connect()
    assert (len(world.port.published), len(world.route.held)) == (3, 2)
    world.engine.free()
    assert len(world.port.published) == 5


def test_a_channel_that_is_lost_already_takes_nothing_and_counts_for_nothing() -> None:
    world = connected()
    world.port.broken = ConnectionLost("gone")
    call = world.submit("f", 1)
    assert (call.may_have_run, call.connections_lost) == (False, 0)
    world.port.broken = None
    world.engine.lost(ConnectionLost("gone"))
    assert call.connections_lost == 0
    world.connect()
    assert world.port.marks == [False]


def test_what_cannot_be_written_at_all_ends_at_once() -> None:
    world = connected()
    world.port.broken = EncodingError("no")
    call = world.submit("f", 1)
    assert isinstance(world.port.errors[call.call_id], EncodingError)


def test_a_call_whose_time_is_up_when_it_could_be_sent_is_not() -> None:
    world = EngineWorld()
    call = world.submit("f", 1, timeout=1.0)
    world.clock.now += 1.0
    world.connect()
    assert world.port.published == []
    world.engine.tick()
    assert isinstance(world.port.errors[call.call_id], RpcTimeout)
    world.pass_time(1.0)
    assert world.port.told == []


# ---- the end ----------------------------------------------------------------------------------------------------


def test_closing_ends_every_call_and_tells_servers_of_those_that_were_sent() -> None:
    world = connected()
    sent = world.submit("f", 1)
    world.engine.blocked()
    held = world.submit("f", 2)
    world.engine.free()
    world.port.published.clear()
    world.clock.now += 2.0
    waits = world.submit("f", 3)
    world.engine.close()
    late = world.submit("f", 4)

    assert {type(error) for error in world.port.errors.values()} == {ClientClosed}
    assert set(world.port.errors) == {call.call_id for call in (sent, held, waits, late)}
    assert [list(each["amq.gen-1"]) for each in world.port.told] == [[sent.call_id, held.call_id]]
    assert repr(world.engine) == "closed, 0 pending"
    world.answer(sent.call_id, 1)
    world.pass_time(100.0)
    world.engine.lost(ConnectionLost("gone"))
    assert world.port.opens == 0


def test_it_says_what_it_has() -> None:
    world = EngineWorld()
    world.submit("f", 1)
    assert repr(world.engine) == "not connected, 1 pending"
    assert repr(world.route) == "<Route to 'q': 1 held, <Evidence: nothing is known>>"
    world.connect()
    assert repr(world.engine) == "connected, 1 pending"
    assert repr(world.port.published[0]) == "<Message 1: sent, 1 of 1 calls wait>"


# ---- what comes later: the seams --------------------------------------------------------------------------------


def test_two_queues_share_a_connection_and_know_nothing_of_each_other_s_servers() -> None:
    world = EngineWorld(others=["other"])
    world.connect()
    here, there = world.submit("f", 1), world.submit("f", 2, queue="other")
    assert world.port.ids == [here.call_id]
    world.engine.queue_missing("other")
    world.pass_time(0.5, shows=(1, 0))
    assert isinstance(world.port.errors[there.call_id], NoServer)
    world.engine.queue_deleted("other")
    world.engine.flush()
    assert world.port.ids == [here.call_id]
    world.answer(here.call_id, 1)
    assert world.port.results == {here.call_id: 1}


def test_parts_of_a_result_say_that_a_server_is_there_and_end_nothing() -> None:
    world = connected()
    call = world.submit("f", 1)
    world.clock.now += 0.9
    world.engine.part(call.call_id, 0, b"")
    world.clock.now += 0.9
    world.submit("f", 2)
    assert len(world.port.published) == 2, "there was evidence of a server"
    world.engine.part("stranger", 0, b"")
    world.engine.credit(call.call_id, 1)
    world.answer(call.call_id, 1)
    assert world.port.results == {call.call_id: 1}


def test_an_outcome_may_make_somebody_submit_and_give_up_other_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    world = connected()
    calls = [world.submit("f", number) for number in range(3)]
    fail = world.port.fail

    def then(call: Any, error: BaseException) -> None:
        fail(call, error)
        world.engine.given_up(calls[1].call_id)
        if len(world.port.errors) == 1:
            calls.append(world.submit("f", 3))

    monkeypatch.setattr(world.port, "fail", then)
    for _ in range(MOST_LOST):
        world.engine.lost(ConnectionLost("gone"))
        world.connect()
    assert set(world.port.errors) == {calls[0].call_id, calls[2].call_id}
    world.answer(calls[3].call_id, 7)
    assert world.port.results == {calls[3].call_id: 7}


def test_errors_are_those_of_this_library(monkeypatch: pytest.MonkeyPatch) -> None:
    world = connected()
    call = world.submit("f", 1)
    world.engine.delivered(call.call_id, b"no response at all")
    assert isinstance(world.port.errors[call.call_id], RpcError)


def test_others_who_want_a_connection_have_one_opened_if_there_is_none() -> None:
    world = EngineWorld()
    world.engine.want_connection()
    world.engine.want_connection()
    assert world.port.opens == 1
    world.connect()
    world.engine.want_connection()
    assert world.port.opens == 1
