"""Which calls are under way, what is remembered of those that are not, and when a late one is stopped."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

from rpcsvc.deadline import Deadline
from rpcsvc.server.under_way import CANCEL_GRACE, CANCELS, KEPT_BYTES, KEPT_SECONDS, LATE, LOOK_EVERY, UnderWay
from rpcsvc.wire.control import Cancel


@dataclass
class Loop:
    """A clock and one timer, moved by hand."""

    now: float = 0.0
    timers: list[tuple[float, Callable[[], None]]] = field(default_factory=list)

    def later(self, seconds: float, call: Callable[[], None]) -> asyncio.TimerHandle:
        self.timers.append((self.now + seconds, call))
        return cast(asyncio.TimerHandle, self)

    def cancel(self) -> None:
        self.timers.clear()

    def run_until(self, moment: float) -> None:
        while self.timers and self.timers[0][0] <= moment:
            self.now, call = self.timers.pop(0)
            call()
        self.now = moment


@dataclass(eq=False)
class Call:
    deadline: Deadline | None = None
    cancels: int = 0

    def cancel(self) -> None:
        self.cancels += 1


def under_way() -> tuple[UnderWay, Loop]:
    loop = Loop()
    return UnderWay(clock=lambda: loop.now, later=loop.later), loop


def given_up(*ids: str, remaining: float = 10.0, reply_to: str = "q") -> Cancel:
    return Cancel(reply_to, list(ids), remaining)


def test_a_call_is_found_by_its_queue_and_id_until_it_is_over() -> None:
    calls, _ = under_way()
    call = Call()
    calls.add(("q", "1"), call)
    assert calls.get(("q", "1")) is call
    assert calls.get(("another", "1")) is None
    calls.remove(("q", "1"), call)
    assert calls.get(("q", "1")) is None
    assert len(calls) == 0


def test_of_two_calls_of_one_name_the_end_of_the_first_leaves_the_second() -> None:
    calls, _ = under_way()
    first, second = Call(), Call()
    calls.add(("q", "1"), first)
    calls.add(("q", "1"), second)
    calls.remove(("q", "1"), first)
    assert calls.calls() == [second]


def test_what_is_given_up_is_stopped_if_it_is_here_and_else_remembered() -> None:
    calls, _ = under_way()
    here, stranger = Call(), Call()
    calls.add(("q", "1"), here)
    calls.add(("another", "2"), stranger)
    calls.cancel(given_up("1", "2"))
    assert (here.cancels, stranger.cancels) == (1, 0)
    assert not calls.was_cancelled(("q", "1"))
    assert calls.was_cancelled(("q", "2"))
    assert not calls.was_cancelled(("q", "2")), "it comes once"


def test_a_cancel_is_remembered_for_as_long_as_its_call_might_come() -> None:
    calls, loop = under_way()
    calls.cancel(given_up("1", "2", remaining=10))
    loop.run_until(10 + CANCEL_GRACE - 0.1)
    assert calls.was_cancelled(("q", "1"))
    loop.run_until(10 + CANCEL_GRACE)
    assert not calls.was_cancelled(("q", "2"))


def test_only_so_many_cancels_are_remembered_and_the_oldest_go_first() -> None:
    calls, _ = under_way()
    for start in range(0, CANCELS + 1000, 1000):
        calls.cancel(given_up(*(str(start + n) for n in range(1000)), remaining=1e6))
    assert not calls.was_cancelled(("q", "999"))
    assert calls.was_cancelled(("q", "1000"))
    assert calls.was_cancelled(("q", str(CANCELS + 999)))


def test_a_call_is_stopped_some_time_after_its_deadline_and_one_without_runs_on() -> None:
    calls, loop = under_way()
    late, endless = Call(Deadline(5.0, lambda: loop.now)), Call()
    calls.add(("q", "1"), late)
    calls.add(("q", "2"), endless)
    loop.run_until(5.0 + LATE - 0.01)
    assert late.cancels == 0
    loop.run_until(5.0 + LATE + LOOK_EVERY)
    assert late.cancels >= 1
    assert endless.cancels == 0


def test_an_outcome_is_kept_for_the_same_request_once_and_for_a_while() -> None:
    calls, loop = under_way()
    calls.keep(("q", "1"), b"request", b"response", has_run=True)
    calls.keep(("q", "2"), b"request", None, has_run=False)
    calls.keep(("q", "3"), b"request", b"response", has_run=True)
    calls.keep(("q", "4"), b"request", b"response", has_run=True)
    kept = calls.kept(("q", "1"), b"request")
    assert kept is not None
    assert (kept.response, kept.has_run) == (b"response", True)
    assert calls.kept(("q", "1"), b"request") is None
    kept = calls.kept(("q", "2"), b"request")
    assert kept is not None
    assert (kept.response, kept.has_run) == (None, False)
    assert calls.kept(("q", "3"), b"another request of the same name") is None
    loop.run_until(KEPT_SECONDS)
    assert calls.kept(("q", "4"), b"request") is None


def test_outcomes_that_are_kept_are_bounded_in_bytes() -> None:
    calls, _ = under_way()
    for number in range(40):
        calls.keep(("q", str(number)), b"request", bytes(KEPT_BYTES // 20), has_run=True)
    kept = [number for number in range(40) if calls.kept(("q", str(number)), b"request")]
    assert kept == list(range(21, 40))


def test_nothing_is_looked_at_while_there_is_nothing() -> None:
    calls, loop = under_way()

    def something(do: Callable[[], Any]) -> None:
        assert loop.timers == []
        do()
        assert len(loop.timers) == 1, "one timer, whatever is under way"

    call = Call()
    something(lambda: calls.add(("q", "1"), call))
    calls.remove(("q", "1"), call)
    loop.run_until(loop.now + LOOK_EVERY)
    something(lambda: calls.cancel(given_up("1", remaining=3)))
    loop.run_until(loop.now + 10)
    something(lambda: calls.keep(("q", "1"), b"", b"", has_run=True))
    loop.run_until(loop.now + 2 * KEPT_SECONDS)
    assert loop.timers == []
    assert repr(calls) == "<UnderWay: 0 calls, 0 cancels and 0 outcomes remembered>"


def test_after_the_end_nothing_is_left() -> None:
    calls, loop = under_way()
    calls.add(("q", "1"), Call())
    calls.cancel(given_up("2"))
    calls.keep(("q", "3"), b"", b"", has_run=True)
    calls.close()
    assert loop.timers == []
    assert repr(calls) == "<UnderWay: 0 calls, 0 cancels and 0 outcomes remembered>"
