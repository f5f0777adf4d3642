"""The life of a call at its client, event by event, without a connection and on a clock that the test turns."""

from __future__ import annotations

import math
from typing import Any

import pytest
from support.engines import QUEUE, EngineWorld

from rpcsvc.client.engine import LIFE, SILENCE
from rpcsvc.client.messages import Event, Order, State
from rpcsvc.client.orders import MOST_LOST
from rpcsvc.errors import (
    ClientClosed,
    ConnectionFailed,
    ConnectionLost,
    EncodingError,
    FunctionRaised,
    MessageRefused,
    MessageTooLarge,
    NoServer,
    RequestTooLarge,
    RpcError,
    RpcTimeout,
)
from rpcsvc.wire import jsonrpc


def connected(**options: Any) -> EngineWorld:
    world = EngineWorld(**options)
    world.connect()
    return world


def states(world: EngineWorld) -> list[State]:
    return [message.state for message in world.port.published]


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


# ---- when the connection goes -----------------------------------------------------------------------------------


def test_what_waits_is_sent_again_on_the_next_connection_marked_and_under_its_callback_queue() -> None:
    world = connected()
    sent = world.submit("f", 1)
    world.engine.lost(ConnectionLost("gone"))
    held = world.submit("f", 2)
    assert world.port.opens == 1
    world.connect()
    assert world.port.ids == [sent.call_id, sent.call_id, held.call_id]
    assert world.port.marks == [False, True, False]
    assert [sent.reply_to, sent.connections_lost, held.connections_lost] == ["amq.gen-2", 1, 0]


def test_a_call_over_which_one_connection_after_the_other_ends_is_given_up() -> None:
    world = connected()
    call = world.submit("f", 1)
    for _ in range(MOST_LOST):
        world.engine.lost(ConnectionLost("it said no"))
        world.connect()
    error = world.port.errors[call.call_id]
    assert type(error) is ConnectionLost
    assert "lost 3 times while it waited: it said no" in str(error)
    world.pass_time(1.0)
    assert [*world.port.told[0]["amq.gen-3"]] == [call.call_id], "the servers of the last one may have it"


def test_connections_that_go_while_a_call_is_held_count_for_nothing() -> None:
    world = EngineWorld()
    call = world.submit("f", 1)
    for _ in range(2 * MOST_LOST):
        world.connect(consumers=0)
        world.engine.lost(ConnectionLost("gone"))
    world.connect()
    assert (world.port.ids, call.connections_lost) == ([call.call_id], 0)


def test_a_call_that_somebody_gives_up_because_another_has_ended_is_not_sent_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = connected()
    calls = [world.submit("f", number) for number in range(3)]
    for _ in range(MOST_LOST - 1):
        world.engine.lost(ConnectionLost("gone"))
        world.connect()
    monkeypatch.setattr(world.port, "fail", lambda *_: [world.engine.given_up(call.call_id) for call in calls])
    world.engine.lost(ConnectionLost("gone"))
    assert world.engine.pending == 0
    assert not world.route.held


def test_the_broker_s_limit_is_known_when_a_small_message_has_cost_the_connection() -> None:
    world = connected()
    world.submit("f", "x" * 3000)
    world.engine.lost(MessageTooLarge(3000, 2000))
    call = world.submit("f", "x" * 2500)
    world.connect()
    assert isinstance(world.port.errors[call.call_id], RequestTooLarge)


# ---- those that the broker may refuse ---------------------------------------------------------------------------


def in_turn(world: EngineWorld) -> Any:
    world.port.surely = 100
    call = world.submit("f", "x" * 1000)
    assert world.port.published == []
    assert not call.may_have_run
    (message,) = world.port.in_turn
    assert (call.params, call.body) == (b"", message.body), "what is large is kept once"
    return call


def test_a_large_message_departs_in_its_turn_with_the_time_it_has_left_and_is_confirmed() -> None:
    world = connected()
    call = in_turn(world)
    (message,) = world.port.in_turn
    world.pass_time(5.0, shows=(0, 1))
    assert world.engine.departs(message) == 25.0
    assert (call.may_have_run, message.is_again) == (True, False)
    world.engine.confirmed(message)
    world.answer(call.call_id, 1)
    assert world.port.results == {call.call_id: 1}
    assert world.engine.departs(message) is None


