"""What becomes of a cast: it is acked when it was done, or when the broker has what stands for it."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from support.cast import DONE, CastServer, content, failed, unreadable
from support.served import ANSWER_LOST, DIED

from rpcsvc.amqp.messages import Delivery
from rpcsvc.amqp.properties import short_string
from rpcsvc.functions.retry import Retry
from rpcsvc.server.casts import Parcel, Source
from rpcsvc.server.engine import TABLE
from rpcsvc.server.message import Event, State
from rpcsvc.wire.control import Cancel
from rpcsvc.wire.letters import Letter
from rpcsvc.wire.names import AGAIN, ATTEMPTS, ERROR, FIRST_PUBLISHED, HOST, TOPIC
from rpcsvc.workers.job import Context
from rpcsvc.workers.work import Answer, Cancelled, Expired, Handled, Lost, Served


def letter_of(parcel: Parcel) -> Letter:
    assert parcel.seconds is None
    return Letter.read(b"{}", parcel.headers[0], "m")


def the_letter(server: CastServer) -> Letter:
    return letter_of(server.casting.sending[-1][1])


# ---- the table


@pytest.mark.parametrize("state", [State.NEW, State.WORKING, State.ORPHAN])
def test_however_a_cast_ends_there_is_a_row_for_it_in_each_state_where_it_may(state: State) -> None:
    assert {Event.DONE, Event.AGAIN, Event.DEAD} <= set(TABLE[state])


def test_no_row_acks_a_cast_before_the_broker_has_what_stands_for_it() -> None:
    for rows in TABLE.values():
        for then, orders in rows.values():
            assert not {"send", "ack"} <= set(orders)
            assert ("send" in orders) == (then is State.COPYING and "join" not in orders)


# ---- one cast


def test_a_cast_is_acked_when_it_was_done() -> None:
    server = CastServer()
    tag = server.come()
    assert server.told == []
    assert server.casting.unacked == server.cast_consumer.unacked == 1
    server.workers.end(DONE)
    assert server.told == [("ack", tag)]
    assert server.casting.unacked == server.cast_consumer.unacked == 0
    assert (server.counts.done, server.counts.answered) == (1, 0)
    assert not server.engine.register.messages


def test_its_worker_is_told_what_is_known_of_it_and_calls_go_first() -> None:
    server = CastServer()
    headers = {"trace": "7", "x-death": [], ATTEMPTS: 2, FIRST_PUBLISHED: 5000}
    server.come(headers=headers)
    (work,) = server.workers.works
    assert work.is_cast
    assert work.context is not None
    assert Context.read(work.context) == Context(
        kind="cast", message_id="m", attempt=3, first_published=5000, headers={"trace": "7"}
    )


@pytest.mark.parametrize(("timestamp", "first"), [(7, 7000), (None, 100_000)])
def test_it_was_published_first_when_its_publisher_says_else_now(timestamp: int | None, first: int) -> None:
    server = CastServer()
    server.come(timestamp=timestamp)
    context = server.workers.works[0].context
    assert context is not None
    assert Context.read(context).first_published == first


def test_headers_that_cannot_be_read_are_done_without(caplog: pytest.LogCaptureFixture) -> None:
    server = CastServer()
    server._tags += 1
    delivery = Delivery(1, False, b"{}", None, None, None, None, None)
    delivery.content_bytes = unreadable()
    server.casts.delivered(server.casting, server.cast_consumer, delivery)
    assert len(server.workers.works) == 1
    assert "without its headers" in caplog.text


def test_nobody_can_give_up_a_cast() -> None:
    server = CastServer()
    server.come()
    server.engine.cancelled(Cancel("rpc_queue.casts", ["m", "0"], 10.0))
    server.engine.cancelled(Cancel("rpc_queue.casts\0m", ["0"], 10.0))
    assert server.cast_state() is State.WORKING


def test_a_cast_has_no_time_in_which_to_run() -> None:
    server = CastServer()
    server.come(expiration="1000")
    server.wait(60)
    assert server.cast_state() is State.WORKING


# ---- dead letters


def test_one_whose_function_raises_is_a_letter_and_acked_when_that_is_confirmed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    server = CastServer()
    tag = server.come(headers={"trace": "7", ATTEMPTS: 1, "x-death": [{"count": 1}]})
    server.workers.end(failed())
    assert server.told == [("letter",)]
    assert State(server.cast(attempts=1).state) is State.COPYING
    parcel = server.casting.confirm()
    assert server.told == [("ack", tag)]
    letter = letter_of(parcel)
    assert (letter.error, letter.attempts, letter.host) == ("f raised OSError: no", 2, "here")
    assert (letter.came_from, letter.first_published, letter.died) == ("rpc_queue.casts", 100_000, 100_000)
    assert letter.headers == {"trace": "7"}
    assert server.counts.dead == 1
    assert "cast m of f is a dead letter in 'rpc_queue.dead': f raised OSError: no" in caplog.text


def test_a_letter_goes_with_less_where_all_of_it_cannot() -> None:
    server = CastServer()
    server.come(headers={"trace": "7"})
    server.workers.end(failed(message="x" * 1000))
    all_of_it, without_theirs, short = server.casting.sending[0][1].headers
    assert "trace" in all_of_it
    assert set(without_theirs) == set(all_of_it) - {"trace"}
    assert orjson.loads(short[ERROR])["message"] == "x" * 200
    assert short[HOST] == "here"


def test_what_is_too_large_is_a_letter_unread() -> None:
    server = CastServer(most=50)
    server.come(body=b"x" * 51)
    assert server.workers.works == []
    assert the_letter(server).error == "the cast takes 51 bytes; this server takes at most 50"
    assert the_letter(server).attempts == 0
    assert server.counts.refused == 1


def test_one_that_expires_before_a_worker_is_free_is_a_letter() -> None:
    server = CastServer()
    server.come(expiration="5000")
    server.wait(5)
    server.workers.serve()
    assert "expired" in the_letter(server).error
    assert server.counts.expired == 1


def test_a_worker_that_gives_no_report_has_its_cast_dead() -> None:
    server = CastServer()
    server.come()
    server.workers.end(Answer(None))
    assert "no report" in the_letter(server).error


def test_what_is_stopped_all_the_same_is_a_letter() -> None:
    server = CastServer()
    server.come()
    server.workers.end(Cancelled())
    assert "cancelled" in the_letter(server).error


@pytest.mark.parametrize(
    ("body", "name"),
    [
        (b'{"jsonrpc":"2.0","method":"f"}', "of f"),
        (b"[]", "of nothing"),
        (b"30", "of the default function"),
    ],
)
def test_the_log_names_what_was_to_be_done(body: bytes, name: str, caplog: pytest.LogCaptureFixture) -> None:
    server = CastServer()
    server.come(body=body, message_id=None)
    server.workers.end(failed())
    assert f"cast without an id {name} is a dead letter" in caplog.text


# ---- tried again


def test_one_that_is_tried_again_is_copied_with_an_attempt_more_and_acked_when_that_is_confirmed() -> None:
    server = CastServer()
    headers = {"trace": "7", ATTEMPTS: 1, FIRST_PUBLISHED: 5000, "x-death": [{"count": 1}], "CC": ["elsewhere"]}
    tag = server.come(headers={**headers, AGAIN: True})
    server.workers.end(failed(2.5))
    assert server.told == [("copy", 3)]
    parcel = server.casting.confirm()
    assert server.told == [("ack", tag)]
    whole, own = parcel.headers
    assert whole == {"trace": "7", ATTEMPTS: 2, FIRST_PUBLISHED: 5000}
    assert own == {ATTEMPTS: 2, FIRST_PUBLISHED: 5000}
    assert server.counts.again == 1


def test_where_it_waits() -> None:
    source = Source.of("q")
    copy, letter = Parcel(({},), 5), Parcel(({},))
    exchange, key = next(copy.routes(source, may_wait=True))
    assert exchange == "rpcsvc.delay.2"
    assert key.endswith("1.0.1.q%2Ecasts")
    assert list(copy.routes(source, may_wait=False)) == [("", "q.casts")]
    assert list(Parcel(({},), 0).routes(source, may_wait=True)) == [("", "q.casts")]
    assert list(letter.routes(Source.foreign("f"), may_wait=False)) == [("rpcsvc.dead", "f"), ("", "f.dead")]


@pytest.mark.parametrize(
    ("method", "attempts", "told"),
    [
        ("f", 0, ("copy", 1)),
        ("f", 1, ("copy", 2)),
        ("f", 2, ("letter",)),
        ("often", 0, ("copy", 2)),
        ("often", 3, ("copy", 16)),
        ("often", 4, ("letter",)),
        ("once", 0, ("letter",)),
    ],
)
@pytest.mark.parametrize("lost", [DIED, ANSWER_LOST])
def test_one_whose_worker_is_lost_is_tried_again_as_its_function_may(
    method: str, attempts: int, told: tuple[Any, ...], lost: Lost
) -> None:
    server = CastServer()
    tag = server.come(method, headers={ATTEMPTS: attempts})
    server.workers.end(lost)
    assert server.told == [told]
    server.casting.confirm()
    assert server.told == [("ack", tag)]
    assert server.counts.lost == 1


@pytest.mark.parametrize(("method", "attempts", "name"), [("once", 0, "OutcomeUnknown"), ("f", 2, "WorkerLost")])
def test_a_letter_says_whether_what_was_lost_with_its_worker_may_be_requeued(
    method: str, attempts: int, name: str
) -> None:
    server = CastServer()
    server.come(method, headers={ATTEMPTS: attempts})
    server.workers.end(DIED)
    assert the_letter(server).error_type == name


# ---- what may have run


@pytest.mark.parametrize("again", [{"redelivered": True}, {"headers": {AGAIN: True}}])
def test_what_may_have_run_and_must_not_run_twice_is_a_letter(again: dict[str, Any]) -> None:
    server = CastServer()
    server.come("once", **again)
    assert server.workers.works == []
    assert "may have run before" in the_letter(server).error
    assert server.counts.unknown == 1


@pytest.mark.parametrize(
    "again",
    [{"headers": {AGAIN: True}}, {"redelivered": True, "headers": {"x-delivery-count": 1}}],
)
def test_what_may_run_twice_runs_again_where_the_broker_counts(again: dict[str, Any]) -> None:
    server = CastServer()
    server.come(**again)
    assert len(server.workers.works) == 1


def test_where_the_broker_does_not_count_what_comes_again_is_first_counted_in_a_copy() -> None:
    server = CastServer()
    tag = server.come(redelivered=True)
    assert server.told == [("copy", 0)]
    assert server.workers.works == []
    parcel = server.casting.confirm()
    assert server.told == [("ack", tag)]
    assert parcel.headers[0][ATTEMPTS] == 1


def test_a_cast_that_takes_down_servers_ends_as_a_letter() -> None:
    server = CastServer()
    server.come(redelivered=True, headers={ATTEMPTS: 2})
    assert the_letter(server).attempts == 3
    assert "its server" in the_letter(server).error


# ---- a session is lost


def test_what_runs_goes_on_and_is_acked_where_it_comes_again() -> None:
    server = CastServer()
    server.come("once")
    server.come_back()
    assert server.cast_state() is State.ORPHAN
    tag = server.come("once", redelivered=True)
    server.workers.end(DONE)
    assert server.told == [("ack", tag)]
    assert server.counts.joined == 1
    assert len(server.workers.works) == 1


@pytest.mark.parametrize(
    ("answer", "told"), [(DONE, "ack"), (failed(), "letter"), (failed(60.0), "copy")], ids=["done", "dead", "again"]
)
def test_what_came_of_an_orphan_is_kept_for_when_it_comes_again(answer: Answer, told: str) -> None:
    server = CastServer()
    server.come("once")
    server.come_back()
    server.workers.end(answer)
    assert server.told == []
    server.come("once", redelivered=True)
    assert [what for what, *_ in server.told] == [told]
    assert len(server.workers.works) == 1
    assert server.counts.done == (told == "ack")


def test_what_waited_for_a_worker_does_not_start_without_a_session_and_starts_when_it_is_back() -> None:
    server = CastServer()
    server.come("once")
    server.come_back()
    server.workers.serve()
    assert server.counts.expired == 0
    server.come("once", redelivered=True)
    assert len(server.workers.open) == 1


def test_one_that_was_sent_again_meanwhile_may_have_run() -> None:
    server = CastServer()
    server.come("once")
    server.come_back()
    server.workers.serve()
    server.come("once", headers={AGAIN: True})
    assert server.told == [("letter",)]


def test_an_orphan_whose_worker_dies_may_have_run() -> None:
    server = CastServer()
    server.come()
    server.come_back()
    server.workers.end(DIED)
    assert server.told == []
    server.come(redelivered=True, headers={"x-delivery-count": 1})
    assert len(server.workers.open) == 1


def test_a_letter_that_was_not_confirmed_is_written_again() -> None:
    server = CastServer()
    server.come("once")
    server.workers.end(failed())
    session = server.casting
    server.come_back()
    session.confirm()
    assert session.log == [("letter",)], "its ack has no meaning any more"
    server.come("once", redelivered=True)
    assert server.told == [("letter",)]
    assert len(server.workers.works) == 1


def test_a_copy_that_was_not_confirmed_is_not_made_again_of_what_must_not_run_twice() -> None:
    """The first may be on its way. A letter does no harm."""
    server = CastServer()
    server.come("once")
    server.workers.end(failed(60.0))
    server.come_back()
    server.come("once", redelivered=True)
    assert "may have run before" in the_letter(server).error


def test_a_copy_is_not_taken_for_what_it_is_a_copy_of() -> None:
    """It may come, and come again, before the broker's confirm: its ack is not that of the first."""
    server = CastServer()
    first = server.come("often")
    server.workers.end(failed(0.0))
    copy = server.come("often", headers={ATTEMPTS: 1, "x-delivery-count": 1}, redelivered=True)
    server.casting.confirm()
    assert server.told == [("copy", 0), ("ack", first)]
    server.workers.end(DONE)
    assert server.told == [("ack", copy)]


