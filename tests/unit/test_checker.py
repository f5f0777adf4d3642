"""The checker sees what it is there for, in histories made up for the purpose; and nothing where there is nothing."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
from harness.checker import Rules, Verdict, check
from harness.figures import Figures, broken
from harness.history import (
    CANCELLED,
    Cancelled,
    Cured,
    Ended,
    Event,
    Finished,
    History,
    Injected,
    Invoked,
    Measured,
    Orphaned,
    PoolSeen,
    ServerEnded,
    Started,
    Struck,
    Unresolved,
    decode,
    encode,
    read,
    shortened,
)
from harness.scenario import Scenario

CALL = Invoked(10.0, "c0-1", "c0/threads", "tiny", 2.0, True)
ONCE = replace(CALL, function="once", idempotent=False)
START = Started(10.1, "c0-1", 77)
GOOD = Ended(10.2, "c0-1", "ok")

HEADINGS = (
    "lost",
    "hung",
    "wrong",
    "double",
    "late",
    "after",
    "often",
    "unexpected",
    "for_nobody",
    "undrained",
    "orphans",
)


def found(*events: Event, rules: Rules | None = None) -> dict[str, int]:
    """The headings under which something was found."""
    verdict = check(sorted(events, key=lambda event: event.at), rules or Rules())
    for heading in HEADINGS:
        assert len(verdict.examples.get(heading, [])) == min(getattr(verdict, heading), 5), (
            "each count has its examples"
        )
    return {heading: getattr(verdict, heading) for heading in HEADINGS if getattr(verdict, heading)}


def test_in_a_good_history_nothing_is_found() -> None:
    verdict = check([CALL, START, Finished(10.15, "c0-1", 77), GOOD], Rules())
    assert found(CALL, START, GOOD) == {}
    assert (verdict.calls, verdict.ok, verdict.failed, verdict.reruns) == (1, 1, 0, 0)
    assert verdict.lateness == pytest.approx(-1.8)
    assert broken(verdict, Figures()) == []


def test_a_call_without_a_word_is_lost_and_one_that_its_client_gave_up_hangs() -> None:
    assert found(CALL, START) == {"lost": 1}
    assert found(CALL, START, Unresolved(20.0, "c0-1")) == {"hung": 1}


def test_a_wrong_value_is_wrong_however_early_it_came() -> None:
    assert found(CALL, START, replace(GOOD, right=False)) == {"wrong": 1}


def test_two_outcomes_are_double_even_if_they_agree() -> None:
    assert found(CALL, GOOD, replace(GOOD, at=10.3)) == {"double": 1}


def test_a_wrong_value_is_found_behind_a_right_one() -> None:
    assert found(CALL, GOOD, replace(GOOD, at=10.3, right=False)) == {"double": 1, "wrong": 1}


@pytest.mark.parametrize(("after_deadline", "expected"), [(0.24, {}), (0.26, {"late": 1})])
def test_an_outcome_is_late_from_its_slack_on(after_deadline: float, expected: dict[str, int]) -> None:
    assert found(CALL, replace(GOOD, at=12.0 + after_deadline)) == expected


@pytest.mark.parametrize(("after_deadline", "expected"), [(0.24, {}), (0.26, {"after": 1})])
def test_a_start_after_the_deadline_is_found_from_its_slack_on(after_deadline: float, expected: dict[str, int]) -> None:
    timeout = Ended(12.0, "c0-1", "RpcTimeout")
    late_start = Started(12.0 + after_deadline, "c0-1", 77)
    assert found(CALL, timeout, late_start, rules=Rules(allowed=frozenset({"RpcTimeout"}))) == expected


def test_a_call_that_must_not_run_twice_may_begin_once() -> None:
    assert found(ONCE, START, GOOD) == {}
    assert found(ONCE, START, replace(START, pid=78), GOOD) == {"often": 1}


def test_a_call_that_may_run_twice_may_begin_as_often_as_the_rules_say() -> None:
    starts = [replace(START, pid=number) for number in range(3)]
    assert found(CALL, *starts, GOOD, rules=Rules(most_starts=3)) == {}
    assert found(CALL, *starts, GOOD, rules=Rules(most_starts=2)) == {"often": 1}
    assert check([CALL, *starts, GOOD], Rules()).reruns == 1


def test_an_error_that_the_scenario_does_not_allow_is_unexpected() -> None:
    lost = Ended(10.2, "c0-1", "ConnectionLost")
    assert found(CALL, lost) == {"unexpected": 1}
    assert found(CALL, lost, rules=Rules(allowed=frozenset({"ConnectionLost"}))) == {}


@pytest.mark.parametrize(("invoked", "expected"), [(7.9, {"after": 1}), (9.0, {}), (10.9, {}), (11.1, {"after": 1})])
def test_only_calls_that_a_fault_held_up_on_their_way_may_begin_after_their_deadline(
    invoked: float, expected: dict[str, int]
) -> None:
    call, late = replace(CALL, at=invoked), replace(START, at=20.0)
    fault = (Injected(10.0, "a hole"), Cured(19.0, "a hole"))
    ended = Ended(invoked + 2.0, "c0-1", "RpcTimeout")
    allowed = Rules(allowed=frozenset({"RpcTimeout"}), held_up=1.0)
    assert found(call, *fault, late, ended, rules=allowed) == expected
    assert found(call, *fault, late, ended, rules=replace(allowed, held_up=0.0)) == {"after": 1}


@pytest.mark.parametrize(("link", "expected"), [("c0/threads", {"after": 1}), ("c1/threads", {})])
def test_a_fault_holds_up_only_so_many_calls_of_each_connection(link: str, expected: dict[str, int]) -> None:
    calls = CALL, replace(CALL, call="second", link=link)
    starts = replace(START, at=20.0), replace(START, call="second", at=20.0)
    ends = Ended(12.0, "c0-1", "RpcTimeout"), Ended(12.0, "second", "RpcTimeout")
    rules = Rules(allowed=frozenset({"RpcTimeout"}), held_up=1.0, most_held_up=1)
    assert found(Injected(9.5, "an alarm"), *calls, *starts, *ends, rules=rules) == expected


def test_each_fault_holds_up_calls_of_its_own() -> None:
    calls = CALL, replace(CALL, call="second", at=30.0)
    starts = replace(START, at=20.0), replace(START, call="second", at=40.0)
    ends = Ended(12.0, "c0-1", "RpcTimeout"), Ended(32.0, "second", "RpcTimeout")
    faults = Injected(9.5, "one"), Cured(20.0, "one"), Injected(29.5, "two"), Cured(40.0, "two")
    rules = Rules(allowed=frozenset({"RpcTimeout"}), held_up=math.inf, most_held_up=1)
    assert found(*faults, *calls, *starts, *ends, rules=rules) == {}


@pytest.mark.parametrize(
    ("at", "expected"), [(9.9, {"unexpected": 1}), (10.5, {}), (13.9, {}), (14.1, {"unexpected": 1})]
)
def test_a_fault_excuses_what_happens_from_its_beginning_until_some_seconds_after_its_cure(
    at: float, expected: dict[str, int]
) -> None:
    rules = Rules(allowed=frozenset({"ConnectionLost"}), aftermath=2.0)
    lost = Ended(at, "c0-1", "ConnectionLost")
    call = replace(CALL, at=9.0, timeout=20.0)
    assert found(call, Injected(10.0, "a cut"), Cured(12.0, "a cut"), lost, rules=rules) == expected


def test_a_worker_is_only_lost_to_calls_of_workers_that_were_struck() -> None:
    rules = Rules(allowed=frozenset({"WorkerLost"}))
    lost = Ended(10.2, "c0-1", "WorkerLost")
    assert found(CALL, START, Struck(10.15, 1, 77, "SIGKILL"), lost, rules=rules) == {}
    assert found(CALL, START, Struck(10.15, 1, 78, "SIGKILL"), lost, rules=rules) == {"unexpected": 1}


def test_poison_ends_as_it_must_and_not_otherwise() -> None:
    rules = Rules(natural={"poison_exit": frozenset({"WorkerLost"})})
    poison = replace(CALL, function="poison_exit")
    assert found(poison, START, Ended(10.2, "c0-1", "WorkerLost"), rules=rules) == {}
    assert found(poison, START, GOOD, rules=rules) == {"unexpected": 1}
    assert found(poison, START, Ended(12.0, "c0-1", "RpcTimeout"), rules=rules) == {"unexpected": 1}


def test_a_call_is_given_up_by_its_caller_or_not_at_all() -> None:
    ended = replace(GOOD, outcome=CANCELLED)
    assert found(CALL, START, Cancelled(10.15, "c0-1"), ended) == {}
    assert found(CALL, START, ended) == {"unexpected": 1}
    assert check([CALL, Cancelled(10.15, "c0-1"), ended], Rules()).failed == 0


def test_a_call_that_was_given_up_does_not_begin() -> None:
    given_up = Cancelled(10.5, "c0-1"), Ended(10.5, "c0-1", CANCELLED)
    assert found(CALL, *given_up, replace(START, at=10.7)) == {}
    assert found(CALL, *given_up, replace(START, at=10.8)) == {"after": 1}


PATIENT = Rules(allowed=frozenset({"RpcTimeout"}), stop_slack=2.0)
TIMED_OUT = Ended(12.0, "c0-1", "RpcTimeout")


@pytest.mark.parametrize(("finished", "expected"), [(13.9, {}), (14.1, {"for_nobody": 1})])
def test_nobody_goes_on_for_long_with_a_call_whose_caller_has_gone(finished: float, expected: dict[str, int]) -> None:
    assert found(CALL, START, TIMED_OUT, Finished(finished, "c0-1", 77), rules=PATIENT) == expected
    assert found(CALL, START, TIMED_OUT, Finished(finished, "c0-1", 77), rules=replace(PATIENT, stop_slack=None)) == {}


def test_a_computation_ends_with_its_worker_and_with_the_next_one_on_it() -> None:
    assert found(CALL, START, TIMED_OUT, rules=PATIENT) == {"for_nobody": 1}
    seen = PoolSeen(9.0, 1, 2, (77, 78))
    assert found(seen, CALL, START, TIMED_OUT, PoolSeen(13.0, 1, 2, (78, 79)), rules=PATIENT) == {}
    assert found(CALL, START, TIMED_OUT, Started(13.0, "c0-2", 77), rules=PATIENT) == {}


def test_a_call_that_had_its_answer_may_be_computed_as_long_as_it_likes() -> None:
    assert found(CALL, START, GOOD, rules=PATIENT) == {}


# ---- times


def recovery(*events: Event) -> float | None:
    return check(sorted(events, key=lambda event: event.at), Rules()).recovery


def test_recovery_is_the_time_to_the_first_success_of_a_call_made_after_the_cure() -> None:
    before = replace(CALL, call="before", at=9.5)
    sooner = replace(GOOD, call="before", at=10.1)
    failed = replace(CALL, call="failed", at=10.2)
    events = (Injected(9.0, "f"), Cured(10.0, "f"), before, sooner, failed, Ended(10.3, "failed", "ConnectionLost"))
    later = replace(CALL, call="later", at=11.0)
    assert recovery(*events, later, replace(GOOD, call="later", at=11.5)) == pytest.approx(1.5)


def test_recovery_is_that_of_the_slowest_connection_and_of_the_worst_cure() -> None:
    other = replace(CALL, call="c1-1", link="c1/asyncio", at=10.5)
    events = (Cured(10.0, "f"), CALL, GOOD, other, Ended(12.0, "c1-1", "ok"))
    assert recovery(*events) == pytest.approx(2.0)
    third = replace(CALL, call="c1-2", link="c1/asyncio", at=20.0)
    assert recovery(*events, Cured(15.0, "f"), third, Ended(20.5, "c1-2", "ok")) == pytest.approx(5.5)


def test_a_connection_that_never_succeeds_again_never_recovers() -> None:
    verdict = check([Cured(10.0, "f"), CALL, Ended(10.2, "c0-1", "ConnectionLost")], Rules())
    assert verdict.recovery == math.inf
    assert "recovery inf > 5.00" in broken(verdict, Figures())


def test_without_a_cure_there_is_no_recovery_to_measure() -> None:
    assert recovery(CALL, GOOD) is None


def test_the_pool_is_full_again_when_all_workers_are_there_and_none_is_the_dead_one() -> None:
    not_yet_noticed = PoolSeen(10.05, 1, 2, (76, 77))
    seen = [PoolSeen(9.0, 1, 2, (77, 78)), not_yet_noticed, PoolSeen(10.1, 1, 2, (78,)), PoolSeen(10.6, 1, 2, (78, 79))]
    other = PoolSeen(10.2, 2, 2, (90, 91))
    struck = Struck(10.0, 1, 77, "SIGKILL")
    assert check([*seen, other, struck], Rules()).refill == pytest.approx(0.6)
    assert check([*seen[:3], other, struck], Rules()).refill == math.inf


def test_a_worker_that_was_only_stopped_and_one_whose_server_ended_need_no_replacement() -> None:
    seen = PoolSeen(9.0, 1, 1, (77,))
    assert check([seen, Struck(10.0, 1, 77, "SIGSTOP")], Rules()).refill is None
    assert check([seen, Struck(10.0, 1, 77, "SIGKILL"), ServerEnded(10.1, 1, "SIGKILL", -9)], Rules()).refill is None


def test_whoever_ends_a_worker_another_one_has_to_come() -> None:
    seen = [PoolSeen(9.0, 1, 2, (77,)), PoolSeen(9.1, 1, 2, (77, 78))]
    lost = PoolSeen(10.0, 1, 2, (78,))
    verdict = check([*seen, lost, PoolSeen(10.5, 1, 2, (78, 79)), PoolSeen(11.0, 1, 2, (79, 80))], Rules())
    assert verdict.deaths == 2
    assert verdict.refill == pytest.approx(0.5)
    assert check([*seen, lost], Rules()).refill == math.inf
    assert check([*seen, ServerEnded(9.9, 1, "SIGTERM", 0), lost], Rules()).deaths == 0


def test_a_server_that_reloads_has_the_new_workers_before_the_old_ones_go() -> None:
    seen = [PoolSeen(9.0, 1, 1, (77,)), PoolSeen(10.0, 1, 1, (77, 78)), PoolSeen(11.0, 1, 1, (78,))]
    assert check(seen, Rules()).refill == 0


def test_the_pace_is_that_of_the_faults() -> None:
    faults = [Injected(10.0, "f"), Cured(12.0, "f")]
    calls = [replace(CALL, call=f"x{number}", at=9.9 + number / 2) for number in range(6)]
    verdict = check(sorted([*faults, *calls, Ended(10.5, "x1", "ok")], key=lambda event: event.at), Rules())
    assert (verdict.offered, verdict.useful) == (2.0, 0.5)
    assert "useful 0.5 a second < 1" in broken(verdict, Figures(least_useful=1))
    assert check([CALL, GOOD], Rules()).useful is None


# ---- what is left


def test_a_server_whose_connection_is_another_one_has_reconnected() -> None:
    before = Measured(5.0, "server 1", "before", ports=(4000,))
    after = replace(before, at=50.0, when="after")
    assert check([before, after], Rules()).reconnects == 0
    assert check([before, replace(after, ports=(4001,))], Rules()).reconnects == 1


def test_what_is_left_at_the_end_is_found() -> None:
    before = Measured(5.0, "c0", "before", fds=20, memory=1000)
    after = Measured(50.0, "c0", "after", pending=3, fds=25, memory=5000, zombies=1)
    verdict = check([before, after, Orphaned(51.0, 1, 77)], Rules())
    assert (verdict.pending, verdict.fds, verdict.memory, verdict.zombies) == (3, 5, 4000, 1)
    assert verdict.orphans == 1


def test_who_was_not_measured_before_has_not_grown() -> None:
    assert check([Measured(50.0, "server 2", "after", fds=25, memory=5000)], Rules()).fds == 0


@pytest.mark.parametrize(
    ("ended", "expected"),
    [
        (ServerEnded(10.0, 1, "SIGTERM", 0), {}),
        (ServerEnded(10.0, 1, "SIGTERM", None), {"undrained": 1}),
        (ServerEnded(10.0, 1, "SIGTERM", 5), {"undrained": 1}),
        (ServerEnded(10.0, 1, "SIGKILL", -9), {}),
    ],
)
def test_a_server_has_to_drain_when_it_is_told_to(ended: ServerEnded, expected: dict[str, int]) -> None:
    assert found(ended) == expected


# ---- figures


@pytest.mark.parametrize("heading", [*HEADINGS, "zombies", "pending", "queued"])
def test_one_of_anything_that_must_not_be_breaks_the_figures(heading: str) -> None:
    verdict = check([CALL, GOOD], Rules())
    setattr(verdict, heading, 1)
    assert broken(verdict, Figures()) == [f"{heading} 1 > 0"]


def test_figures_bound_what_they_are_told_to() -> None:
    verdict = check([CALL, replace(CALL, call="x"), GOOD, Ended(10.2, "x", "RpcTimeout")], Rules())
    verdict.unexpected = 0
    assert broken(verdict, Figures(failed=1)) == []
    assert broken(verdict, Figures(failed=0)) == ["failed 1 > 0"]
    assert broken(verdict, Figures(least_ok=0.6)) == ["only 1 of 2 calls succeeded"]


def test_a_run_without_calls_does_not_pass() -> None:
    assert broken(Verdict(), Figures()) == ["no calls were made"]


# ---- the history


@pytest.mark.parametrize(
    "event",
    [
        CALL,
        START,
        GOOD,
        Measured(1.0, "s", "after", ports=(5, 6)),
        PoolSeen(1.0, 1, 2, (3, 4)),
        ServerEnded(1.0, 1, "SIGTERM", None),
    ],
)
def test_an_event_is_read_as_it_was_written(event: Event) -> None:
    assert decode(encode(event)) == event


def test_a_history_is_read_in_the_order_of_time_without_a_line_that_was_cut_off(tmp_path: Path) -> None:
    first, second = History(tmp_path / "a"), History(tmp_path / "b")
    for history, events in ((first, (CALL, GOOD)), (second, (START,))):
        for event in events:
            history.write(event)
        history.close()
    with (tmp_path / "b").open("ab") as file:
        file.write(encode(GOOD)[:20])
    assert read([tmp_path / "a", tmp_path / "b"]) == [CALL, START, GOOD]


def test_an_error_of_any_length_and_script_fits_into_one_line(tmp_path: Path) -> None:
    history = History(tmp_path / "a")
    history.write(replace(GOOD, text=shortened('\x00"☃' * 100_000)))
    history.close()
    assert len(read([tmp_path / "a"])) == 1


def test_a_scenario_on_a_busy_machine_has_longer_for_everything_and_the_same_counts() -> None:
    scenario = Scenario(
        "s", "", lambda stage: None, rules=Rules(stop_slack=2.0, aftermath=None), figures=Figures(refill=None)
    )
    longer = scenario.stretched(3.0)
    assert longer.rules == Rules(start_slack=0.75, late_slack=0.75, stop_slack=6.0, aftermath=None)
    assert longer.figures == Figures(recovery=15.0, refill=None)
    assert scenario.stretched(1.0) == scenario
