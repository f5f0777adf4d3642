"""What is remembered of calls that are not here: cancels, and outcomes without a session."""

from __future__ import annotations

from dataclasses import dataclass

from rpcsvc.server.register import CANCEL_GRACE, CANCELS, KEPT_BYTES, KEPT_SECONDS, Register


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_cancel_is_remembered_once_and_for_as_long_as_its_call_might_come() -> None:
    clock = Clock()
    register = Register(clock)
    for call_id in "123":
        register.give_up(("q", call_id), 10)
    assert register.was_given_up(("q", "1"))
    assert not register.was_given_up(("q", "1")), "it comes once"
    assert not register.was_given_up(("another", "2"))
    clock.now = 10 + CANCEL_GRACE - 0.1
    assert register.was_given_up(("q", "2"))
    clock.now = 10 + CANCEL_GRACE
    assert not register.was_given_up(("q", "3"))


def test_only_so_many_cancels_are_remembered_and_the_oldest_go_first() -> None:
    register = Register(Clock())
    for number in range(CANCELS + 1000):
        register.give_up(("q", str(number)), 1e6)
    assert not register.was_given_up(("q", "999"))
    assert register.was_given_up(("q", "1000"))
    assert register.was_given_up(("q", str(CANCELS + 999)))


def test_an_outcome_is_kept_for_the_same_request_once_and_for_a_while() -> None:
    clock = Clock()
    register = Register(clock)
    register.keep(("q", "1"), b"request", b"response", has_run=True)
    register.keep(("q", "2"), b"request", None, has_run=False)
    register.keep(("q", "3"), b"request", b"response", has_run=True)
    register.keep(("q", "4"), b"request", b"response", has_run=True)
    kept = register.kept(("q", "1"), b"request")
    assert kept is not None
    assert (kept.response, kept.has_run) == (b"response", True)
    assert register.kept(("q", "1"), b"request") is None
    kept = register.kept(("q", "2"), b"request")
    assert kept is not None
    assert (kept.response, kept.has_run) == (None, False)
    assert register.kept(("q", "3"), b"another request of the same name") is None
    clock.now = KEPT_SECONDS
    assert register.kept(("q", "4"), b"request") is None


def test_outcomes_that_are_kept_are_bounded_in_bytes() -> None:
    register = Register(Clock())
    for number in range(40):
        register.keep(("q", str(number)), b"request", bytes(KEPT_BYTES // 20), has_run=True)
    assert [number for number in range(40) if register.kept(("q", str(number)), b"request")] == list(range(21, 40))


def test_what_has_passed_leaves_nothing_behind() -> None:
    clock = Clock()
    register = Register(clock)
    register.give_up(("q", "1"), 1)
    register.keep(("q", "2"), b"", b"", has_run=True)
    assert repr(register) == "<Register: 0 messages and 0 calls under way, 1 cancels and 1 outcomes remembered>"
    assert not register.is_empty
    clock.now = 2 * KEPT_SECONDS
    register.sweep()
    assert register.is_empty
