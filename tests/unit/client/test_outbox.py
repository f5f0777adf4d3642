"""The life of a message that is done when it is confirmed, event by event, on a clock that the test turns."""

from __future__ import annotations

import math
from typing import Any

import pytest
from support.outboxes import OutboxWorld

from rpcsvc.client.outbox import LIFE, REOPEN_PAUSE, RETURNED_PAUSE
from rpcsvc.client.outgoing import Event, Order, State
from rpcsvc.errors import (
    AccessRefused,
    CastRejected,
    CastUnknown,
    ClientClosed,
    ConfigurationError,
    ConnectionFailed,
    ConnectionLost,
    MessageRefused,
    NoServer,
    RequestTooLarge,
)


def opened(**options: Any) -> OutboxWorld:
    world = OutboxWorld(**options)
    world.outbox.opened()
    return world


# ---- the table --------------------------------------------------------------------------------------------------


def test_every_state_has_a_way_to_its_end_and_no_way_back_from_it() -> None:
    ways = {state: {after for (before, _), (after, _) in LIFE.items() if before is state} for state in State}

    assert ways[State.DONE] == set()
    assert all(State.DONE in after for state, after in ways.items() if state is not State.DONE)


def test_whatever_may_come_of_a_message_that_waits_stands_in_the_table() -> None:
    for state in (State.HELD, State.LEAVING, State.SENT):
        for event in (Event.LOST, Event.REFUSED, Event.EXPIRED, Event.CLOSED, Event.GIVEN_UP):
            assert (state, event) in LIFE


def test_every_order_is_given_by_the_table_and_every_event_is_in_it() -> None:
    assert {order for _, order in LIFE.values()} == set(Order)
    assert {event for _, event in LIFE} == set(Event)


# ---- one message ------------------------------------------------------------------------------------------------


def test_a_message_is_safe_when_it_is_confirmed() -> None:
    world = opened()
    cast = world.post()
    assert (cast.state, world.written, world.marks) == (State.SENT, [cast], [False])
    assert len(world.outbox) == 1
    assert world.ends == []

    world.outbox.confirmed(cast)
    assert world.ends == [(cast, None)]
    assert len(world.outbox) == 0


def test_a_second_confirm_changes_nothing() -> None:
    world = opened()
    cast = world.post()
    world.outbox.confirmed(cast)
    world.outbox.confirmed(cast)
    world.outbox.refused(cast, MessageRefused("full"))
    assert world.ends == [(cast, None)]


def test_a_message_without_a_channel_has_one_opened_and_goes_then() -> None:
    world = OutboxWorld()
    first, second = world.post(), world.post()
    assert (world.opens, world.written) == (1, [])

    world.outbox.opened()
    assert world.written == [first, second]


def test_what_no_queue_took_is_told() -> None:
    world = opened()
    cast = world.post()
    world.outbox.returned(cast)
    assert isinstance(world.error_of(cast), NoServer)


def test_what_no_queue_needs_to_take_is_well() -> None:
    world = opened(well=True)
    event = world.post()
    world.outbox.returned(event)
    assert world.ends == [(event, None)]


def test_what_the_broker_refuses_is_told_as_its_kind_tells_it() -> None:
    world = opened()
    cast = world.post()
    world.outbox.refused(cast, MessageRefused("full"))
    assert isinstance(world.error_of(cast), CastRejected)


def test_what_cannot_be_sent_is_told_as_it_is() -> None:
    world = opened()
    world.broken = ConfigurationError("no such property")
    cast = world.post()
    assert world.error_of(cast) is world.broken


def test_nothing_is_begun_after_the_end() -> None:
    world = opened()
    world.outbox.close()
    cast = world.post()
    assert isinstance(world.error_of(cast), ClientClosed)
    assert (world.written, world.opens, cast.state) == ([], 0, State.DONE)


# ---- a large one ------------------------------------------------------------------------------------------------


def test_a_large_message_waits_for_its_turn() -> None:
    world = opened()
    cast = world.post(body=b"large")
    assert (cast.state, world.in_turn) == (State.LEAVING, [cast])

    assert world.outbox.departs(cast)
    assert cast.state is State.SENT
    assert not world.outbox.departs(cast), "another turn, asked for before"
    world.outbox.confirmed(cast)
    assert world.ends == [(cast, None)]


