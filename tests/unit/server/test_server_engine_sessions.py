"""What becomes of deliveries when a session is lost, the broker refuses a reply, or the server drains."""

from __future__ import annotations

import pytest
from support.served import ANSWER_LOST, Server, Session, replied, request

from rpcsvc.errors import OutcomeUnknown
from rpcsvc.server.message import State
from rpcsvc.wire.names import SENT_AGAIN
from rpcsvc.workers.work import Answer, Cancelled, Expired

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
