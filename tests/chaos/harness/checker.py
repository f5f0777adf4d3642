"""What a history says about the promises. Pure: events in, a verdict out.

    lost        invoked, and its client, which ended in good order, says nothing of it
    hung        no outcome long after its deadline
    wrong       a result that is not the function's value for those arguments
    double      more than one outcome
    late        an outcome later than its deadline and `late_slack`
    after       began after its deadline and `start_slack`
    often       began more often than it may: once, where running twice does harm
    unexpected  an outcome that the scenario does not excuse, or that no fault near it does, or that blames a worker
                nobody struck
    reruns      calls that began more than once, whether they may or not
    recovery    seconds from a cure to the first success of a call invoked after it, on the slowest connection
    refill      seconds from a worker's end until its server had all its workers again, at worst
    deaths      workers that went while their server was not told to end
    for_nobody  calls that were computed long after their caller had given them up or had its time-out
    undrained   servers that did not end on SIGTERM, or not with exit code 0
    reconnects  servers that had other connections to the broker in the end than before
    offered, useful     calls and successes a second, while faults lasted
    given, undone, early, twice, buried     casts and events, as `owed` has them; `often` counts those that must not

A call counts once for each heading. Each heading keeps a few examples, as sentences.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from .history import (
    CANCELLED,
    Cancelled,
    Cured,
    Ended,
    Event,
    Injected,
    Invoked,
    Measured,
    Orphaned,
    PoolSeen,
    ServerEnded,
    Started,
    Struck,
    Unresolved,
)
from .owed import check_owed
from .workers import Run, lost_workers, runs

E = TypeVar("E", Invoked, Cancelled, Ended, Unresolved, Started)

OK = "ok"
EXAMPLES = 5
_BLAME = frozenset({"WorkerLost", "TimeLimitExceeded"})
"""Outcomes that say that the call's own worker ended, so there must be a reason."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What is excused in a run.

    Attributes:
        allowed: outcomes that any call may have, beside `ok`.
        natural: outcomes that calls of a function have by themselves, `ok` not among them.
        most_starts: how often a call may begin that may run twice; each lost connection or server may cost one more.
        start_slack, late_slack: seconds.
        stop_slack: seconds that a computation may go on for nobody; None is any time.
        held_up: calls made in the first so many seconds of a fault may be on their way in it, where nobody can recall
            them, and begin after their deadlines when it is cured.
        most_held_up: how many calls of one connection that may be in one fault.
        aftermath: how many seconds after a cure outcomes are still excused; None excuses them all through the run.
    """

    allowed: frozenset[str] = frozenset()
    natural: Mapping[str, frozenset[str]] = field(default_factory=dict)
    most_starts: int = 6
    start_slack: float = 0.25
    late_slack: float = 0.25
    stop_slack: float | None = None
    held_up: float = 0.0
    most_held_up: float = math.inf
    aftermath: float | None = None


@dataclass(slots=True)
class Verdict:
    """The counts, the worst times (seconds; infinity for never, None where there was nothing to measure), examples."""

    calls: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    lost: int = 0
    hung: int = 0
    wrong: int = 0
    double: int = 0
    late: int = 0
    after: int = 0
    often: int = 0
    unexpected: int = 0
    reruns: int = 0
    recovery: float | None = None
    refill: float | None = None
    lateness: float = -math.inf
    deaths: int = 0
    for_nobody: int = 0
    undrained: int = 0
    reconnects: int = 0
    offered: float | None = None
    useful: float | None = None
    orphans: int = 0
    zombies: int = 0
    pending: int = 0
    queued: int = 0
    fds: int = 0
    memory: int = 0
    given: int = 0
    undone: int = 0
    early: int = 0
    twice: int = 0
    buried: int = 0
    examples: dict[str, list[str]] = field(default_factory=dict)

    @property
    def ok(self) -> int:
        """How many calls succeeded."""
        return self.outcomes[OK]

    @property
    def failed(self) -> int:
        """How many calls ended in an error that is not their function's own; given up is no error."""
        return sum(count for outcome, count in self.outcomes.items() if outcome not in (OK, "natural", CANCELLED))

    def note(self, heading: str, sentence: str) -> None:
        """Count one more, and keep the sentence if there are few."""
        setattr(self, heading, getattr(self, heading) + 1)
        examples = self.examples.setdefault(heading, [])
        if len(examples) < EXAMPLES:
            examples.append(sentence)