def test_a_large_message_whose_time_is_up_does_not_depart() -> None:
    world = opened()
    cast = world.post(body=b"large", timeout=1.0)
    world.pass_time(2.0)
    assert isinstance(world.error_of(cast), ConnectionFailed)
    assert not world.outbox.departs(cast)


def test_a_large_message_that_the_broker_does_not_take_costs_no_other() -> None:
    world = opened()
    small, large = world.post(), world.post(body=b"large")
    world.outbox.departs(large)
    world.outbox.refused(large, RequestTooLarge(9, 8))
    assert isinstance(world.error_of(large), RequestTooLarge)
    assert small.state is State.SENT


def test_a_large_message_whose_own_channel_went_is_sent_again_and_marked() -> None:
    world = opened()
    cast = world.post(body=b"large")
    world.outbox.departs(cast)
    world.outbox.failed(cast)
    assert (cast.state, cast.is_again, world.in_turn) == (State.LEAVING, True, [cast, cast])


# ---- a lost channel ---------------------------------------------------------------------------------------------


def test_what_waits_for_its_confirm_is_sent_again_and_marked_before_what_was_not_sent() -> None:
    world = opened()
    first, safe, second = world.post(), world.post(), world.post()
    world.outbox.confirmed(safe)
    world.outbox.blocked()
    third = world.post()
    world.outbox.lost()
    assert (first.is_again, second.is_again, third.is_again) == (True, True, False)
    world.outbox.free()
    assert world.opens == 1

    world.written.clear(), world.marks.clear()
    world.outbox.opened()
    assert (world.written, world.marks) == ([first, second, third], [True, True, False])
    assert len(world.outbox) == 3


def test_a_message_that_may_have_been_taken_is_tried_until_its_time_is_up() -> None:
    world = opened()
    cast = world.post(timeout=10.0)
    world.outbox.lost()
    assert world.opens == 1
    for _ in range(3):
        world.outbox.unreachable(ConnectionFailed("nobody listens"))
        opens = world.opens
        world.pass_time(REOPEN_PAUSE / 2)
        assert world.opens == opens
        world.pass_time(REOPEN_PAUSE)
        assert world.opens == opens + 1

    world.pass_time(10.0)
    error = world.error_of(cast)
    assert isinstance(error, CastUnknown)
    assert (error.message_id, error.reason) == (cast.message_id, "no confirm came within 10 s")


def test_a_message_that_was_never_sent_ends_when_no_connection_is_to_be_had() -> None:
    world = OutboxWorld()
    first, second = world.post(), world.post()
    refused = ConnectionFailed("nobody listens")
    world.outbox.unreachable(refused)
    errors = [world.error_of(first), world.error_of(second)]
    assert [str(error) for error in errors] == ["nobody listens"] * 2
    assert errors[0] is not errors[1]
    world.pass_time(60.0)
    assert world.opens == 1, "nothing waits for another"


def test_a_message_that_meets_the_end_of_its_channel_goes_on_the_next_one() -> None:
    world = opened()
    world.broken = ConnectionLost("the channel has ended")
    cast = world.post()
    assert (cast.state, cast.is_again) == (State.HELD, False)
    world.broken = None
    world.outbox.lost()
    world.outbox.opened()
    assert (world.written, world.marks) == ([cast], [False])


def test_what_waits_for_its_turn_when_the_channel_goes_is_not_marked() -> None:
    world = opened()
    cast = world.post(body=b"large")
    world.outbox.lost()
    world.outbox.opened()
    assert (world.in_turn, cast.is_again) == ([cast, cast], False)


def test_a_refusal_of_what_was_sent_before_leaves_open_whether_it_runs() -> None:
    world = opened()
    cast = world.post()
    world.outbox.lost()
    world.outbox.opened()
    world.outbox.refused(cast, MessageRefused("full"))
    error = world.error_of(cast)
    assert isinstance(error, CastUnknown)
    assert "is full" in error.reason


def test_what_an_exchange_does_not_take_is_told_and_others_go_on() -> None:
    world = opened()
    denied, other = world.post(exchange="secret"), world.post()
    world.outbox.denied("secret", AccessRefused("no"))
    world.outbox.lost()
    assert isinstance(world.error_of(denied), AccessRefused)
    world.outbox.opened()
    assert (other.state, other.is_again) == (State.SENT, True)


