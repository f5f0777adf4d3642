"""What becomes of calls at their client when the connection goes, or the broker refuses them."""

from __future__ import annotations

from typing import Any

import pytest
from support.engines import EngineWorld, connected

from rpcsvc.client.orders import MOST_LOST
from rpcsvc.errors import ConnectionLost, MessageRefused, MessageTooLarge, RequestTooLarge

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