def check(events: Iterable[Event], rules: Rules) -> Verdict:
    """The verdict on a history, whose events are in the order of time."""
    events = list(events)
    verdict = Verdict()
    ended = _by_call(events, Ended)
    started = _by_call(events, Started)
    unresolved = _by_call(events, Unresolved)
    given_up = _by_call(events, Cancelled)
    spans = _spans(events)
    found = _Found(
        struck={event.pid for event in events if isinstance(event, Struck)},
        given_up={call: each[0].at for call, each in given_up.items()},
        runs={} if rules.stop_slack is None else runs(events),
        excused=_excused(spans, rules),
        held_up=_HeldUp(spans, rules),
    )
    for invoked in _of(events, Invoked):
        verdict.calls += 1
        starts = started.get(invoked.call, [])
        _check_starts(verdict, rules, invoked, starts, found)
        outcomes = ended.get(invoked.call, [])
        if not outcomes:
            if invoked.call in unresolved:
                verdict.note("hung", f"{_name(invoked)}: no outcome {_began(invoked, starts)}")
            else:
                verdict.note("lost", f"{_name(invoked)}: nothing is known of it {_began(invoked, starts)}")
            continue
        _check_outcomes(verdict, rules, invoked, outcomes)
        _check_kind(verdict, rules, invoked, outcomes[0], starts, found)
        _check_runs(verdict, rules, invoked, outcomes[0], found)
    verdict.recovery = _recovery(events, ended)
    verdict.refill = _refill(events)
    lost = lost_workers(events)
    verdict.deaths = len(lost)
    if lost:
        verdict.refill = max(verdict.refill or 0.0, *(each.replaced - each.at for each in lost))
    _measure_pace(verdict, events, spans)
    _check_ends(verdict, events)
    _check_owed(verdict, events)
    return verdict


@dataclass(frozen=True, slots=True)
class _Found:
    """What is looked up for each call.

    Attributes:
        struck: workers that were sent signals.
        given_up: when the caller gave a call up.
        runs: of each call.
        excused: from when to when calls may end in what is allowed.
        held_up: which calls may begin late.
    """

    struck: set[int]
    given_up: Mapping[str, float]
    runs: Mapping[str, list[Run]]
    excused: list[tuple[float, float]]
    held_up: _HeldUp


# ---- calls


class _HeldUp:
    """Tells which calls a fault held up, and how many of each connection."""

    def __init__(self, spans: list[tuple[float, float]], rules: Rules) -> None:
        self._rules = rules
        self._spans = spans if rules.held_up else []
        self._counts: Counter[tuple[float, str]] = Counter()

    def excuses(self, invoked: Invoked) -> bool:
        """Whether the call may begin late; it counts for those that come after it."""
        for fault, cure in reversed(self._spans):
            if fault - invoked.timeout <= invoked.at <= min(cure, fault + self._rules.held_up):
                self._counts[fault, invoked.link] += 1
                return self._counts[fault, invoked.link] <= self._rules.most_held_up
        return False


def _check_starts(verdict: Verdict, rules: Rules, invoked: Invoked, starts: list[Started], found: _Found) -> None:
    deadline = min(invoked.at + invoked.timeout, found.given_up.get(invoked.call, math.inf))
    last = max((start.at for start in starts), default=-math.inf)
    if last > deadline + rules.start_slack and not found.held_up.excuses(invoked):
        verdict.note("after", f"{_name(invoked)}: began {last - deadline:.3f} s after its deadline")
    if len(starts) > 1:
        verdict.note("reruns", f"{_name(invoked)}: began {_times(invoked, starts)}")
    if len(starts) > (rules.most_starts if invoked.idempotent else 1):
        verdict.note("often", f"{_name(invoked)}: began {_times(invoked, starts)}")


