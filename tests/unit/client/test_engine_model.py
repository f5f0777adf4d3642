"""Any history of calls and faults, in memory and in virtual time: every call ends once, in time, and as it may.

Connections go, servers die and come, the queue is deleted, messages are late, overtake each other and come twice. What
must not run twice does not.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.examples import examples
from support.history import History

from rpcsvc.client.orders import Orders
from rpcsvc.client.pending import Pending

STEPS = st.one_of(
    st.tuples(st.just("call"), st.sampled_from(["echo", "once"]), st.integers(1, 40), st.floats(0.05, 8.0)),
    st.tuples(st.just("wait"), st.floats(0.0, 3.0)),
    st.tuples(st.just("give up"), st.integers(0, 100)),
    st.tuples(st.sampled_from(["lose", "kill", "start", "delete", "delete and declare"])),
    st.tuples(st.just("hold"), st.floats(0.0, 1.0)),
    st.tuples(st.just("slow"), st.sampled_from([0.001, 0.01, 0.3])),
    st.tuples(st.just("duplicates"), st.sampled_from([0.0, 0.5, 1.0])),
)


@examples(150)
@given(seed=st.integers(0, 2**32), steps=st.lists(STEPS, max_size=25), pack=st.booleans())
def test_every_call_ends_once_in_time_and_as_it_may(seed: int, steps: list[Any], pack: bool) -> None:
    history = History(seed, pack=pack, patience=2.0)
    for step in steps:
        history.step(*step)
    history.check()


# ---- the model finds bugs that are planted into the engine --------------------------------------------------------

LOSSES: list[Any] = [("call", "once", 20, 5.0), ("wait", 0.06), ("lose",), ("wait", 0.06)] * 3
QUIET: list[Any] = [("call", "echo", 20, 5.0), ("wait", 0.5), ("duplicates", 1.0), ("call", "echo", 20, 5.0)]


def is_caught(steps: list[Any]) -> bool:
    for seed in range(20):
        history = History(seed, pack=False, patience=2.0)
        try:
            for step in steps:
                history.step(*step)
            history.check()
        except AssertionError:
            return True
    return False


@pytest.mark.parametrize("steps", [LOSSES, QUIET], ids=["losses", "quiet"])
def test_without_a_bug_nothing_is_caught(steps: list[Any]) -> None:
    assert not is_caught(steps)


def test_calls_that_are_sent_again_without_a_mark_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    mark = Orders._mark

    def forgetful(self: Orders, message: Any, detail: Any) -> None:
        mark(self, message, detail)
        for call in message.calls:
            call.may_have_run = False

    monkeypatch.setattr(Orders, "_mark", forgetful)
    assert is_caught(LOSSES)


def test_replies_that_go_to_anybody_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    find = Orders.find

    def anybody(self: Orders, message_id: str | None) -> Any:
        return find(self, next((call.call_id for call in self.calls), None))

    monkeypatch.setattr(Orders, "find", anybody)
    assert is_caught(QUIET)


def test_calls_that_stay_in_the_table_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    pop = Pending.pop

    def keep(self: Pending[Any], correlation_id: str, *, answered: bool) -> Any:
        call = pop(self, correlation_id, answered=answered)
        if call is not None:
            self._calls[correlation_id] = call
        return call

    monkeypatch.setattr(Pending, "pop", keep)
    assert is_caught(QUIET[:1])


def test_calls_that_are_not_sent_again_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    def forget(self: Orders, message: Any, _: Any) -> None:
        for call in message.calls:
            self.calls.pop(call.call_id, answered=False)

    monkeypatch.setattr(Orders, "_count", forget)
    assert is_caught(LOSSES)
