"""What becomes of calls at their client without a server or a queue, and what servers are told."""

from __future__ import annotations

import pytest
from support.engines import QUEUE, EngineWorld, connected

from rpcsvc.client.engine import SILENCE
from rpcsvc.client.messages import State
from rpcsvc.errors import ConnectionLost, EncodingError, NoServer

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