def _check_outcomes(verdict: Verdict, rules: Rules, invoked: Invoked, outcomes: list[Ended]) -> None:
    if len(outcomes) > 1:
        verdict.note("double", f"{_name(invoked)}: {', then '.join(each.outcome for each in outcomes)}")
    if any(not each.right for each in outcomes):
        verdict.note("wrong", f"{_name(invoked)}: {outcomes[0].text or 'the result is not its value'}")
    lateness = outcomes[0].at - invoked.at - invoked.timeout
    verdict.lateness = max(verdict.lateness, lateness)
    if lateness > rules.late_slack:
        verdict.note("late", f"{_name(invoked)}: {outcomes[0].outcome} {lateness:.3f} s after its deadline")


def _check_kind(
    verdict: Verdict, rules: Rules, invoked: Invoked, ended: Ended, starts: list[Started], found: _Found
) -> None:
    natural = rules.natural.get(invoked.function)
    if natural is not None and ended.outcome in natural:
        verdict.outcomes["natural"] += 1
        return
    verdict.outcomes[ended.outcome] += 1
    if ended.outcome == OK and natural is None:
        return
    if ended.outcome == CANCELLED and invoked.call in found.given_up:
        return
    said = f"{_name(invoked)}: {ended.outcome} {ended.text}".rstrip()
    if ended.outcome not in rules.allowed:
        verdict.note("unexpected", said)
    elif not any(begin <= ended.at <= end for begin, end in found.excused):
        verdict.note("unexpected", f"{said}; but no fault was near")
    elif (
        ended.outcome in _BLAME
        and starts
        and natural is None
        and not any(start.pid in found.struck for start in starts)
    ):
        verdict.note("unexpected", f"{said}; but nobody struck its worker")


def _check_runs(verdict: Verdict, rules: Rules, invoked: Invoked, ended: Ended, found: _Found) -> None:
    """When a call's owner has gone, nobody is to go on with it for long."""
    if rules.stop_slack is None or ended.outcome not in (CANCELLED, "RpcTimeout"):
        return
    for run in found.runs.get(invoked.call, ()):
        seconds = run.until - max(run.at, ended.at)
        if seconds > rules.stop_slack:
            how = "to the end" if math.isinf(seconds) else f"for {seconds:.3f} s"
            verdict.note("for_nobody", f"{_name(invoked)}: {ended.outcome}, and process {run.pid} went on {how}")
            return


def _excused(spans: list[tuple[float, float]], rules: Rules) -> list[tuple[float, float]]:
    """The times in which calls may end in what is allowed: from each fault until so long after its cure."""
    if rules.aftermath is None:
        return [(-math.inf, math.inf)]
    return [(fault, cure + rules.aftermath) for fault, cure in spans]


def _name(invoked: Invoked) -> str:
    return f"{invoked.function} {invoked.call} (time-out {invoked.timeout:.2f} s)"


def _began(invoked: Invoked, starts: list[Started]) -> str:
    return f"(began {_times(invoked, starts)})" if starts else "(it never began)"


def _times(invoked: Invoked, starts: list[Started]) -> str:
    return ", ".join(f"{start.at - invoked.at:.3f} s in {start.pid}" for start in starts)


# ---- times


def _recovery(events: list[Event], ended: Mapping[str, list[Ended]]) -> float | None:
    """For each cure and each connection that made calls after it, the time to the first success of one of those."""
    worst: float | None = None
    by_link: dict[str, list[Invoked]] = defaultdict(list)
    for invoked in _of(events, Invoked):
        by_link[invoked.link].append(invoked)
    for cure in _of(events, Cured):
        for calls in by_link.values():
            after = [call for call in calls if call.at >= cure.at]
            ends = [ended[call.call][0] for call in after if call.call in ended]
            seconds = min((end.at - cure.at for end in ends if end.outcome == OK), default=math.inf)
            if after:
                worst = max(worst or 0.0, seconds)
    return worst


