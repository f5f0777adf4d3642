"""Calls that wait: each ends exactly once, and nothing of them stays behind."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from support.examples import examples

from rpcsvc.client.pending import REMEMBERED, Ended, Pending, ReplyCounts


@dataclass(frozen=True, slots=True)
class Call:
    deadline: float


# ---- a model: every history of calls, replies, deadlines and losses ---------------------------------------------


class EveryHistory(RuleBasedStateMachine):
    """Compares the table with plain dictionaries. Ids are chosen from few, so replies often meet calls that ended."""

    ids = st.integers(0, 30).map(str)

    def __init__(self) -> None:
        super().__init__()
        self.memory = Ended()
        self.pending: Pending[Call] = Pending(self.memory)
        self.now = 0.0
        self.waiting: dict[str, Call] = {}
        self.ended: dict[str, bool] = {}
        self.expected = ReplyCounts()

    def _end(self, correlation_id: str, *, answered: bool) -> Call:
        assert correlation_id not in self.ended, "it ended before"
        self.ended[correlation_id] = answered
        return self.waiting.pop(correlation_id)

    @initialize()
    def nothing_waits_at_first(self) -> None:
        assert len(self.pending) == 0
        assert self.pending.next_deadline() == inf

    @rule(correlation_id=ids, timeout=st.integers(0, 20))
    def call(self, correlation_id: str, timeout: int) -> None:
        if correlation_id in self.waiting or correlation_id in self.ended:
            return  # an id is used once
        self.waiting[correlation_id] = Call(self.now + timeout)
        self.pending.add(correlation_id, self.waiting[correlation_id])

    @rule(correlation_id=ids)
    def reply(self, correlation_id: str) -> None:
        call = self.pending.pop(correlation_id, answered=True)
        if correlation_id in self.waiting:
            assert call is self._end(correlation_id, answered=True)
            return
        assert call is None
        self.memory.count_dropped(correlation_id)
        match self.ended.get(correlation_id):
            case True:
                self.expected.duplicate += 1
            case False:
                self.expected.late += 1
            case None:
                self.expected.unknown += 1

    @rule(correlation_id=ids)
    def give_up(self, correlation_id: str) -> None:
        call = self.pending.pop(correlation_id, answered=False)
        expected = self._end(correlation_id, answered=False) if correlation_id in self.waiting else None
        assert call is expected

    @rule(seconds=st.integers(0, 8))
    def time_passes(self, seconds: int) -> None:
        self.now += seconds
        due = {key: call for key, call in self.waiting.items() if call.deadline <= self.now}

        expired = self.pending.expire(self.now)

        assert dict(expired) == due
        assert [call.deadline for _, call in expired] == sorted(call.deadline for call in due.values())
        for correlation_id, _ in expired:
            self._end(correlation_id, answered=False)

    @rule()
    def the_connection_is_lost(self) -> None:
        drained = self.pending.drain()

        assert dict(drained) == self.waiting
        assert len(drained) == len(self.waiting)
        for correlation_id, _ in drained:
            self._end(correlation_id, answered=False)

    @invariant()
    def the_table_knows_who_waits(self) -> None:
        assert list(self.pending) == list(self.waiting.values())
        assert len(self.pending) == len(self.waiting)
        assert all(correlation_id in self.pending for correlation_id in self.waiting)
        assert {key: self.pending.get(key) for key in self.waiting} == self.waiting
        assert not any(self.pending.get(key) for key in self.ended)
        earliest = min((call.deadline for call in self.waiting.values()), default=inf)
        assert self.pending.next_deadline() == earliest
        assert self.memory.dropped == self.expected


TestEveryHistory = EveryHistory.TestCase
TestEveryHistory.settings = examples(30, stateful_step_count=40)


# ---- single promises --------------------------------------------------------------------------------------------


def test_a_reply_that_comes_twice_is_a_duplicate_and_one_after_the_deadline_is_late() -> None:
    ended = Ended()
    pending: Pending[Call] = Pending(ended)
    pending.add("answered", Call(1.0))
    pending.add("timed out", Call(1.0))
    pending.add("given up", Call(9.0))
    pending.pop("answered", answered=True)
    pending.expire(1.0)
    pending.pop("given up", answered=False)

    for correlation_id in ["answered", "timed out", "given up", "never sent", "", None]:
        ended.count_dropped(correlation_id)

    assert ended.dropped == ReplyCounts(late=2, duplicate=1, unknown=3)


def test_a_look_at_a_call_does_not_end_it() -> None:
    pending: Pending[Call] = Pending()
    call = Call(1.0)
    pending.add("a", call)

    assert pending.get("a") is call
    assert pending.get(None) is None
    assert pending.pop("a", answered=True) is call


def test_a_call_whose_deadline_is_now_has_expired() -> None:
    pending: Pending[Call] = Pending()
    call = Call(5.0)
    pending.add("a", call)

    assert pending.expire(4.999) == []
    assert pending.expire(5.0) == [("a", call)]
    assert pending.expire(5.0) == []


def test_the_next_deadline_is_that_of_a_call_that_still_waits() -> None:
    pending: Pending[Call] = Pending()
    for number in range(10):
        pending.add(str(number), Call(float(number)))
    for number in range(7):
        pending.pop(str(number), answered=True)

    assert pending.next_deadline() == 7.0


def test_calls_that_were_answered_long_before_their_deadlines_leave_nothing_behind() -> None:
    pending: Pending[Call] = Pending()
    pending.add("slow", Call(1e9))

    most = 0
    for number in range(20_000):
        pending.add(str(number), Call(30.0 + number))
        pending.pop(str(number), answered=True)
        most = max(most, len(pending._deadlines))

    assert most < 100
    assert list(pending) == [Call(1e9)]
    assert pending.expire(1e9) == [("slow", Call(1e9))]


def test_a_burst_that_was_answered_leaves_nothing_behind() -> None:
    pending: Pending[Call] = Pending()
    for number in range(5_000):
        pending.add(str(number), Call(30.0))
    for number in range(5_000):
        pending.pop(str(number), answered=True)

    assert len(pending) == 0
    assert len(pending._deadlines) < 100


def test_calls_expire_in_order_after_many_others_were_answered() -> None:
    pending: Pending[Call] = Pending()
    deadlines = [float(number * 7919 % 1009) for number in range(1009)]  # each once, in no order
    for deadline in deadlines:
        pending.add(str(deadline), Call(deadline))
    for deadline in deadlines:
        if deadline % 10:
            pending.pop(str(deadline), answered=True)

    assert [call.deadline for _, call in pending.expire(1e9)] == [float(tens) for tens in range(0, 1009, 10)]


def test_only_so_many_ended_calls_are_remembered_the_latest_of_them() -> None:
    ended = Ended()
    pending: Pending[Call] = Pending(ended)
    for number in range(3 * REMEMBERED + 10):
        pending.add(str(number), Call(0.0))
    pending.expire(0.0)

    for number in range(3 * REMEMBERED + 10):
        ended.count_dropped(str(number))
    assert ended.dropped == ReplyCounts(late=REMEMBERED + 10, unknown=2 * REMEMBERED)
    ended.count_dropped(str(3 * REMEMBERED + 9))
    ended.count_dropped("0")
    assert ended.dropped == ReplyCounts(late=REMEMBERED + 11, unknown=2 * REMEMBERED + 1)


def test_a_table_shows_how_many_wait_and_what_was_dropped() -> None:
    ended = Ended()
    pending: Pending[Call] = Pending(ended)
    pending.add("a", Call(1.0))
    ended.count_dropped("b")

    assert repr(pending) == "<Pending: 1 waiting, dropped ReplyCounts(late=0, duplicate=0, unknown=1)>"


def test_the_waiting_calls_can_be_listed() -> None:
    pending: Pending[Call] = Pending()
    waiting, answered = Call(1.0), Call(2.0)
    pending.add("a", waiting)
    pending.add("b", answered)
    pending.pop("b", answered=True)
    assert list(pending) == [waiting]
