"""What becomes of a delivery, until it is acked: the engine between workers and sessions that follow a script."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from mapped import PACK, PACKED
from support.served import ANSWER_LOST, DIED, Server, replied, request

from rpcsvc.amqp.messages import Delivery
from rpcsvc.errors import InvalidRequest, OutcomeUnknown, WorkerLost
from rpcsvc.server.asked import Asked
from rpcsvc.server.engine import TABLE
from rpcsvc.server.message import Event, State
from rpcsvc.server.orders import Orders
from rpcsvc.wire import jsonrpc
from rpcsvc.wire.names import MAP, SENT_AGAIN
from rpcsvc.workers.work import Answer, Lost

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