def _refill(events: list[Event]) -> float | None:
    """For each worker that was killed, the time until its server was seen with all its workers and not that one.

    A server that was itself ended meanwhile owes nothing.
    """
    worst: float | None = None
    seen = list(_of(events, PoolSeen))
    for struck in _of(events, Struck):
        if struck.signal != "SIGKILL":
            continue
        full = next(
            (
                pool.at
                for pool in seen
                if pool.server == struck.server
                and pool.at >= struck.at
                and struck.pid not in pool.pids
                and len(pool.pids) >= pool.wanted
            ),
            math.inf,
        )
        gone = any(end.server == struck.server and struck.at <= end.at <= full for end in _of(events, ServerEnded))
        if not gone:
            worst = max(worst or 0.0, full - struck.at)
    return worst


def _spans(events: list[Event]) -> list[tuple[float, float]]:
    """From when to when each fault lasted; one that was not cured, for ever."""
    spans = []
    open_faults: dict[str, list[float]] = defaultdict(list)
    for event in events:
        if isinstance(event, Injected):
            open_faults[event.fault].append(event.at)
        elif isinstance(event, Cured) and open_faults[event.fault]:
            spans.append((open_faults[event.fault].pop(0), event.at))
    return spans + [(at, math.inf) for left in open_faults.values() for at in left]


def _measure_pace(verdict: Verdict, events: list[Event], faults: list[tuple[float, float]]) -> None:
    """Of faults that last, such as too many calls; they are not to overlap."""
    seconds = sum(cure - begin for begin, cure in faults)
    if not 1.0 <= seconds < math.inf:
        return

    def during(at: float) -> bool:
        return any(begin <= at <= cure for begin, cure in faults)

    verdict.offered = sum(during(event.at) for event in _of(events, Invoked)) / seconds
    verdict.useful = sum(during(event.at) for event in _of(events, Ended) if event.outcome == OK) / seconds


def _check_owed(verdict: Verdict, events: list[Event]) -> None:
    owed = check_owed(events)
    verdict.given, verdict.undone, verdict.early, verdict.twice = owed.given, owed.undone, owed.early, owed.twice
    verdict.often += owed.once_twice
    verdict.buried = owed.buried.total()
    for heading, examples in owed.examples.items():
        verdict.examples.setdefault("often" if heading == "once_twice" else heading, []).extend(examples)


# ---- what is left


def _check_ends(verdict: Verdict, events: list[Event]) -> None:
    before = {event.who: event for event in _of(events, Measured) if event.when == "before"}
    for after in _of(events, Measured):
        if after.when != "after":
            continue
        verdict.pending += after.pending
        verdict.zombies += after.zombies
        verdict.queued += after.queued
        if after.who in before:
            verdict.reconnects += after.ports != before[after.who].ports
            verdict.fds = max(verdict.fds, after.fds - before[after.who].fds)
            verdict.memory = max(verdict.memory, after.memory - before[after.who].memory)
    for orphan in _of(events, Orphaned):
        verdict.note("orphans", f"process {orphan.pid} outlived server {orphan.server}")
    for end in _of(events, ServerEnded):
        if end.signal == "SIGTERM" and end.exit_code != 0:
            how = "did not end in time" if end.exit_code is None else f"ended with {end.exit_code}"
            verdict.note("undrained", f"server {end.server} was told to drain and {how}")


Kind = TypeVar("Kind")


def _of(events: Iterable[Event], kind: type[Kind]) -> list[Kind]:
    return [event for event in events if isinstance(event, kind)]


def _by_call(events: Iterable[Event], kind: type[E]) -> dict[str, list[E]]:
    found: dict[str, list[E]] = defaultdict(list)
    for event in events:
        if isinstance(event, kind):
            found[event.call].append(event)
    return dict(found)