def test_a_message_whose_channel_went_before_it_was_confirmed_departs_once_more_marked() -> None:
    world = connected()
    in_turn(world)
    (message,) = world.port.in_turn
    world.engine.departs(message)
    world.engine.departs(message)
    assert message.is_again


@pytest.mark.parametrize("ended", ["given up", "timed out", "lost"])
def test_a_message_that_nobody_waits_for_does_not_depart(ended: str) -> None:
    world = connected()
    call = in_turn(world)
    (message,) = world.port.in_turn
    match ended:
        case "given up":
            world.engine.given_up(call.call_id)
        case "timed out":
            world.clock.now += 30.0
        case _:
            world.engine.lost(ConnectionLost("gone"))
    assert world.engine.departs(message) is None
    assert (message.body is None) == (ended == "given up"), "what is large is not kept for nobody"
    assert not call.may_have_run


@pytest.mark.parametrize("departs", [True, False])
def test_a_message_that_the_broker_refuses_ends_with_that(departs: bool) -> None:
    world = connected()
    call = in_turn(world)
    (message,) = world.port.in_turn
    if departs:
        world.engine.departs(message)
    world.engine.refused(message, MessageRefused("full"))
    assert isinstance(world.port.errors[call.call_id], MessageRefused)
    world.engine.refused(message, MessageRefused("full"))


def test_what_is_larger_than_may_be_sent_is_not() -> None:
    world = connected(limit=2000)
    call = world.submit("f", "x" * 3000)
    assert isinstance(world.port.errors[call.call_id], RequestTooLarge)
    assert world.port.published == world.port.in_turn == []


# ---- when there is no server ------------------------------------------------------------------------------------


def test_a_call_to_nobody_ends_with_no_server_and_was_not_sent() -> None:
    world = EngineWorld()
    world.connect(consumers=0)
    call = world.submit("f", 1)
    world.engine.observed(QUEUE, 3, 0)
    world.pass_time(0.3, shows=(3, 0))
    error = world.port.errors[call.call_id]
    assert isinstance(error, NoServer)
    assert error.queue == QUEUE
    assert world.port.published == []
    world.pass_time(5.0, shows=(3, 0))
    asked = world.port.observes
    world.pass_time(60.0, shows=(3, 0))
    assert world.port.observes == asked, "nobody needs to know"


def test_after_a_long_silence_the_next_call_asks_at_once() -> None:
    world = EngineWorld()
    world.connect(consumers=0)
    world.submit("f", 1)
    world.engine.queue_missing(QUEUE)
    world.pass_time(1.0, shows=(3, 0))
    world.pass_time(60.0)
    asked = world.port.observes
    world.submit("f", 2)
    assert world.port.observes == asked + 1


def test_a_server_that_comes_in_time_gets_what_waited() -> None:
    world = EngineWorld(wait_for_server=10.0)
    world.connect(consumers=0)
    call = world.submit("f", 1)
    world.engine.queue_missing(QUEUE)
    world.pass_time(5.0, shows=(0, 0))
    assert world.port.published == []
    world.pass_time(0.3, shows=(0, 1))
    assert world.port.ids == [call.call_id]


def test_a_sent_call_whose_servers_are_gone_for_good_ends_and_servers_that_come_are_told() -> None:
    world = connected(patience=2.0)
    call = world.submit("f", 1)
    world.pass_time(1.0, shows=(0, 1))
    world.pass_time(4.0, shows=(1, 0))
    assert isinstance(world.port.errors[call.call_id], NoServer)
    assert world.port.told == []
    world.pass_time(1.0, shows=(1, 0))
    world.pass_time(1.0, shows=(1, 1))
    assert [*world.port.told[0]["amq.gen-1"]] == [call.call_id]