def test_of_an_exchange_that_takes_some_topics_only_the_others_are_told() -> None:
    world = opened()
    denied, other = world.make(exchange="events"), world.post(exchange="events")
    denied.routing_key = "salary"
    world.outbox.submitted(denied)
    world.outbox.denied("events", AccessRefused("no"), "salary")
    world.outbox.lost()
    assert isinstance(world.error_of(denied), AccessRefused)
    world.outbox.opened()
    assert (other.state, other.is_again) == (State.SENT, True)


# ---- a broker that takes nothing --------------------------------------------------------------------------------


def test_messages_wait_while_the_connection_takes_none_and_go_in_their_order() -> None:
    world = opened()
    world.outbox.blocked()
    first, second = world.post(), world.post()
    assert world.written == []
    world.outbox.free()
    assert world.written == [first, second]


def test_a_driver_that_is_held_in_the_midst_gets_no_more() -> None:
    world = opened()
    world.outbox.blocked()
    first, second = world.post(), world.post()
    publish = world.publish

    def publish_once(message: Any) -> bool:
        world.outbox.blocked()
        return publish(message)

    world.publish = publish_once  # type: ignore[method-assign]
    world.outbox.free()
    assert (first.state, second.state) == (State.SENT, State.HELD)


def test_what_is_given_up_while_those_before_it_go_does_not_go() -> None:
    world = opened()
    world.outbox.blocked()
    first, second, third = world.post(), world.post(), world.post()
    publish = world.publish

    def publish_and_give_up(message: Any) -> bool:
        world.outbox.given_up(second)
        return publish(message)

    world.publish = publish_and_give_up  # type: ignore[method-assign]
    world.outbox.free()
    assert world.written == [first, third]


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (lambda world: None, "there was no connection"),
        (lambda world: world.outbox.blocked(), "short of memory"),
    ],
)
def test_what_was_not_sent_in_time_says_why(given: Any, sentence: str) -> None:
    world = OutboxWorld()
    given(world)
    cast = world.post(timeout=2.0)
    world.pass_time(2.0)
    assert isinstance(world.error_of(cast), ConnectionFailed)
    assert sentence in str(world.error_of(cast))
    assert "not sent within 2 s" in str(world.error_of(cast))


# ---- time -------------------------------------------------------------------------------------------------------


def test_each_message_has_a_time_of_its_own() -> None:
    world = opened()
    long, short, endless = world.post(timeout=20.0), world.post(timeout=1.0), world.post(timeout=math.inf)
    world.pass_time(1.5)
    assert [message for message, _ in world.ends] == [short]
    world.pass_time(20.0)
    assert [message for message, _ in world.ends] == [short, long]
    world.pass_time(1e6)
    assert endless.state is State.SENT
    assert world.wake == math.inf


def test_a_confirm_that_comes_late_changes_nothing() -> None:
    world = opened()
    cast = world.post(timeout=1.0)
    world.pass_time(1.0)
    world.outbox.confirmed(cast)
    assert isinstance(world.error_of(cast), CastUnknown)


# ---- what a message needs ---------------------------------------------------------------------------------------


def test_what_a_message_needs_is_asked_for_once_and_it_goes_then() -> None:
    world = opened()
    first, second, other = world.post(needs="levels"), world.post(needs="levels"), world.post()
    assert (world.prepares, world.written) == (["levels"], [other])

    world.outbox.prepared("levels")
    third = world.post(needs="levels")
    assert world.written == [other, first, second, third]


def test_what_is_not_to_be_had_is_told() -> None:
    world = opened()
    casts = [world.post(needs="levels"), world.post(needs="levels")]
    world.outbox.unprepared("levels", NoServer("q", "no queue"))
    assert all(isinstance(world.error_of(cast), NoServer) for cast in casts)
    world.post(needs="levels")
    assert world.prepares == ["levels", "levels"]


def test_on_the_next_channel_it_is_asked_for_again() -> None:
    world = opened()
    cast = world.post(needs="levels")
    world.outbox.prepared("levels")
    world.outbox.lost()
    world.outbox.opened()
    assert (world.prepares, cast.state) == (["levels", "levels"], State.HELD)
    world.outbox.prepared("levels")
    assert world.marks == [False, True]