def test_what_comes_again_while_a_copy_is_on_its_way_is_acked_with_it() -> None:
    server = CastServer()
    first = server.come("often")
    server.workers.end(failed(5.0))
    second = server.come("often", redelivered=True)
    server.casting.confirm()
    assert server.told[0] == ("copy", 5)
    assert server.casting.unacked == 0
    assert first != second


def test_another_cast_of_the_same_name_does_not_join() -> None:
    server = CastServer()
    server.come()
    server.come("often", headers={AGAIN: True})
    assert len(server.workers.works) == 2


def test_one_without_a_name_is_forgotten_with_its_session() -> None:
    server = CastServer()
    server.come(message_id=None)
    server.come(message_id=None)
    server.come_back()
    server.workers.end(DONE)
    server.workers.end(Expired())
    assert server.told == []
    assert server.counts.abandoned == 2


# ---- draining


def test_a_drain_finishes_casts_and_what_stands_for_them() -> None:
    server = CastServer()
    tags = [server.come(), server.come(message_id="n")]
    server.engine.drain(server.casting)
    server.workers.end(DONE)
    server.workers.end(failed())
    assert server.told == [("ack", tags[0]), ("letter",)]
    server.casting.confirm()
    assert server.told == [("ack", tags[1]), ("drained",)]