def test_who_took_what_lay_in_an_empty_queue_may_finish_it_while_held_calls_end() -> None:
    world = connected(patience=2.0)
    sent = world.submit("f", 1)
    world.pass_time(1.0, shows=(0, 0))
    held = world.submit("f", 2)
    world.engine.observed(QUEUE, 0, 0)
    world.pass_time(4.0, shows=(0, 0))
    assert isinstance(world.port.errors[held.call_id], NoServer)
    world.pass_time(10.0, shows=(0, 0))
    world.answer(sent.call_id, 1)
    assert world.port.results == {sent.call_id: 1}


def test_the_broker_is_asked_more_and_more_rarely_while_all_is_well_and_not_while_replies_come() -> None:
    world = connected()
    world.submit("f", 1)
    world.pass_time(10.0, shows=(0, 2))
    assert 18 <= world.port.observes <= 24
    asked = world.port.observes
    for _ in range(20):
        world.answer(world.submit("f", 1).call_id, 1)
        world.pass_time(0.1, shows=(0, 2))
    assert world.port.observes == asked


def test_a_reply_lets_go_what_waits_for_a_server() -> None:
    world = connected()
    sent = world.submit("f", 1)
    world.clock.now += 2.0
    held = world.submit("f", 2)
    assert world.port.ids == [sent.call_id]
    world.answer(sent.call_id, 1)
    assert world.port.ids == [sent.call_id, held.call_id]


def test_while_nobody_is_there_further_calls_ask_no_further_questions() -> None:
    world = EngineWorld(wait_for_server=5.0)
    world.connect(consumers=0)
    world.submit("f", 1)
    world.engine.queue_missing(QUEUE)
    for number in range(100):
        world.submit("f", number)
    assert world.port.observes == 1


def test_calls_that_somebody_gives_up_while_those_before_them_are_sent_are_not_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = EngineWorld()
    calls = [world.submit("f", number) for number in range(3)]
    world.port.broken = EncodingError("no")
    monkeypatch.setattr(world.port, "fail", lambda *_: [world.engine.given_up(call.call_id) for call in calls])
    world.connect()
    assert (world.engine.pending, world.port.published) == (0, [])


# ---- when the queue is not there, or goes -----------------------------------------------------------------------


def test_a_message_that_comes_back_came_nowhere_and_is_sent_unmarked_when_there_is_a_queue() -> None:
    world = connected()
    call = world.submit("f", 1)
    world.engine.returned(call.call_id, QUEUE)
    assert not call.may_have_run
    assert world.port.observes == 1
    world.engine.queue_missing(QUEUE)
    world.pass_time(0.5, shows=(0, 1))
    assert (world.port.ids, world.port.marks) == ([call.call_id] * 2, [False, False])
    world.engine.returned("stranger", QUEUE)


def test_when_the_queue_was_deleted_what_was_sent_goes_again_marked() -> None:
    world = connected()
    call = world.submit("f", 1)
    world.engine.queue_deleted(QUEUE)
    assert world.port.observes == 1
    world.engine.queue_deleted(QUEUE)
    world.engine.observed(QUEUE, 0, 1)
    assert (world.port.ids, world.port.marks) == ([call.call_id] * 2, [False, True])
    assert call.connections_lost == 0


def test_when_the_queue_was_seen_missing_what_was_sent_goes_again_as_soon_as_it_is_there() -> None:
    world = connected()
    call = world.submit("f", 1)
    world.pass_time(1.1)
    world.engine.queue_missing(QUEUE)
    world.pass_time(0.5, shows=(0, 1))
    assert (world.port.ids, world.port.marks) == ([call.call_id] * 2, [False, True])


@pytest.mark.parametrize("state", [State.HELD, State.LEAVING])
def test_an_answer_to_what_was_sent_before_ends_a_call_that_waits_to_go_again(state: State) -> None:
    world = connected()
    call = world.submit("f", 1)
    if state is State.LEAVING:
        world.port.surely = 10
    world.engine.queue_deleted(QUEUE)
    if state is State.LEAVING:
        world.engine.observed(QUEUE, 0, 1)
        world.engine.returned(call.call_id, QUEUE)
        world.engine.queue_deleted(QUEUE)
    world.answer(call.call_id, 5)
    assert world.port.results == {call.call_id: 5}
    assert not world.route.held
    assert world.engine.pending == 0