def test_a_message_whose_needs_are_not_seen_to_in_time_says_so() -> None:
    world = opened()
    cast = world.post(needs="levels", timeout=1.0)
    world.pass_time(1.0)
    assert "(levels)" in str(world.error_of(cast))


# ---- who waits for a server -------------------------------------------------------------------------------------


def test_a_message_that_came_back_is_sent_again_while_its_sender_waits() -> None:
    world = opened()
    cast = world.post(waits_until=world.clock.now + 1.0)
    world.outbox.returned(cast)
    behind = world.post()
    assert (cast.state, cast.may_be_taken, world.ends) == (State.HELD, False, [])
    assert behind.state is State.HELD, "it would overtake"

    world.pass_time(RETURNED_PAUSE)
    assert world.written == [cast, cast, behind]
    assert not any(world.marks), "nobody had it"
    world.pass_time(1.0)
    world.outbox.returned(cast)
    assert isinstance(world.error_of(cast), NoServer)


def test_a_message_that_was_refused_is_sent_again_while_its_sender_waits() -> None:
    world = opened()
    cast = world.post(waits_until=world.clock.now + 1.0)
    world.outbox.refused(cast, MessageRefused("not yet"))
    assert (cast.state, world.ends) == (State.HELD, [])
    world.pass_time(RETURNED_PAUSE)
    assert world.written == [cast, cast]
    world.pass_time(1.0)
    world.outbox.refused(cast, MessageRefused("full"))
    assert isinstance(world.error_of(cast), CastRejected)


def test_a_message_that_was_refused_and_has_no_time_left_says_so() -> None:
    world = opened()
    cast = world.post(timeout=1.0, waits_until=math.inf)
    world.outbox.blocked()
    world.outbox.refused(cast, MessageRefused("full"))
    world.pass_time(1.0)
    assert isinstance(world.error_of(cast), CastRejected)


def test_a_message_that_came_back_has_what_it_needs_seen_to_again() -> None:
    world = opened()
    cast = world.post(needs="levels", waits_until=math.inf)
    world.outbox.prepared("levels")
    world.outbox.returned(cast)
    world.pass_time(RETURNED_PAUSE)
    assert world.prepares == ["levels", "levels"]
    world.outbox.prepared("levels")
    assert world.written == [cast, cast]


@pytest.mark.parametrize(("well", "error"), [(False, NoServer), (True, ConnectionFailed)])
def test_a_message_that_came_back_and_has_no_time_left_says_what_was_missing(well: bool, error: type) -> None:
    world = opened(well=well)
    cast = world.post(timeout=1.0, waits_until=math.inf)
    world.outbox.blocked()
    world.outbox.returned(cast)
    world.pass_time(1.0)
    assert isinstance(world.error_of(cast), error)


# ---- the end ----------------------------------------------------------------------------------------------------


def test_a_message_that_was_given_up_before_it_was_sent_is_not_sent() -> None:
    world = OutboxWorld()
    cast, other = world.post(), world.post()
    world.outbox.given_up(cast)
    world.outbox.opened()
    assert (world.written, world.ends) == ([other], [])


def test_a_message_that_was_given_up_after_it_was_sent_is_forgotten() -> None:
    world = opened()
    cast = world.post()
    world.outbox.given_up(cast)
    world.outbox.confirmed(cast)
    assert (world.ends, len(world.outbox)) == ([], 0)


def test_a_message_that_was_given_up_before_it_came_here_is_not_begun() -> None:
    world = opened()
    cast = world.make(needs="levels")
    world.outbox.given_up(cast)
    world.outbox.submitted(cast)
    assert (world.written, world.ends, len(world.outbox)) == ([], [], 0)


def test_the_end_of_the_client_tells_what_was_sent_from_what_was_not() -> None:
    world = opened()
    sent = world.post()
    world.outbox.blocked()
    held = world.post()
    world.outbox.close()
    assert isinstance(world.error_of(sent), CastUnknown)
    assert isinstance(world.error_of(held), ClientClosed)
    world.outbox.lost()
    assert world.opens == 0


def test_it_shows_how_much_waits() -> None:
    world = opened()
    world.post()
    world.outbox.blocked()
    assert "to 'q.casts': held" in repr(world.post())
    assert repr(world.outbox) == "<Outbox: 2 wait for their confirm, 1 of them to be sent>"
    assert "to 'logs': held" in repr(world.post(exchange="logs"))
