"""What becomes of a delivery, until it is acked: the engine between workers and sessions that follow a script."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from mapped import map_body
from support.served import ANSWER_LOST, DIED, Server, Session, replied, request

from rpcsvc.amqp.messages import Delivery
from rpcsvc.errors import InvalidRequest, OutcomeUnknown, WorkerLost
from rpcsvc.server.asked import Asked
from rpcsvc.server.engine import TABLE
from rpcsvc.server.message import Event, State
from rpcsvc.server.orders import Orders
from rpcsvc.server.schedule import LOOK_EVERY
from rpcsvc.wire import jsonrpc
from rpcsvc.wire.names import MAP, SENT_AGAIN
from rpcsvc.workers.work import Answer, Cancelled, Expired, Lost

PACK = map_body(rows=[[0], [1], [2]], ids=["a", "b", "c"])
PACKED = [jsonrpc.encode_request(call_id, "f", b"[%d]" % n) for n, call_id in enumerate("abc")]


# ---- the table


@pytest.mark.parametrize("state", set(State) - {State.OVER, State.CONFIRMING, State.COPYING})
def test_however_a_message_ends_there_is_a_row_for_it_in_each_state_where_it_may(state: State) -> None:
    ends = {Event.REPLY, Event.LARGE_REPLY, Event.NO_REPLY, Event.NOT_RUN}
    assert ends <= set(TABLE[state])


def test_whatever_is_ordered_can_be_carried_out() -> None:
    ordered = {order for rows in TABLE.values() for _, orders in rows.values() for order in orders}
    assert ordered
    assert all(callable(getattr(Orders, order)) for order in ordered)


def test_no_row_acks_before_it_replies_or_acks_what_goes_on() -> None:
    for rows in TABLE.values():
        for then, orders in rows.values():
            assert ("ack" in orders) <= (then is State.OVER)
            if "reply" in orders and "ack" in orders:
                assert orders.index("reply") < orders.index("ack")


def test_what_is_over_is_over() -> None:
    assert TABLE[State.OVER] == {}


# ---- a call


def test_a_call_is_computed_and_its_reply_goes_out_before_the_ack() -> None:
    server = Server()
    tag = server.deliver()
    assert server.log == []
    assert server.session.unacked == server.consumer.unacked == 1
    server.workers.end(Answer(b"result", 1))
    assert server.log == [("reply", "q", "7", b"result"), ("ack", tag)]
    assert server.session.unacked == server.consumer.unacked == 0
    assert server.counts.answered == 1
    assert "0 messages" in repr(server.engine)


def test_a_notification_is_computed_and_acked() -> None:
    server = Server()
    tag = server.deliver(reply_to=None, call_id=None)
    server.workers.end(Answer(None, 1))
    assert server.log == [("ack", tag)]
    assert server.counts.answered == 1


def test_a_request_without_an_id_is_answered_without_one() -> None:
    server = Server()
    tag = server.deliver(call_id=None)
    server.workers.end(Answer(b"result", 1))
    assert server.log == [("reply", "q", None, b"result"), ("ack", tag)]


def test_a_name_of_a_callback_queue_is_what_is_answered_to() -> None:
    server = Server()
    server.deliver(reply_to="/queues/q")
    assert server.message().key == ("q", "7")
    assert "7" in repr(server.message())


def test_a_result_before_the_last_one_goes_out_and_nothing_is_acked() -> None:
    """Streams are to come."""
    server = Server()
    tag = server.deliver()
    message = server.message()
    server.engine.part(message, b"first")
    server.engine.part(message, b"second")
    assert server.log == [("reply", "q", "7", b"first"), ("reply", "q", "7", b"second")]
    server.workers.end(Answer(b"last", 1))
    assert server.log == [("reply", "q", "7", b"last"), ("ack", tag)]
    server.engine.part(message, b"too late")
    assert server.log == []


def test_parts_of_a_notification_are_for_nobody() -> None:
    server = Server()
    server.engine.delivered(server.session, server.consumer, Delivery(1, False, request(), None, None, None, None))
    message = server.workers.works[0].done.args[0]  # type: ignore[attr-defined]
    server.engine.part(message, b"first")
    assert server.log == []


def test_parts_of_an_orphan_have_nowhere_to_go() -> None:
    server = Server()
    server.deliver()
    message = server.message()
    server.session.lose()
    server.engine.part(message, b"first")
    assert server.log == []


# ---- may it be answered


def test_a_new_callback_queue_is_asked_about_while_others_go_on() -> None:
    server = Server()
    tag = server.deliver(reply_to="new")
    (message,) = server.session.asked
    server.deliver(call_id="8")
    assert len(server.workers.works) == 1
    server.engine.queue_found(message, "its name")
    assert message.key == ("its name", "7")
    server.workers.open[1].end(Answer(b"result", 1))
    assert server.log == [("reply", "its name", "7", b"result"), ("ack", tag)]


def test_who_may_not_be_answered_is_not_computed() -> None:
    server = Server()
    tag = server.deliver(reply_to="new")
    server.engine.queue_found(server.session.asked[0], None)
    assert server.log == [("ack", tag)]
    assert server.counts.refused == 1
    assert server.workers.works == []


def test_a_request_that_is_too_large_is_refused_unread() -> None:
    server = Server(most=50)
    tag = server.deliver(b"x" * 51)
    reply, ack = server.log
    with pytest.raises(InvalidRequest, match="51 bytes; this server takes at most 50"):
        replied(reply)
    assert ack == ("ack", tag)
    assert server.counts.refused == 1


# ---- time


def test_what_expires_before_a_worker_is_free_is_acked_and_not_answered() -> None:
    server = Server()
    tag = server.deliver(expiration="5000")
    server.wait(5)
    server.workers.serve()
    assert server.log == [("ack", tag)]
    assert server.counts.expired == 1


@pytest.mark.parametrize("expiration", [None, "soon"])
def test_without_a_time_nothing_expires(expiration: str | None) -> None:
    server = Server()
    server.deliver(expiration=expiration)
    assert server.message().deadline is None
    server.wait(1000)
    assert server.state() is State.WORKING


def test_what_runs_a_second_longer_than_anybody_waits_is_stopped() -> None:
    server = Server()
    tag = server.deliver(expiration="5000")
    server.wait(5.9)
    assert server.state() is State.WORKING
    server.wait(1)
    assert server.log == [("ack", tag)]
    assert server.counts.cancelled == 1


def test_nothing_is_looked_at_while_there_is_nothing() -> None:
    server = Server()
    server.deliver()
    assert server.wakes_at is not None
    server.workers.end(Answer(b"", 1))
    server.wait(10)
    assert server.wakes_at is None


def test_a_look_that_comes_too_early_finds_nothing_and_comes_again() -> None:
    server = Server()
    server.deliver()
    due = server.wakes_at
    server.engine.tick()
    assert server.wakes_at == due


def test_after_the_end_nothing_is_left() -> None:
    server = Server()
    server.deliver(PACK, kind=MAP)
    server.give_up("8")
    server.engine.close()
    assert server.engine.register.is_empty
    server.wait(10)
    assert server.wakes_at is None


# ---- given up


def test_who_gives_up_is_not_answered_and_the_delivery_is_acked_once_it_has_stopped() -> None:
    server = Server()
    tag = server.deliver()
    server.workers.cancel = lambda _: None  # type: ignore[method-assign]
    server.give_up("7")
    assert server.state() is State.STOPPING
    server.give_up("7")
    assert server.log == []
    server.workers.end(Answer(b"it was quicker", 1))
    assert server.log == [("ack", tag)]
    assert (server.counts.cancelled, server.counts.answered) == (1, 0)


def test_what_was_given_up_before_it_came_does_not_start(caplog: pytest.LogCaptureFixture) -> None:
    server = Server()
    server.give_up("7", "8")
    tags = [server.deliver(), server.deliver(call_id="9")]
    assert server.log == [("ack", tags[0])]
    assert server.counts.cancelled == 1
    assert [work.body for work in server.workers.works] == [request("9")]
    with caplog.at_level(logging.INFO):
        server.give_up("9")
    assert "call 9 of f was cancelled" in caplog.text


def test_a_cancel_passes() -> None:
    server = Server()
    server.give_up("7", remaining=10)
    server.wait(12)
    server.deliver()
    assert len(server.workers.works) == 1


# ---- a worker died


def test_the_caller_of_a_call_that_took_its_worker_down_is_told() -> None:
    server = Server()
    tag = server.deliver()
    server.workers.end(DIED)
    reply, ack = server.log
    with pytest.raises(WorkerLost):
        replied(reply)
    assert ack == ("ack", tag)
    assert server.counts.lost == 1


@pytest.mark.parametrize(("method", "losses"), [("twice", [DIED]), ("f", [ANSWER_LOST, ANSWER_LOST, ANSWER_LOST])])
def test_what_may_be_tried_again_is(method: str, losses: list[Lost]) -> None:
    server = Server()
    tag = server.deliver(request(method=method))
    for lost in losses:
        server.workers.end(lost)
    assert server.log == []
    server.workers.end(Answer(b"result", 1))
    assert server.log == [("reply", "q", "7", b"result"), ("ack", tag)]
    assert server.counts.lost == len(losses)


def test_what_must_not_run_twice_is_not_tried_again() -> None:
    server = Server()
    server.deliver(request(method="once"))
    server.workers.end(ANSWER_LOST)
    reply, _ = server.log
    with pytest.raises(WorkerLost):
        replied(reply)


def test_a_body_is_parsed_once_however_often_its_worker_dies(monkeypatch: pytest.MonkeyPatch) -> None:
    parsed = []
    read = Asked.read.__func__  # type: ignore[attr-defined]

    def counting(cls: type[Asked], body: bytes, functions: Any) -> Asked:
        parsed.append(body)
        asked: Asked = read(cls, body, functions)
        return asked

    monkeypatch.setattr(Asked, "read", classmethod(counting))
    server = Server()
    server.deliver(PACK, kind=MAP)
    for _ in range(3):
        server.workers.end(ANSWER_LOST)
    server.workers.running[server.workers.open[0]] = 0
    server.wait(0.1)
    server.workers.end(DIED, PACK)
    for body in PACKED[1:]:
        server.workers.end(Answer(jsonrpc.encode_result("x", 1)), body)
    assert server.message_is_over("7")
    assert parsed == [PACK]


def test_a_message_of_a_type_that_nobody_knows_is_a_call() -> None:
    server = Server()
    tag = server.deliver(kind="resize")
    server.workers.end(Answer(b"result", 1))
    assert server.log == [("reply", "q", "7", b"result"), ("ack", tag)]


# ---- how many calls


@pytest.mark.parametrize(
    ("body", "kind", "told", "counted"),
    [
        (request(), None, 0, 1),
        (PACK, MAP, 0, 3),
        (PACK, MAP, 2, 2),
        (b"[" + request() + b",7]", None, 0, 2),
        (b"30", None, 0, 1),
    ],
)
def test_each_call_of_a_message_counts(body: bytes, kind: str | None, told: int, counted: int) -> None:
    server = Server()
    server.deliver(body, kind=kind)
    server.workers.end(Answer(b"", told))
    assert server.counts.answered == counted


# ---- what may have run


@pytest.mark.parametrize("again", [{"redelivered": True}, {"mark": SENT_AGAIN}])
def test_what_may_have_run_and_must_not_run_twice_is_not_run(again: dict[str, Any]) -> None:
    server = Server()
    tag = server.deliver(request(method="once"), **again)
    reply, ack = server.log
    with pytest.raises(OutcomeUnknown):
        replied(reply)
    assert ack == ("ack", tag)
    assert server.counts.unknown == 1
    assert server.workers.works == []


@pytest.mark.parametrize("again", [{"redelivered": True}, {"mark": SENT_AGAIN}])
def test_what_may_run_twice_runs(again: dict[str, Any]) -> None:
    server = Server()
    server.deliver(**again)
    assert len(server.workers.works) == 1


# ---- a session is lost


def test_what_runs_goes_on_and_is_answered_where_it_comes_again() -> None:
    server = Server()
    server.deliver(request(method="once"))
    server.reconnect()
    assert server.state() is State.ORPHAN
    tag = server.deliver(request(method="once"), redelivered=True)
    assert server.state() is State.WORKING
    server.workers.end(Answer(b"result", 1))
    assert server.log == [("reply", "q", "7", b"result"), ("ack", tag)]
    assert server.counts.joined == 1
    assert len(server.workers.works) == 1


def test_another_request_of_the_same_name_does_not_join() -> None:
    server = Server()
    server.deliver()
    server.deliver(request(method="twice"), redelivered=True)
    assert server.counts.joined == 0
    assert len(server.workers.works) == 2
    server.workers.end(Answer(b"", 1))
    assert server.state() is State.WORKING, "the end of the first leaves the second where it is"


@pytest.mark.parametrize("outcome", [Answer(b"result", 1), Answer(b"x" * 2000, 1), Answer(None, 1)])
def test_what_came_of_an_orphan_is_kept_for_when_it_comes_again(outcome: Answer) -> None:
    server = Server()
    server.deliver(request(method="once"))
    server.reconnect()
    server.workers.end(outcome)
    assert server.log == []
    assert server.counts.abandoned == 1
    server.session.surely = 5000
    tag = server.deliver(request(method="once"), redelivered=True)
    expected = [] if outcome.body is None else [("reply", "q", "7", outcome.body)]
    assert server.log == [*expected, ("ack", tag)]
    assert len(server.workers.works) == 1


def test_what_waited_for_a_worker_does_not_start_without_a_session_and_starts_when_it_is_back() -> None:
    """A server that got it in between did not run it if it must not run twice."""
    server = Server()
    server.deliver(request(method="once"))
    server.session.lose()
    server.workers.serve()
    assert server.counts.expired == 0
    server.connect()
    server.deliver(request(method="once"), redelivered=True)
    server.workers.serve()
    reply, _ = server.log
    assert reply == ("reply", "q", "7", b"computed")


def test_what_waits_still_when_it_comes_again_keeps_its_place() -> None:
    server = Server()
    server.deliver(request(method="once"))
    server.reconnect()
    server.deliver(request(method="once"), redelivered=True)
    assert len(server.workers.works) == 1
    server.workers.serve()
    assert server.log[0] == ("reply", "q", "7", b"computed")


def test_what_did_not_start_here_but_may_have_elsewhere_is_no_outcome() -> None:
    """It came again, waited, and its session was lost once more: whoever gets it next has to compute it."""
    server = Server()
    server.deliver(redelivered=True)
    server.session.lose()
    server.workers.serve()
    server.connect()
    server.deliver(redelivered=True)
    server.workers.serve()
    assert server.log[0] == ("reply", "q", "7", b"computed")


def test_what_did_not_start_here_and_was_sent_again_meanwhile_may_have_run() -> None:
    server = Server()
    server.deliver(request(method="once"))
    server.session.lose()
    server.workers.serve()
    server.connect()
    server.deliver(request(method="once"), mark=SENT_AGAIN)
    reply, _ = server.log
    with pytest.raises(OutcomeUnknown):
        replied(reply)


def test_an_orphan_whose_worker_dies_is_computed_where_it_comes_again() -> None:
    server = Server()
    server.deliver()
    server.session.lose()
    server.workers.end(ANSWER_LOST)
    assert server.counts.abandoned == 1
    server.connect()
    tag = server.deliver(redelivered=True)
    server.workers.end(Answer(b"result", 1))
    assert server.log == [("reply", "q", "7", b"result"), ("ack", tag)]


def test_an_orphan_that_is_given_up_is_acked_when_it_comes_again() -> None:
    server = Server()
    server.deliver()
    server.reconnect()
    server.give_up("7")
    tag = server.deliver(redelivered=True)
    assert server.log == [("ack", tag)]


def test_an_orphan_that_is_being_stopped_is_acked_where_it_comes_again() -> None:
    server = Server()
    server.deliver()
    server.workers.cancel = lambda _: None  # type: ignore[method-assign]
    server.give_up("7")
    server.reconnect()
    assert server.state() is State.ORPHAN_STOPPING
    tag = server.deliver(redelivered=True)
    assert server.state() is State.STOPPING
    server.workers.end(Cancelled())
    assert server.log == [("ack", tag)]


def test_what_has_no_name_is_lost_with_its_session() -> None:
    server = Server()
    server.deliver(call_id=None)
    server.session.lose()
    server.workers.end(Answer(b"result", 1))
    server.deliver(call_id=None)
    server.session.is_lost = True  # and nobody has said so yet
    server.workers.end(Expired())
    assert server.log == []
    assert server.counts.abandoned == 2


def test_a_session_that_is_lost_takes_nothing_of_another() -> None:
    server = Server()
    first = server.session
    server.deliver()
    server.connect()
    server.deliver(call_id="8")
    first.lose()
    assert (server.state("7"), server.state("8")) == (State.ORPHAN, State.WORKING)


def test_what_comes_again_on_the_same_session_is_answered_once_and_acked_each_time() -> None:
    """RabbitMQ 4.3 ends a consumer that held a delivery for too long."""
    server = Server()
    tags = [server.deliver(), server.deliver(redelivered=True), server.deliver(redelivered=True)]
    assert server.session.unacked == 3
    server.workers.end(Answer(b"result", 1))
    reply, *acks = server.log
    assert reply == ("reply", "q", "7", b"result")
    assert sorted(acks) == [("ack", tag) for tag in tags]
    assert server.session.unacked == 0


def test_an_ack_that_fails_counts_as_abandoned() -> None:
    server = Server()
    server.session.acks_fail = True
    server.deliver()
    server.workers.end(Answer(b"result", 1))
    assert server.counts.abandoned == 1


# ---- what the broker may refuse


def large(server: Server) -> tuple[Session, int]:
    tag = server.deliver()
    server.workers.end(Answer(b"x" * 2000, 1))
    return server.session, tag


def test_a_reply_that_the_broker_may_refuse_is_acked_when_it_has_it() -> None:
    server = Server()
    session, tag = large(server)
    assert server.state() is State.CONFIRMING
    assert server.log == [("confirm", "7", b"x" * 2000)]
    assert session.look_into is not None
    assert session.look_into().served.idempotent
    server.engine.confirmed(session.confirming[0])
    assert server.log == [("ack", tag)]
    assert "0 replies" in repr(server.engine)


def test_who_gives_up_meanwhile_has_it_withdrawn_and_whose_time_passes_has_not() -> None:
    server = Server()
    server.deliver(expiration="1000")
    server.workers.end(Answer(b"x" * 2000, 1))
    server.wait(5)
    assert [what for what, *_ in server.log] == ["confirm"]
    server.give_up("7")
    assert server.log == [("withdraw", "7")]


def test_a_reply_that_was_not_confirmed_when_its_session_went_is_kept() -> None:
    server = Server()
    large(server)
    server.reconnect()
    server.session.surely = 5000
    tag = server.deliver(redelivered=True)
    assert server.log == [("reply", "q", "7", b"x" * 2000), ("ack", tag)]
    assert server.counts.abandoned == 1


def test_what_comes_again_while_its_reply_is_confirmed_is_acked_with_it() -> None:
    server = Server()
    session, tag = large(server)
    again = server.deliver(redelivered=True)
    assert [what for what, *_ in server.log] == ["confirm"]
    server.engine.confirmed(session.confirming[0])
    assert sorted(server.log) == [("ack", tag), ("ack", again)]


def test_a_kept_reply_that_the_broker_may_refuse_is_confirmed_too() -> None:
    server = Server()
    server.deliver()
    server.reconnect()
    server.workers.end(Answer(b"x" * 2000, 1))
    server.deliver(redelivered=True)
    assert server.state() is State.CONFIRMING
    assert server.log == [("confirm", "7", b"x" * 2000)]


def test_a_large_reply_to_what_has_no_name_is_lost_with_its_session() -> None:
    server = Server()
    server.deliver(call_id=None)
    server.workers.end(Answer(b"x" * 2000, 1))
    server.session.lose()
    assert server.counts.abandoned == 1


# ---- draining


def test_a_drain_ends_a_busy_consumer_before_the_last_ack() -> None:
    server = Server()
    tag = server.deliver()
    server.engine.drain(server.session)
    assert server.log == []
    server.workers.end(Answer(b"result", 1))
    assert server.log == [("reply", "q", "7", b"result"), ("end consumer",)]
    server.session.endings[0]()
    assert server.log == [("ack", tag), ("drained",)]


def test_a_drain_of_consumers_that_hold_several_just_finishes_them() -> None:
    server = Server(prefetch=2)
    tags = [server.deliver(), server.deliver(call_id="8")]
    server.engine.drain(server.session)
    server.workers.end(Answer(b"1", 1))
    server.workers.end(Answer(b"2", 1))
    acks = [entry for entry in server.log if entry[0] != "reply"]
    assert acks == [("ack", tags[0]), ("ack", tags[1]), ("drained",)]


def test_a_drain_of_nothing_is_over_at_once() -> None:
    server = Server()
    server.engine.drain(server.session)
    assert server.log == [("drained",)]


# ---- calls that travel together


def pack(*, method: str = "f") -> tuple[Server, int]:
    server = Server()
    body = PACK if method == "f" else map_body(method=method, rows=[[0], [1], [2]], ids=["a", "b", "c"])
    return server, server.deliver(body, kind=MAP)


def test_a_slow_call_does_not_hold_up_those_that_came_with_it() -> None:
    server, tag = pack()
    (whole,) = server.workers.works
    server.wait(0.1)
    assert len(server.workers.works) == 1, "it has not begun"
    server.workers.running[whole] = 1
    server.wait(0.03)
    assert [work.body for work in server.workers.open] == [PACK, PACKED[0], PACKED[2]]
    server.workers.end(Answer(b"c's"), PACKED[2])
    assert server.log == [("reply", "q", "c", b"c's")]
    server.workers.end(Answer(b"all", 3), PACK)
    assert server.log == [("reply", "q", "7", b"all"), ("ack", tag)]
    assert not server.workers.open[0].may_start, "it was answered with the others"
    server.workers.serve()
    assert server.log == []
    assert server.counts.answered == 3
    assert server.engine.register.is_empty or not server.engine.register.calls


def test_a_message_of_a_type_that_is_none_of_ours_is_one_call_and_nobody_looks_whether_it_is_slow() -> None:
    server = Server()
    server.deliver(kind="billing")
    assert server.wakes_at == server.now + LOOK_EVERY


@pytest.mark.parametrize(
    "body", [map_body(rows=[[0], [1]]), map_body(method="once", rows=[[0], [1]], ids=["a", "b"])], ids=["map", "once"]
)
def test_calls_without_callers_of_their_own_and_those_that_must_not_run_twice_wait(body: bytes) -> None:
    server = Server()
    server.deliver(body, kind=MAP)
    server.workers.running[server.workers.works[0]] = 0
    server.wait(1)
    assert len(server.workers.works) == 1


def test_an_orphan_is_not_spread_before_it_comes_again() -> None:
    server, _ = pack()
    server.workers.running[server.workers.works[0]] = 0
    server.reconnect()
    server.wait(1)
    assert len(server.workers.works) == 1
    server.deliver(PACK, kind=MAP, redelivered=True)
    server.wait(0.1)
    assert len(server.workers.works) == 3


def test_what_is_over_is_not_looked_at() -> None:
    server, _ = pack()
    server.workers.running[server.workers.works[0]] = 0
    server.workers.end(Answer(b"all", 3))
    server.wait(1)
    assert len(server.workers.works) == 1


def test_what_is_being_stopped_is_not_spread() -> None:
    server, _ = pack()
    server.workers.running[server.workers.works[0]] = 0
    server.workers.cancel = lambda _: None  # type: ignore[method-assign]
    server.give_up("7")
    server.wait(1)
    assert len(server.workers.works) == 1