# ---- queues of others


def test_what_is_no_request_in_a_foreign_queue_is_for_the_default_function() -> None:
    server = CastServer(source=Source.foreign("task_queue"))
    server.come(body="안녕".encode(), message_id=None, redelivered=True)
    assert server.told == [("copy", 0)], "the default function may run twice"
    server.come(body=b"Hello", message_id=None)
    (work,) = server.workers.works
    assert work.context is not None
    assert Context.read(work.context).bare
    server.workers.end(failed())
    assert the_letter(server).came_from == "task_queue"


def test_a_request_in_a_foreign_queue_is_a_request() -> None:
    server = CastServer(source=Source.foreign("task_queue"))
    server.come("once", redelivered=True)
    assert "may have run before" in the_letter(server).error


def test_its_headers_can_be_told_to_be_there_without_reading_them() -> None:
    delivery = Delivery(1, False, b"", None, None, None, None)
    assert not delivery.has_headers
    delivery.content_bytes = content({})
    assert delivery.has_headers


# ---- events for handlers

HANDLER = Handled("receipt", ("order.*",), None, Served(idempotent=True, retry=Retry(attempts=2, back_off=4.0)))
ONCE = Handled("receipt", ("order.*",), None, Served(idempotent=False))


def event(server: CastServer, *, exchange: str, routing_key: str, **said: Any) -> None:
    """Have an event delivered that was published there."""
    server._tags += 1
    delivery = Delivery(server._tags, said.pop("redelivered", False), b"7", None, None, None, None, "m")
    delivery.route_bytes = short_string(exchange) + short_string(routing_key)
    delivery.content_bytes = content(said)
    server.casts.delivered(server.casting, server.cast_consumer, delivery)