# ---- where nobody may look --------------------------------------------------------------------------------------


def test_where_the_queue_is_not_shown_calls_are_sent_all_the_same() -> None:
    world = EngineWorld()
    world.connect(consumers=0)
    call = world.submit("f", 1)
    world.engine.not_shown(QUEUE, None)
    assert world.port.ids == [call.call_id]
    world.pass_time(10.0)
    assert world.port.observes == 1


def test_where_the_queue_is_not_shown_one_message_goes_to_see_whether_it_stays() -> None:
    world = EngineWorld(wait_for_server=5.0, pack=True)
    world.connect(consumers=0)
    calls = [world.submit("f", number) for number in range(3)]
    world.engine.not_shown(QUEUE, None)
    world.engine.flush()
    for message in list(world.port.published):
        world.engine.returned(message.message_id, QUEUE)
    tries = 0
    while world.clock.now < 1002.0:
        if world.port.settles > tries:
            tries += 1
            world.engine.returned(world.port.ids[-1], QUEUE)
            world.engine.settled(QUEUE)
        world.pass_time(0.05)
    assert tries > 5
    assert world.engine.pending == 3
    while world.port.settles == tries:
        world.pass_time(0.05)
    world.engine.settled(QUEUE)
    world.engine.flush()
    assert {call.message.state for call in calls if call.message is not None} == {State.SENT}


def test_where_the_queue_is_not_shown_and_missing_sent_calls_end_with_no_server() -> None:
    world = EngineWorld()
    world.connect(consumers=0)
    call = world.submit("f", 1)
    world.engine.not_shown(QUEUE, None)
    world.engine.returned(call.call_id, QUEUE)
    while not world.port.errors:
        world.engine.returned(call.call_id, QUEUE)
        world.engine.settled(QUEUE)
        world.pass_time(0.05)
    assert isinstance(world.port.errors[call.call_id], NoServer)
    assert world.clock.now < 1001.0
    world.engine.returned("stranger", QUEUE)


# ---- what servers are told --------------------------------------------------------------------------------------


def test_after_a_refusal_nothing_is_said_for_a_while_and_nothing_is_kept() -> None:
    world = connected()
    first, second, third = (world.submit("f", number) for number in range(3))
    world.engine.given_up(first.call_id)
    world.pass_time(0.1)
    world.engine.tell_refused()
    world.engine.given_up(second.call_id)
    world.pass_time(SILENCE, shows=(0, 1))
    world.engine.given_up(third.call_id)
    world.pass_time(0.1)
    assert [list(each["amq.gen-1"]) for each in world.port.told] == [[first.call_id], [third.call_id]]


def test_what_was_to_be_told_when_the_connection_went_is_not_told_on_the_next_one() -> None:
    world = connected()
    first, second = world.submit("f", 1), world.submit("f", 2)
    world.engine.given_up(first.call_id)
    world.engine.lost(ConnectionLost("gone"))
    world.connect()
    world.engine.given_up(second.call_id)
    world.pass_time(0.1)
    assert world.port.told == [{"amq.gen-2": {second.call_id: pytest.approx(29.99)}}]


def test_a_server_that_comes_after_there_was_none_is_looked_for_and_told_though_nobody_calls() -> None:
    world = connected(patience=60.0)
    call = world.submit("f", 1)
    world.pass_time(1.1)
    world.engine.observed(QUEUE, 1, 0)
    world.engine.given_up(call.call_id)
    world.pass_time(3.0, shows=(1, 0))
    assert (world.engine.pending, world.port.told) == (0, [])
    world.pass_time(1.0, shows=(1, 1))
    assert [*world.port.told[0]["amq.gen-1"]] == [call.call_id]
    asked = world.port.observes
    world.pass_time(60.0, shows=(0, 1))
    assert world.port.observes - asked < 10, "it was heard"


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