def context(server: CastServer) -> Context:
    told = server.workers.works[-1].context
    assert told is not None
    return Context.read(told)


def test_a_handlers_worker_is_told_of_its_event() -> None:
    server = CastServer(source=Source.of_handler("rpc_queue", HANDLER))
    event(server, exchange="rpcsvc.topics", routing_key="order.paid", trace="t", **{FIRST_PUBLISHED: 5000})
    assert context(server) == Context(
        kind="event",
        message_id="m",
        handler="receipt",
        topic="order.paid",
        content_type="",
        first_published=5000,
        headers={"trace": "t"},
    )


def test_an_event_that_is_tried_again_keeps_its_topic_and_is_marked_in_its_turn() -> None:
    server = CastServer(source=Source.of_handler("rpc_queue", HANDLER))
    event(server, exchange="rpcsvc.topics", routing_key="order.paid")
    server.workers.end(failed(retry_in=4.0))
    copy = server.casting.confirm()
    for headers in copy.headers:
        assert (headers[TOPIC], headers[ATTEMPTS]) == ("order.paid", 1)
    assert copy.seconds == 4
    event(server, exchange="rpcsvc.due", routing_key="0.1.q", **copy.headers[0])
    again = context(server)
    assert (again.topic, again.attempt, again.redelivered, again.headers) == ("order.paid", 2, True, {})
    server.workers.end(failed())
    letter = server.casting.confirm()
    assert {headers[TOPIC] for headers in letter.headers} == {"order.paid"}
    assert letter.headers[0]["rpcsvc-queue"] == server.cast_consumer.source.queue


def test_a_handlers_function_says_whether_its_event_may_be_handled_twice(caplog: pytest.LogCaptureFixture) -> None:
    server = CastServer(source=Source.of_handler("rpc_queue", HANDLER))
    event(server, exchange="rpcsvc.topics", routing_key="order.paid")
    server.workers.end(DIED)
    assert server.casting.sending[0][1].seconds == 4
    server = CastServer(source=Source.of_handler("rpc_queue", ONCE))
    event(server, exchange="rpcsvc.topics", routing_key="order.paid", redelivered=True)
    assert the_letter(server).error_type == "OutcomeUnknown"
    assert "event order.paid for receipt is a dead letter in 'rpc_queue.dead'" in caplog.text
